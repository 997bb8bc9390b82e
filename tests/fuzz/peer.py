"""A client that sends what it is told, byte by byte, and checks whatever comes back."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from graphql_api.delivery.close_codes import MAX_REASON_BYTES, CloseCode
from tests.fuzz.frames import CLOSE, PING, PONG, TEXT, Frame, read_frame

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
SERVER_MESSAGES = {"connection_ack", "ping", "pong", "next", "error", "complete"}
TABLE = {code.value for code in CloseCode}
# Said by the WebSocket library, which may give no reason.
WORDLESS = {CloseCode.NORMAL, CloseCode.BROKEN_FRAME, CloseCode.NOT_UTF8, CloseCode.MESSAGE_TOO_BIG}
MARK = b"mark of the fuzzer"


@dataclass
class Peer:
    """One raw connection after its handshake."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    may_be_echoed: bool
    """Whether the service may send back a close frame of ours, with whatever code."""
    is_closed: bool = False
    """Whether a close frame has come."""

    @classmethod
    async def connect(cls, port: int, *, may_be_echoed: bool) -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        return cls(reader, writer, may_be_echoed)

    async def send(self, chunks: Sequence[bytes]) -> None:
        """Send piece by piece, whatever becomes of it."""
        with contextlib.suppress(ConnectionError):
            for chunk in chunks:
                self.writer.write(chunk)
                await self.writer.drain()
                await asyncio.sleep(0)

    async def is_alive(self, *, by_message: bool) -> bool:
        """Whether the service still listens: it answers a ping behind all that was sent, or has closed.

        By a ping of the protocol, where a server may answer one of WebSocket's own before what came before it has been
        looked at; by the latter, where what came before may have left a message unfinished.
        """
        mark = Frame(TEXT, b'{"type":"ping","payload":{"mark":"of the fuzzer"}}') if by_message else Frame(PING, MARK)
        await self.send([mark.encode()])
        while not self.is_closed and (frame := await self.receive()) is not None:
            if frame == (PONG, MARK) or (by_message and b"of the fuzzer" in frame[1]):
                return True
        assert self.is_closed, "ended without a close frame (1006)"
        return False

    async def receive(self) -> tuple[int, bytes] | None:
        """The next frame, checked; None at the end."""
        frame = await read_frame(self.reader)
        if frame is None:
            return None
        opcode, payload = frame
        assert not self.is_closed, f"after the close frame came {payload[:100]!r}"
        if opcode == TEXT:
            self._check_message(json.loads(payload.decode("utf-8")))
        elif opcode == CLOSE:
            self.is_closed = True
            self._check_close(payload)
        else:
            assert opcode == PONG
        return frame

    async def leave(self, farewell: int) -> None:
        """Close politely (0), end the sending (1) or cut the connection (2), and see the end of it."""
        if farewell == 2:
            self.writer.transport.abort()
            return
        if farewell == 0 and not self.is_closed:
            await self.send([Frame(CLOSE, b"\x03\xe8").encode()])
        with contextlib.suppress(OSError):
            self.writer.write_eof()
        while await self.receive() is not None:
            pass
        self.writer.transport.abort()

    def _check_message(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        assert kind in SERVER_MESSAGES
        if kind in ("next", "error", "complete"):
            assert isinstance(message["id"], str)
        if kind == "error":
            assert message["payload"]
            for error in message["payload"]:
                assert error["extensions"]["code"] != "INTERNAL", error
        if kind == "next":
            assert message["payload"].keys() & {"data", "errors"}
            for error in message["payload"].get("errors", ()):
                assert error["extensions"]["code"] != "INTERNAL", error

    def _check_close(self, payload: bytes) -> None:
        if not payload:
            assert self.may_be_echoed
            return
        code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8")
        assert len(payload) <= 2 + MAX_REASON_BYTES
        assert code in TABLE or self.may_be_echoed, f"closed with {code}: {reason}"
        assert reason or code in WORDLESS or self.may_be_echoed, f"closed with {code}, and no reason"
