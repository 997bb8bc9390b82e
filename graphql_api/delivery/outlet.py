"""Where the bytes of one connection go out: written by anyone, in order, without waiting."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol

from graphql_api.delivery.extension import Wire
from graphql_api.delivery.frames import (
    PLAIN_FRAMES,
    PLAIN_TEXTS,
    Lane,
    operation_frames,
    operation_texts,
    text_frame,
    texts_of,
)

__all__ = ["AsgiOutlet", "FrameOutlet", "Outlet", "Send", "SocketOutlet", "TextOutlet"]

# Messages on one connection after which counting them begins anew.
_MOST = 1 << 62


class OnWritable(Protocol):
    """Told whether a client has taken what was written."""

    def __call__(self, *, writable: bool) -> None: ...


Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Outlet(ABC):
    """One connection's way out.

    Writing never waits and never fails. While it is not writable, what comes after has to stay where it is: whoever
    writes all the same (an answer, a sign of life) sees to it that this is not much.
    """

    __slots__ = ("writable",)

    def __init__(self) -> None:
        self.writable = True
        """Whether the client has taken everything that was written."""

    write: Callable[[bytes], None]
    """Send bytes as the outlet's lanes make them."""

    @abstractmethod
    def untaken(self) -> int:
        """How much the client has not taken: 0 for nothing; it falls while the client takes something."""


class SocketOutlet(Outlet):
    """One WebSocket's way out."""

    __slots__ = ()

    @abstractmethod
    def lane(self, id_length: int) -> Lane:
        """For results of an operation whose escaped id has so many bytes."""

    @property
    @abstractmethod
    def plain_lane(self) -> Lane:
        """For results as they are."""

    @abstractmethod
    def send_text(self, text: bytes) -> None:
        """Send one message: JSON in UTF-8, without line breaks."""

    @abstractmethod
    def close(self, code: int, reason: str) -> None:
        """Close the socket behind what was written; it ends soon, whatever the client does."""


class FrameOutlet(SocketOutlet):
    """Over this service's own server: whole frames to the transport."""

    __slots__ = ("_wire", "write")

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self.write = wire.transport.write

    def lane(self, id_length: int) -> Lane:
        """As frames."""
        return operation_frames(id_length)

    @property
    def plain_lane(self) -> Lane:
        """As frames."""
        return PLAIN_FRAMES

    def send_text(self, text: bytes) -> None:
        """In a frame."""
        self.write(text_frame(text))

    def untaken(self) -> int:
        """In bytes."""
        return self._wire.transport.get_write_buffer_size()

    def close(self, code: int, reason: str) -> None:
        """By the server."""
        self._wire.close(code, reason)


class AsgiOutlet(Outlet):
    """Over ASGI's own ``send``: one task sends what was written, and it is writable again when that is done.

    Args:
        send: of the connection.
        messages_of: what bytes become on their way.
        on_writable: told whenever that changes.
    """

    def __init__(
        self,
        send: Send,
        messages_of: Callable[[bytes], Iterable[Message]],
        on_writable: OnWritable,
    ) -> None:
        super().__init__()
        self._send = send
        self._messages_of = messages_of
        self._on_writable = on_writable
        self._pending: deque[Iterable[Message]] = deque()
        self._written = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._sent = 0
        self._over = asyncio.Event()
        self.ended = False
        """Whether the last message has been written."""

    def write(self, data: bytes) -> None:
        """Have it sent after all that was written before."""
        self._put(self._messages_of(data))

    def end(self, last: Message) -> None:
        """Have this message sent after all that was written; nothing comes after it."""
        self._put([last])
        self.ended = True
        self._over.set()

    def untaken(self) -> int:
        """Falls with every message that is sent; 0 when all are."""
        return 0 if self.writable else _MOST - self._sent % _MOST

    async def room(self) -> None:
        """Wait until all that was written has been sent."""
        await self._all_sent.wait()

    async def until_ended(self) -> None:
        """Wait until the last message has been written, whether or not the client takes it."""
        await self._over.wait()

    async def run(self) -> None:
        """Send, until :meth:`end`.

        Raises:
            OSError: the client has gone.
        """
        while True:
            await self._written.wait()
            while self._pending:
                for message in self._pending.popleft():
                    await self._send(message)
                    self._sent += 1
            if self.ended:
                return
            self._written.clear()
            self._all_sent.set()
            self.writable = True
            self._on_writable(writable=True)

    def _put(self, messages: Iterable[Message]) -> None:
        if self.ended:
            return
        self._pending.append(messages)
        if self.writable:
            self.writable = False
            self._all_sent.clear()
            self._written.set()
            self._on_writable(writable=False)


class TextOutlet(AsgiOutlet, SocketOutlet):
    """A WebSocket over ASGI's own ``send``, one text at a time."""

    def __init__(self, send: Send, on_writable: OnWritable) -> None:
        super().__init__(send, _as_texts, on_writable)

    def lane(self, id_length: int) -> Lane:
        """As texts."""
        return operation_texts(id_length)

    @property
    def plain_lane(self) -> Lane:
        """As texts."""
        return PLAIN_TEXTS

    def send_text(self, text: bytes) -> None:
        """As one text."""
        self.write(text)

    def close(self, code: int, reason: str) -> None:
        """As a message."""
        self.end({"type": "websocket.close", "code": code, "reason": reason})


def _as_texts(data: bytes) -> Iterable[Message]:
    return ({"type": "websocket.send", "text": text} for text in texts_of(data))
