"""Results to bytes: what is joined by an id is read back as messages, whatever is in them."""

import sys

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import OPEN as CONNECTED
from websockets.protocol import Protocol, Side

from graphql_api.delivery.frames import (
    PLAIN_TEXTS,
    Batch,
    Rendered,
    escaped,
    operation_frames,
    operation_texts,
    text_frame,
    texts_of,
)

# All that some reader may take for the end of a line.
LINE_BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
VALUES = st.lists(TEXTS, min_size=1, max_size=5)


def batch_of(values):
    return Batch([Rendered(orjson.dumps(value), None, None) for value in values])


def messages_of(operation_id, values):
    return [{"id": operation_id, "type": "next", "payload": value} for value in values]


def frames_in(data):
    """The texts of whole, unmasked frames (RFC 6455 section 5.2)."""
    while data:
        assert data[0] == 0x81
        extra = {126: 2, 127: 8}.get(data[1], 0)
        start = 2 + extra
        length = int.from_bytes(data[2:start], "big") if extra else data[1]
        yield data[start : start + length]
        data = data[start + length :]


@given(operation_id=TEXTS, values=VALUES)
@example(operation_id=LINE_BREAKS, values=[LINE_BREAKS, ""])
def test_texts_are_read_back(operation_id, values):
    """Each message for a server that makes the frames itself is one text, whatever characters are in it."""
    prefix = escaped(operation_id)
    data = prefix.join(batch_of(values).pieces(operation_texts(len(prefix))))
    assert [orjson.loads(text) for text in texts_of(data)] == messages_of(operation_id, values)
    assert list(texts_of(orjson.dumps(LINE_BREAKS))) == [orjson.dumps(LINE_BREAKS).decode()]
    plain = b"".join(batch_of(values).pieces(PLAIN_TEXTS))
    assert [orjson.loads(text) for text in texts_of(plain)] == values


@given(operation_id=TEXTS, values=VALUES)
@example(operation_id="1", values=["x" * 100, "x" * 70_000, "x" * 10])
def test_frames_are_read_back(operation_id, values):
    """Each message is one frame, whatever its length and that of the id."""
    prefix = escaped(operation_id)
    data = prefix.join(batch_of(values).pieces(operation_frames(len(prefix))))
    assert [orjson.loads(text) for text in frames_in(data)] == messages_of(operation_id, values)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_the_length_of_a_frame(length):
    """A text of any length is one frame."""
    assert list(frames_in(text_frame(b"x" * length))) == [b"x" * length]


@given(
    operation_id=TEXTS,
    sizes=st.lists(st.sampled_from([125, 126, 127, 65_535, 65_536, 65_537]) | st.integers(200, 400), min_size=1),
)
@settings(max_examples=50)
def test_a_client_reads_frames_of_every_length(operation_id, sizes):
    """What a client's own parser reads are whole texts, of exactly the lengths where the header changes, too."""
    prefix = escaped(operation_id)
    around = len(orjson.dumps({"id": operation_id, "type": "next", "payload": ""}))
    values = ["x" * max(size - around, 0) for size in sizes]
    client = Protocol(Side.CLIENT, state=CONNECTED, max_size=None)
    client.receive_data(prefix.join(batch_of(values).pieces(operation_frames(len(prefix)))))
    frames = client.events_received()
    assert {(frame.opcode, frame.fin) for frame in frames} == {(Opcode.TEXT, True)}
    assert [orjson.loads(frame.data) for frame in frames] == messages_of(operation_id, values)
    assert [len(frame.data) for frame in frames] == [max(size, around) for size in sizes]


def test_a_batch_that_is_kept_does_not_grow_with_the_ids_of_its_readers():
    """However many lengths of ids there are, a batch keeps the pieces of a few, and makes the others' again."""
    batch = batch_of(["x" * 100_000])
    for length in range(1, 500):
        assert operation_frames(length).pieces(batch.results) == batch.pieces(operation_frames(length))
    kept = [piece for pieces in batch._pieces.values() for piece in pieces]
    assert sum(map(sys.getsizeof, kept)) < 1_000_000
