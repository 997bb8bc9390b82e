"""Conversations with the service: valid ones, and what mutation makes of them on four levels.

A drawn conversation is a description. What depends on the server (tokens, cursors) is a placeholder in it, and
:meth:`Conversation.render` makes the bytes; so hypothesis can shrink and repeat what it has found.
"""

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame
from tests.wire.clients import DEVICES, EVENTS, PUBLISH, SUMMARY

MESSAGE_LIMIT = 256 * 1024
TOO_BIG = MESSAGE_LIMIT + 1

IDS = ("1", "2", "3", "é\U0001f600", "x" * 128, '"\\\0')
INITS: tuple[dict[str, Any], ...] = (
    {"type": "connection_init", "payload": {"authorization": "Bearer «all»"}},
    {"type": "connection_init", "payload": {"token": "«all»", "resumeFrom": {"1": "«cursor»", "2": "«old»"}}},
    {"type": "connection_init", "payload": {"Authorization": "bearer «reader»", "resumeFrom": {"1": "nonsense"}}},
    {"type": "connection_init", "payload": {"authorization": "Bearer «other»"}},
    {"type": "connection_init", "payload": {"authorization": "Bearer «expired»"}},
    {"type": "connection_init"},
)
PAYLOADS: tuple[dict[str, Any], ...] = (
    {"query": EVENTS},
    {"query": EVENTS, "variables": {"snapshot": True}},
    {"query": EVENTS, "variables": {"deviceIds": ["a", "b"], "statuses": ["ONLINE"]}},
    {"query": EVENTS, "extensions": {"resumeFrom": "«cursor»"}},
    {"query": EVENTS, "extensions": {"resumeFrom": "«old»"}, "variables": {"schoolId": "1"}},
    {"query": DEVICES, "operationName": "Devices", "variables": {"statuses": ["OFFLINE", "ONLINE"]}},
    {"query": DEVICES, "extensions": {"resumeFrom": "«old»"}},
    {"query": SUMMARY},
    {"query": SUMMARY, "variables": {"schoolId": "2"}},
    {"query": PUBLISH, "variables": {"inputs": [{"deviceId": "a", "status": "ONLINE"}], "onInvalid": "SKIP"}},
    {
        "query": PUBLISH,
        "variables": {
            "inputs": [
                {"deviceId": "a", "status": "OFFLINE", "observedAt": "2026-01-01T00:00:00Z"},
                {"deviceId": "b", "status": "DEGRADED", "lastSeen": "2026-01-01T00:00:00+01:00"},
            ]
        },
    },
    {"query": "{ viewer { id subject schoolIds scopes expiresAt } schools { id summary { total } } }"},
    {"query": "query D($a: String) { devices(first: 2, after: $a) { totalCount pageInfo { endCursor } } }"},
    {"query": '{ deviceHistory(deviceId: "a", first: 3) { edges { node { status timestamp } cursor } } }'},
    {"query": "query A { __typename } query B { viewer { id } }", "operationName": "B"},
    {"query": "{ __schema { types { name fields { name } } } }"},
    {
        "query": "subscription S($s: Boolean!) { deviceStatus { device @include(if: $s) { id } } }",
        "variables": {"s": True},
    },
    {"query": "{"},
    {"query": "{ nothing }"},
)
OTHERS: tuple[dict[str, Any], ...] = (
    {"type": "ping"},
    {"type": "ping", "payload": {"mark": 1}},
    {"type": "pong"},
    {"type": "pong", "payload": {}},
)

# What JSON values become; each is made anew, as some are edited further.
ODD_VALUES: tuple[Callable[[], Any], ...] = (
    *(
        lambda value=value: value
        for value in (None, True, False, 0, -1, 1.5, 2**31, 2**53, 2**63, 2**64, 10**400, -(10**30), 1e300, 0.1)
    ),
    lambda: float("nan"),
    lambda: float("inf"),
    *(
        lambda text=text: text
        for text in ("", "x", "\0", "\ud800", "\udfff\ud800", "\U0001f600", "﻿", "x" * 129, "é" * 70, "{", "2026-13-01")
    ),
    lambda: "x" * 5_000,
    lambda: "{a" * 3_000,
    lambda: "{ a(b: " + "[" * 3_000 + "]" * 3_000 + ") }",
    lambda: "query Q { " + " ".join(f"a{number}: __typename" for number in range(800)) + " }",
    list,
    dict,
    lambda: [[]],
    lambda: {"": {"": None}},
    lambda: {"__proto__": 1, "type": "ping"},
    lambda: _nested(40),
    lambda: _nested(400),
    lambda: ["x"] * 2_000,
    lambda: {str(number): number for number in range(500)},
)
ODD_TEXTS = (
    *("", "\0", "\x7f", " ", "\n", '"', "\\", "{", "}", "[", "]", ",", ":", "null", "NaN", "-", "1e999", "9" * 400),
    *("\\ud800", "\\u0000", '"type":"ping",', "﻿", "\U0001f600", "[" * 300, '{"a":' * 300, "[" * 50_000, " " * 1_000),
)
ODD_BYTES = (b"", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\x80", b"\0")
CLOSES = tuple(
    code.to_bytes(2, "big") + reason
    for code in (0, 999, 1000, 1001, 1005, 1006, 1011, 1012, 1015, 1016, 2999, 3000, 4400, 4999, 5000, 65535)
    for reason in (b"", b"reason", b"\xff", b"x" * 123, b"x" * 124)
)


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@dataclass(frozen=True)
class ValueEdit:
    """Mutates a message: a value somewhere in it is replaced, taken out, renamed, repeated or moved."""

    node: int
    kind: int
    value: int

    def apply(self, message: Any) -> Any:
        message = copy.deepcopy(message)
        places = list(_places(message))
        if not places:
            return ODD_VALUES[self.value % len(ODD_VALUES)]()
        container, key = places[self.node % len(places)]
        match self.kind % 6:
            case 0 | 1 | 2:
                container[key] = ODD_VALUES[self.value % len(ODD_VALUES)]()
            case 3:
                del container[key]
            case 4:
                other, name = places[self.value % len(places)]
                container[key] = copy.deepcopy(other[name])
            case _ if isinstance(container, dict):
                container[f"{key}\0" if self.value % 2 else key.upper()] = container.pop(key)
            case _:
                container.insert(0, container[key])
        return message


@dataclass(frozen=True)
class TextEdit:
    """Mutates the JSON text: cut, said twice, or with something in it that does not belong there."""

    position: int
    length: int
    kind: int
    odd: int

    def apply(self, text: bytes) -> bytes:
        start = self.position % (len(text) + 1)
        end = start + self.length
        match self.kind % 5:
            case 0:
                return text[:start]
            case 1:
                return text[:start] + text[end:]
            case 2:
                return text[:end] + text[start:]
            case 3:
                return text[:start] + ODD_TEXTS[self.odd % len(ODD_TEXTS)].encode() + text[start:]
            case _:
                return text[:start] + ODD_BYTES[self.odd % len(ODD_BYTES)] + text[end:]


@dataclass(frozen=True)
class FrameEdit:
    """Mutates the frames of a message."""

    kind: int
    number: int

    def apply(self, frames: list[Frame]) -> list[Frame]:  # noqa: C901, PLR0911 - a table with a row for each mutation
        first, *rest = frames
        number = self.number
        opcode, payload = first.opcode, first.payload
        match self.kind % 12:
            case 0 | 1:
                return [*_cut(first, 1 + number % 7), *rest]
            case 2:
                between = Frame((PING, PONG)[number % 2], b"between"[: number % 8])
                return [each for piece in _cut(first, 1 + number % 5) for each in (piece, between)][:-1] + rest
            case 3:
                return [Frame(opcode, payload, reserved=1 + number % 7), *rest]
            case 4:
                return [Frame(3 + number % 5 if number % 2 else 11 + number % 5, payload), *rest]
            case 5:
                return [Frame(opcode, payload, masked=False), *rest]
            case 6:
                return [Frame(BINARY if number % 2 else CONTINUATION, payload), *rest]
            case 7:
                return [Frame(opcode, payload, claims=_LENGTHS[number % len(_LENGTHS)]), *rest]
            case 8:
                return [Frame((PING, PONG, CLOSE)[number % 3], payload[: number % 200], fin=number % 4 > 0), *frames]
            case 9:
                return [*frames, Frame(CLOSE, CLOSES[number % len(CLOSES)])]
            case 10:
                return [Frame(opcode, payload, fin=False), *frames]
            case _:
                return [Frame(opcode, payload + b" " * (TOO_BIG if number % 4 == 0 else 126)), *rest]

    @property
    def is_aligned(self) -> bool:
        """Whether what comes after it is still read as the frames that were sent."""
        return self.kind % 12 != 7


_LENGTHS = (0, 1, 125, 126, 127, 65_535, 65_536, MESSAGE_LIMIT, TOO_BIG, 2**31, 2**63 - 1, 2**63, 2**64 - 1)

Edit = ValueEdit | TextEdit | FrameEdit


@dataclass(frozen=True)
class Step:
    """One message, and what becomes of it on its way."""

    message: Mapping[str, Any]
    edits: tuple[Edit, ...] = ()

    def render(self, known: Mapping[str, str], *, is_text: bool) -> bytes:
        message: Any = self.message
        for edit in self.edits:
            if isinstance(edit, ValueEdit):
                message = edit.apply(message)
        text = json.dumps(message)
        for name, value in known.items():
            text = text.replace(json.dumps(f"«{name}»")[1:-1], value)
        data = text.encode()
        for edit in self.edits:
            if isinstance(edit, TextEdit):
                data = edit.apply(data)
        if is_text:
            data = data.decode("utf-8", "ignore").encode()
        frames = [Frame(TEXT, data)]
        for edit in self.edits:
            if isinstance(edit, FrameEdit):
                frames = edit.apply(frames)
        return b"".join(frame.encode() for frame in frames)


@dataclass(frozen=True)
class Conversation:
    """What one client sends, and how it goes."""

    steps: Sequence[Step]
    is_text: bool = False
    """Whether all that is sent is UTF-8."""
    cuts: tuple[int, ...] = ()
    """Where the bytes are cut into what the network brings at once; each is taken modulo the length."""
    truncated: int = 0
    """Bytes at the end that are never sent."""
    farewell: int = 0
    """0 closes politely, 1 ends the sending, 2 cuts the connection."""

    @property
    def may_close(self) -> bool:
        """Whether the client itself may be read as closing, with whatever code, which is then sent back."""
        kinds = (edit.kind % 12 for step in self.steps for edit in step.edits if isinstance(edit, FrameEdit))
        return not self.is_aligned or any(kind in (8, 9) for kind in kinds)

    @property
    def is_aligned(self) -> bool:
        """Whether the service can tell where the frame after this conversation begins."""
        return not self.truncated and all(
            edit.is_aligned for step in self.steps for edit in step.edits if isinstance(edit, FrameEdit)
        )

    def render(self, known: Mapping[str, str]) -> list[bytes]:
        data = b"".join(step.render(known, is_text=self.is_text) for step in self.steps)
        data = data[: max(0, len(data) - self.truncated)]
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in self.cuts)})
        return [data[start:end] for start, end in itertools.pairwise(places)]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def _cut(frame: Frame, pieces: int) -> list[Frame]:
    size = max(1, len(frame.payload) // pieces)
    parts = [frame.payload[start : start + size] for start in range(0, len(frame.payload), size)] or [b""]
    return [
        Frame(frame.opcode if place == 0 else CONTINUATION, part, fin=place == len(parts) - 1)
        for place, part in enumerate(parts)
    ]


_number = st.integers(0, 2**16)
_value_edits = st.builds(ValueEdit, _number, st.integers(0, 5), _number)
_text_edits = st.builds(TextEdit, _number, st.integers(1, 40), st.integers(0, 4), _number)
_frame_edits = st.builds(FrameEdit, st.integers(0, 11), _number)


def _some(edits: st.SearchStrategy[Edit]) -> st.SearchStrategy[tuple[Edit, ...]]:
    # Most messages stay as they are: what comes after one that closes the socket is never read.
    return st.one_of(st.just(()), st.just(()), st.tuples(edits), st.tuples(edits, edits))


_messages = st.one_of(
    st.builds(
        lambda operation_id, payload: {"id": operation_id, "type": "subscribe", "payload": payload},
        st.sampled_from(IDS),
        st.sampled_from(PAYLOADS),
    ),
    st.builds(lambda operation_id: {"id": operation_id, "type": "complete"}, st.sampled_from(IDS)),
    st.sampled_from((*OTHERS, *INITS[:1])),
)


@st.composite
def conversations(draw: st.DrawFn, *, frames: bool) -> Conversation:
    """A conversation, with as many mutations as it takes to be interesting.

    Without ``frames`` they are messages in good frames of good text: what only a server that is not ours would see is
    left alone.
    """
    edits = _some(st.one_of(_value_edits, _text_edits, _frame_edits) if frames else _value_edits | _text_edits)
    steps = [*draw(st.lists(st.builds(Step, _messages, edits), max_size=7))]
    if draw(st.integers(0, 9)):
        steps.insert(0, Step(INITS[draw(st.integers(0, 1))]))
    else:
        steps.insert(0, Step(draw(st.sampled_from(INITS)), draw(edits)))
    if draw(st.integers(0, 4)) == 4:
        # What was first comes last.
        here, there = (draw(_number) % len(steps) for _ in range(2))
        steps[here], steps[there] = steps[there], steps[here]
    return Conversation(
        tuple(steps),
        is_text=not frames,
        cuts=draw(st.one_of(st.just(()), st.lists(_number, max_size=3).map(tuple))),
        truncated=draw(st.one_of(st.just(0), st.just(0), st.just(0), st.integers(1, 40))) if frames else 0,
        farewell=draw(st.integers(0, 2)),
    )
