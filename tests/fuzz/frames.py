"""WebSocket frames (RFC 6455 section 5.2) as a client may send them, right or wrong, and as this service sends them."""

import asyncio
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x5a\xc3\x00\x7f"


@dataclass(frozen=True)
class Frame:
    """One frame of a client; with its defaults a good one."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    reserved: int = 0
    """The three reserved bits, as a number."""
    masked: bool = True
    claims: int | None = None
    """The length that the header tells, where that isn't the payload's."""

    def encode(self) -> bytes:
        length = len(self.payload) if self.claims is None else self.claims
        first = (0x80 if self.fin else 0) | self.reserved << 4 | self.opcode
        bit = 0x80 if self.masked else 0
        if length < 126:
            head = bytes([first, bit | length])
        elif length < 1 << 16:
            head = bytes([first, bit | 126]) + length.to_bytes(2, "big")
        else:
            head = bytes([first, bit | 127]) + length.to_bytes(8, "big")
        return head + MASK + _mask(self.payload) if self.masked else head + self.payload


def _mask(payload: bytes) -> bytes:
    size = len(payload)
    key = (MASK * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """Opcode and payload of the server's next frame, None at the end of the connection.

    The service sends whole messages, never masked, with no reserved bit: anything else is an error here.
    """
    try:
        first, second = await reader.readexactly(2)
        length = second
        if second == 126:
            length = int.from_bytes(await reader.readexactly(2), "big")
        elif second == 127:
            length = int.from_bytes(await reader.readexactly(8), "big")
        assert first in (0x81, 0x88, 0x89, 0x8A), f"the service sent a frame that begins with {first:#x}"
        assert second < 0x80, "the service sent a masked frame"
        return first & 0x0F, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
