"""WebSocket frames as the load needs them: its own built, those of a server counted. Without I/O.

Counting has to cost far less than sending, or the load would be what is measured. Most of what one read brings
is a run of frames of one length: that they are is proved by comparing, at that distance, each byte of their headers and
the letter that tells a ``next`` from every other message, which are a few slices for the whole run.
"""

import os

from benchmarks.failure import BenchmarkFailed

__all__ = ["FrameCounter", "client_frame", "server_frame"]

_TEXT = 0x81
_CLOSE = 0x88
_PING = 0x89
_PONG = 0x8A
_MASKED = 0x80
_SHORT = 125
_TWO_BYTES = 126
_EIGHT_BYTES = 127

# Some servers write a space after a colon. The letter counts that stands at the same place in each.
_MARKS = (b'"type":"next"', b'"type": "next"')


def client_frame(payload: bytes, *, opcode: int = _TEXT) -> bytes:
    """A whole frame of a client: masked, as RFC 6455 section 5.3 demands."""
    length = len(payload)
    key = os.urandom(4)
    mask = (key * (length // 4 + 1))[:length]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
    return _head(opcode, _MASKED, length) + key + masked


def server_frame(payload: bytes) -> bytes:
    """A whole text frame of a server: not masked."""
    return _head(_TEXT, 0, len(payload)) + payload


class FrameCounter:
    """Counts the ``next`` messages of one connection, and hands over whatever else has come.

    With ``keep``, each ``next`` is kept, which costs more: for one connection of many.
    """

    __slots__ = ("_rest", "close", "kept", "next_bytes", "nexts", "others", "pongs")

    def __init__(self, *, keep: bool = False) -> None:
        self.nexts = 0
        self.next_bytes = 0
        """Of the whole frames: the same for all who ought to get the same."""
        self.others: list[bytes] = []
        """The payloads of other text frames, for the caller to take away."""
        self.close: bytes | None = None
        """The payload of a close frame, once it has come."""
        self.pongs: list[bytes] = []
        """Whole frames to send, for pings of WebSocket itself; for the caller to take away."""
        self.kept: list[bytes] | None = [] if keep else None
        self._rest = b""

    @property
    def is_between_frames(self) -> bool:
        """Whether all that has come was whole."""
        return not self._rest

    def feed(self, data: bytes | bytearray, size: int) -> int:
        """Take the first ``size`` bytes of what was read; how many ``next`` messages they have completed."""
        if self._rest:
            data = self._rest + data[:size]
            size = len(data)
            self._rest = b""
        counted = start = 0
        while start < size:
            head, end = _bounds(data, start, size)
            if end > size:
                self._rest = bytes(data[start:size])
                break
            mark = _mark(data, head, end) if data[start] == _TEXT else -1
            if mark < 0:
                self._other(data[start], bytes(data[head:end]))
                start = end
                continue
            length = end - start
            run = 1
            if self.kept is not None:
                self.kept.append(bytes(data[head:end]))
            elif end < size:
                run = _run(data, start, head, mark, length, size)
            counted += run
            self.next_bytes += run * length
            start += run * length
        self.nexts += counted
        return counted

    def _other(self, first: int, payload: bytes) -> None:
        if first == _TEXT:
            self.others.append(payload)
        elif first == _CLOSE:
            self.close = payload
        elif first == _PING:
            self.pongs.append(client_frame(payload, opcode=_PONG))
        else:
            raise BenchmarkFailed(f"expected whole text frames, a ping or a close, but a frame begins with {first:#x}")


def _head(opcode: int, masked: int, length: int) -> bytes:
    if length <= _SHORT:
        return bytes((opcode, masked | length))
    if length < 1 << 16:
        return bytes((opcode, masked | _TWO_BYTES)) + length.to_bytes(2, "big")
    return bytes((opcode, masked | _EIGHT_BYTES)) + length.to_bytes(8, "big")


def _bounds(data: bytes | bytearray, start: int, size: int) -> tuple[int, int]:
    """Where the payload of the frame at ``start`` begins, and where it ends: beyond ``size`` if it is not all there."""
    if start + 2 > size:
        return size, size + 1
    length = data[start + 1]
    head = start + 2
    if length == _TWO_BYTES:
        head += 2
    elif length == _EIGHT_BYTES:
        head += 8
    if head > size:
        return size, size + 1
    if length > _SHORT:
        length = int.from_bytes(data[start + 2 : head], "big")
    return head, head + length


def _mark(data: bytes | bytearray, head: int, end: int) -> int:
    """Where the letter n of a message's type ``next`` stands; -1 where the message is another one."""
    for mark in _MARKS:
        if (found := data.find(mark, head, end)) >= 0:
            return found + len(mark) - len('next"')
    return -1


def _run(data: bytes | bytearray, start: int, head: int, mark: int, length: int, size: int) -> int:
    """How many whole frames of this length, all of them ``next``, follow each other from ``start`` on."""
    most = (size - start) // length
    stop = start + most * length
    for place in (*range(start, head), mark):
        column = data[place:stop:length]
        if column.count(column[0]) != len(column):
            most = min(most, _first_other(column))
    return most


def _first_other(column: bytes | bytearray) -> int:
    return next(index for index, byte in enumerate(column) if byte != column[0])
