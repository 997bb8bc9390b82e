"""Results to the bytes that go over the wire, made once for all who get them: without I/O.

Frames of a server are not masked (RFC 6455 section 5.1), so those that carry one result to many clients differ in the
operation id alone. What stands around the id is made once for ids of one length; a client's whole batch is then one
``id.join(pieces)``, and goes out in one write.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache

import orjson

from graphql_api.delivery import multipart, sse
from graphql_api.devices.model import Head

__all__ = [
    "BATCH_LIMIT",
    "MULTIPART",
    "PLAIN_FRAMES",
    "PLAIN_TEXTS",
    "SERVER_SENT_EVENTS",
    "Batch",
    "Lane",
    "Rendered",
    "batches",
    "escaped",
    "operation_frames",
    "operation_texts",
    "text_frame",
    "texts_of",
]

BATCH_LIMIT = 64 * 1024
"""Bytes of the biggest write, unless a single result is bigger."""

# What stands around a result at the most: the longest operation id, escaped, and the longest cursor.
_ENVELOPE = 1_024

_TEXT = 0x81
"""A final text frame: RFC 6455 section 5.2."""
_BEFORE_ID = b'{"id":"'
_AFTER_ID = b'","type":"next","payload":'


# Lanes whose pieces a batch keeps; whoever asks for another one's has them made. Each holds all of the results.
_LANES_KEPT = 4


class Rendered:
    """One result: its JSON, and where a subscriber stands who has got it (None inside of what is one whole)."""

    __slots__ = ("cursor", "payload", "place")

    def __init__(self, payload: bytes, place: Head | None, cursor: str | None) -> None:
        self.payload = payload
        self.place = place
        self.cursor = cursor


class Batch:
    """Results that go to a client in one write; ``place`` is that after the last one."""

    __slots__ = ("_pieces", "place", "results", "size")

    def __init__(self, results: Sequence[Rendered]) -> None:
        self.results = results
        self.place = results[-1].place
        self.size = sum(len(result.payload) for result in results)
        self._pieces: dict[Lane, list[bytes]] = {}

    def pieces(self, lane: "Lane") -> list[bytes]:
        """What to join by a subscriber's id, for all subscribers of a lane."""
        found = self._pieces.get(lane)
        if found is None:
            if len(self._pieces) == _LANES_KEPT:
                del self._pieces[next(iter(self._pieces))]
            found = self._pieces[lane] = lane.pieces(self.results)
        return found


def batches(results: Sequence[Rendered]) -> list[Batch]:
    """The results in as few writes as the limit allows."""
    found: list[Batch] = []
    start = size = 0
    for end, result in enumerate(results):
        cost = len(result.payload) + _ENVELOPE
        if size + cost > BATCH_LIMIT and end > start:
            found.append(Batch(results[start:end]))
            start, size = end, 0
        size += cost
    if results:
        found.append(Batch(results[start:]))
    return found


class Lane(ABC):
    """A way in which results are written; all subscribers of one lane get the same pieces. Compared by identity."""

    __slots__ = ()

    @abstractmethod
    def pieces(self, results: Sequence[Rendered]) -> list[bytes]:
        """What stands before, between and after the ids."""


class _OperationFrames(Lane):
    __slots__ = ("_id_length",)

    def __init__(self, id_length: int) -> None:
        self._id_length = id_length

    def pieces(self, results: Sequence[Rendered]) -> list[bytes]:
        around = len(_BEFORE_ID) + self._id_length + len(_AFTER_ID) + 1
        found = []
        rest = b""
        for result in results:
            found.append(b"%b%b%b" % (rest, _header(around + len(result.payload)), _BEFORE_ID))
            rest = b"%b%b}" % (_AFTER_ID, result.payload)
        return [*found, rest]


class _OperationTexts(Lane):
    """For servers that make the frames themselves: see :func:`texts_of`."""

    def pieces(self, results: Sequence[Rendered]) -> list[bytes]:
        between = (b"%b%b}\n%b" % (_AFTER_ID, result.payload, _BEFORE_ID) for result in results[:-1])
        return [_BEFORE_ID, *between, b"%b%b}\n" % (_AFTER_ID, results[-1].payload)]


class _PlainFrames(Lane):
    def pieces(self, results: Sequence[Rendered]) -> list[bytes]:
        return [b"".join(text_frame(result.payload) for result in results)]


class _PlainTexts(Lane):
    def pieces(self, results: Sequence[Rendered]) -> list[bytes]:
        return [b"".join(b"%b\n" % result.payload for result in results)]


class _ServerSentEvents(Lane):
    def pieces(self, results: Sequence[Rendered]) -> list[bytes]:
        return [b"".join(sse.next_event(result.payload, result.cursor) for result in results)]


class _Multipart(Lane):
    def pieces(self, results: Sequence[Rendered]) -> list[bytes]:
        return [b"".join(multipart.next_part(result.payload) for result in results)]


PLAIN_FRAMES: Lane = _PlainFrames()
PLAIN_TEXTS: Lane = _PlainTexts()
SERVER_SENT_EVENTS: Lane = _ServerSentEvents()
MULTIPART: Lane = _Multipart()
_OPERATION_TEXTS: Lane = _OperationTexts()


@cache
def operation_frames(id_length: int) -> Lane:
    """``next`` messages as WebSocket frames, for escaped ids of this many bytes (at most six for each of 128)."""
    return _OperationFrames(id_length)


def operation_texts(id_length: int) -> Lane:  # noqa: ARG001 - as operation_frames
    """``next`` messages as texts, whatever the ids."""
    return _OPERATION_TEXTS


def escaped(operation_id: str) -> bytes:
    """An operation id as it stands between the quotes in JSON."""
    return orjson.dumps(operation_id)[1:-1]


def text_frame(text: bytes) -> bytes:
    """A whole text frame of a server."""
    return _header(len(text)) + text


def texts_of(data: bytes) -> Iterator[str]:
    """The texts in what a lane for texts has made; encoded JSON holds no line break."""
    # Not by str.splitlines(), which takes U+2028 and some others for line breaks, too.
    return map(str, data.decode().removesuffix("\n").split("\n"))


def _header(length: int) -> bytes:
    if length < 126:  # noqa: PLR2004 - RFC 6455 section 5.2, as are those below
        return bytes((_TEXT, length))
    if length < 1 << 16:
        return bytes((_TEXT, 126)) + length.to_bytes(2, "big")
    return bytes((_TEXT, 127)) + length.to_bytes(8, "big")
