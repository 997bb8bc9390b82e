"""Results as bytes of an event stream or a multipart body, read back by small readers of their own."""

import json
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graphql_api.delivery import multipart, sse

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
RESULTS = st.fixed_dictionaries({"data": st.dictionaries(TEXT, TEXT | st.none() | st.floats(-1e9, 1e9))})
CURSORS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1)


@dataclass
class Event:
    kind: str
    data: str
    last_id: str


def read_events(stream: bytes) -> tuple[list[Event], str]:
    """Interpret an event stream as the HTML standard says; returns its events and the last id."""
    events, kind, data, last_id = [], "", "", ""
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append(Event(kind or "message", data.removesuffix("\n"), last_id))
            kind, data = "", ""
        elif name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            last_id = value
    return events, last_id


def read_parts(body: bytes) -> tuple[list[object], bool]:
    """Read a multipart body as Apollo Client does; returns the parts that are complete, and whether it is closed."""
    preamble, *sections = body.decode("ascii").split("\r\n--graphql")
    assert preamble == ""
    parts = []
    for section in sections[:-1]:
        headers, _, content = section.partition("\r\n\r\n")
        assert headers == "\r\ncontent-type: application/json"
        parts.append(json.loads(content))
    return parts, sections[-1].startswith("--")


@given(st.lists(st.tuples(RESULTS, st.none() | CURSORS)), CURSORS)
@example([({"data": {"a": "\n\r\u2028: {}\x85"}}, " spaced "), ({"data": {}}, ":")], "c")
def test_event_streams_are_read_back(results, cursor):
    """Results, their cursors and the end come out of an event stream as they went in, keep-alives or not."""
    encoded = [(orjson.dumps(result), event_id) for result, event_id in results]
    stream = sse.KEEP_ALIVE.join(sse.next_event(*item) for item in encoded)
    events, last_id = read_events(stream + sse.KEEP_ALIVE + sse.checkpoint(cursor) + sse.COMPLETE)

    expected, known = [], ""
    for data, event_id in encoded:
        known = event_id or known
        expected.append(Event("next", data.decode(), known))
    assert events == [*expected, Event("complete", "", cursor)]
    assert last_id == cursor


def test_event_framing():
    """The bytes are those that GraphQL over SSE shows, with line feeds alone."""
    assert sse.next_event(b'{"data":null}', "c1") == b'event: next\ndata: {"data":null}\nid: c1\n\n'
    assert sse.next_event(b'{"data":null}') == b'event: next\ndata: {"data":null}\n\n'
    assert sse.COMPLETE == b"event: complete\ndata:\n\n"
    assert sse.KEEP_ALIVE == b":\n\n"
    assert sse.checkpoint("c2") == b"id: c2\n\n"


def test_a_checkpoint_is_no_event():
    """An id alone moves the last id, and nothing is dispatched."""
    assert read_events(sse.checkpoint("c")) == ([], "c")


@pytest.mark.parametrize("event_id", ["", "a\nb", "a\rb", "a\0b"])
def test_ids_that_would_break_the_stream(event_id):
    """An id that a reader would cut, ignore or take for a reset is refused."""
    with pytest.raises(ValueError, match="expected a cursor"):
        sse.checkpoint(event_id)
    with pytest.raises(ValueError, match="expected a cursor"):
        sse.next_event(b"{}", event_id)


@pytest.mark.parametrize("result", [b'{\n"data":null}', b"{}\r"])
def test_data_that_would_break_the_stream(result):
    """A result with raw line breaks is refused."""
    with pytest.raises(ValueError, match="raw line breaks"):
        sse.next_event(result)


@given(st.lists(RESULTS | st.none()), st.booleans())
@example([{"data": {"é😀\x7f": "\r\n--graphql--"}}], True)
def test_multipart_is_read_back(results, closed):
    """Results and heartbeats come out of a multipart body as they went in, each without waiting for the next."""
    parts = [multipart.HEARTBEAT if result is None else multipart.next_part(orjson.dumps(result)) for result in results]
    body = multipart.OPENING + b"".join(parts) + (multipart.CLOSING if closed else b"")

    assert read_parts(body) == ([{} if result is None else {"payload": result} for result in results], closed)


def test_multipart_framing():
    """The bytes are those of Apollo's router: each part ends with the boundary that completes it."""
    body = multipart.OPENING + multipart.HEARTBEAT + multipart.next_part(b'{"data":null}') + multipart.CLOSING

    assert body == (
        b"\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{}"
        b'\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{"payload":{"data":null}}'
        b"\r\n--graphql--\r\n"
    )


def test_multipart_parts_can_be_cut_anywhere():
    """A part is ASCII, so that a reader which decodes chunk by chunk is not harmed by where they are cut."""
    part = multipart.next_part(orjson.dumps({"data": {"name": "Größe 😀"}}))

    assert part.isascii()
    assert b"Gr\\u00f6\\u00dfe \\ud83d\\ude00" in part
