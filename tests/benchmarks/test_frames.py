"""The load's own WebSocket framing, against that of the library websockets."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from benchmarks.frames import FrameCounter, client_frame, server_frame


def text_frame(payload):
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def parsed(data):
    """A client's frame, as the library reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=True)
    try:
        while True:
            next(parsing)
    except StopIteration as end:
        return end.value


def message(kind, filling, *, spaced=False):
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps({"id": "1", "type": kind, "payload": {"filling": filling}}, separators=separators).encode()


# Few lengths, so that frames of one length follow each other; some across the bounds of the header's three forms.
FILLINGS = st.sampled_from([0, 1, 20, 60, 61, 80, 65_500]).map("x".__mul__) | st.just('"type":"next"')
MESSAGES = st.lists(
    st.tuples(st.sampled_from(["next", "next", "next", "ping", "complete"]), FILLINGS), max_size=12
).map(lambda drawn: list(itertools.chain.from_iterable([each] * (1 + len(each[1]) % 3) for each in drawn)))


def pieces(data, cuts):
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


@given(messages=MESSAGES, cuts=st.lists(st.integers(min_value=0), max_size=20), spaced=st.booleans())
def test_every_next_is_counted_however_it_is_read(messages, cuts, spaced):
    """Whatever the reads, the counter finds as many ``next`` as were sent, their bytes, and all other messages."""
    sent = [(kind, message(kind, filling, spaced=spaced)) for kind, filling in messages]
    counter = FrameCounter()
    counted = sum(
        counter.feed(piece, len(piece)) for piece in pieces(b"".join(text_frame(payload) for _, payload in sent), cuts)
    )
    nexts = [payload for kind, payload in sent if kind == "next"]
    assert counted == counter.nexts == len(nexts)
    assert counter.next_bytes == sum(len(text_frame(payload)) for payload in nexts)
    assert counter.others == [payload for kind, payload in sent if kind != "next"]
    assert counter.is_between_frames


@given(messages=MESSAGES, cuts=st.lists(st.integers(min_value=0), max_size=5))
def test_one_connection_keeps_what_comes(messages, cuts):
    """A counter that keeps has the payload of each ``next``, in order."""
    sent = [(kind, message(kind, filling)) for kind, filling in messages]
    counter = FrameCounter(keep=True)
    for piece in pieces(b"".join(server_frame(payload) for _, payload in sent), cuts):
        counter.feed(piece, len(piece))
    assert counter.kept == [payload for kind, payload in sent if kind == "next"]


def test_only_the_given_bytes_of_a_buffer_count():
    """What stands in the buffer from an earlier read is not looked at."""
    frame = text_frame(message("next", ""))
    counter = FrameCounter()
    assert counter.feed(bytearray(frame * 3), 2 * len(frame)) == 2
    assert counter.is_between_frames


def test_a_frame_that_is_not_all_there_does_not_count():
    """Half a frame is no delivery, and the counter knows that it waits for the rest."""
    frame = text_frame(message("next", ""))
    counter = FrameCounter()
    assert counter.feed(frame, len(frame) - 1) == 0
    assert not counter.is_between_frames


def test_a_close_frame_is_handed_over():
    """The code and the reason of a close frame are there for the error's sentence."""
    counter = FrameCounter()
    frame = Frame(Opcode.CLOSE, b"\x03\xf5full").serialize(mask=False)
    counter.feed(frame, len(frame))
    assert counter.close == b"\x03\xf5full"


def test_a_ping_is_to_be_answered():
    """A ping of WebSocket itself is no message; the frame that answers it is there to be sent."""
    counter = FrameCounter()
    frame = Frame(Opcode.PING, b"1234").serialize(mask=False)
    counter.feed(frame, len(frame))
    (pong,) = map(parsed, counter.pongs)
    assert (pong.opcode, bytes(pong.data), counter.others) == (Opcode.PONG, b"1234", [])


@given(st.binary(max_size=300) | st.sampled_from([b"x" * 65_535, b"x" * 65_536]))
def test_servers_understand_our_frames(payload):
    """What a client of the load sends is read back by the library as a masked, final text frame."""
    frame = parsed(client_frame(payload))
    assert (frame.fin, frame.opcode, bytes(frame.data)) == (True, Opcode.TEXT, payload)
