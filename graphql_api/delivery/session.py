"""One accepted WebSocket: what the dialects have in common. Sending, keep-alive, expiry, closing."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from graphql_api.access.claims import TokenProblem, TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.delivery.close_codes import CloseCode, close_reason
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.outgoing import Outgoing, Send
from graphql_api.delivery.peer import Peer

__all__ = ["END_TIMEOUT", "CloseSocket", "Gone", "Receive", "Scope", "Session", "header"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Scope = MutableMapping[str, Any]

END_TIMEOUT = 2.0
"""Seconds that a close frame, or the end of a body, may take to be taken by the network."""


class CloseSocket(Exception):
    """The socket is to be closed with this code and reason."""

    def __init__(self, code: CloseCode, reason: str | None = None) -> None:
        self.code = code
        self.reason = close_reason(reason or code.reason)
        super().__init__(f"{code.value}: {self.reason}")

    @classmethod
    def refused(cls, refusal: TokenRefused) -> "CloseSocket":
        """Closes with the pinned reason of a refused token."""
        return cls(CloseCode.FORBIDDEN, str(refusal))


class Gone(Exception):
    """The client has gone, politely or not."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


class Session(ABC):
    """A conversation over one WebSocket, from the handshake to the close frame.

    However it ends, its tasks have ended before :meth:`run` returns. Nothing is sent once the
    caller's token has expired.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, delivery: Delivery) -> None:
        self.scope = scope
        self.delivery = delivery
        self.principal: Principal | None = None
        self._receive = receive
        self._send = send
        self._outgoing = Outgoing(
            self._send_unless_expired, keep_alive=delivery.keep_alive, keep_alive_text=self.keep_alive_text
        )
        self._timeout = asyncio.timeout(delivery.connection_init_timeout)
        self._peer = Peer(scope)
        self._stalled = False

    @abstractmethod
    async def converse(self) -> None:
        """Listen to the client until it goes.

        Raises:
            Gone: the client has gone.
            CloseSocket: the socket is to be closed.
        """

    @abstractmethod
    def keep_alive_text(self) -> str | None:
        """What to send so that the connection is seen to live; None while nothing may be sent yet."""

    def last_words(self, closing: CloseSocket) -> str | None:  # noqa: ARG002 - for those dialects that have some
        """What to send before the close frame, if anything."""
        return None

    async def run(self, subprotocol: str | None) -> None:
        """Accept the handshake, converse, close."""
        await self._receive()
        try:
            await self._send({"type": "websocket.accept", "subprotocol": subprotocol})
            closing = await self._run_tasks()
        except OSError:
            return
        if closing:
            await self._close(closing)

    def admit(self, token: str | None) -> Principal:
        """Let the bearer of this token in, until it expires.

        Raises:
            CloseSocket: the token is refused.
        """
        try:
            principal = self.delivery.verifier.verify(token)
        except TokenRefused as refusal:
            raise CloseSocket.refused(refusal) from refusal
        self.principal = principal
        left = self.delivery.seconds_left(principal)
        self._timeout.reschedule(asyncio.get_running_loop().time() + left)
        return principal

    def write(self, text: str | None) -> None:
        """Have a text sent, if there is one."""
        if text is not None:
            self._outgoing.write(text)

    async def room(self) -> None:
        """Wait until not much is waiting to be sent."""
        await self._outgoing.room()

    async def receive(self) -> str | bytes:
        """The client's next message.

        Raises:
            Gone: there is none.
        """
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Gone
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    def start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Have work done that ends with the session at the latest."""
        return self._tasks.create_task(work)

    async def _run_tasks(self) -> CloseSocket | None:
        closing: CloseSocket | None = None
        try:
            with self.delivery.patience.watching(self._peer, self._stall):
                async with self._timeout, asyncio.TaskGroup() as self._tasks:
                    self._tasks.create_task(self._outgoing.run(), name="outgoing")
                    await self.converse()
        except* CloseSocket as reasons:
            closing = _first(reasons)
        except* (Gone, OSError):
            # TimeoutError is an OSError.
            if self._timeout.expired():
                closing = self._out_of_time()
        return closing

    async def _send_unless_expired(self, message: MutableMapping[str, Any]) -> None:
        if self.principal and self.delivery.has_expired(self.principal):
            raise self._expired()
        await self._send(message)

    def _stall(self) -> None:
        # What has just expired is ending anyway, and can't be told to once more.
        if not self._timeout.expired():
            self._stalled = True
            self._timeout.reschedule(asyncio.get_running_loop().time())

    def _out_of_time(self) -> CloseSocket:
        if self._stalled:
            return CloseSocket(CloseCode.TRY_AGAIN_LATER, "this client has not taken a byte for too long; resume later")
        return self._expired() if self.principal else CloseSocket(CloseCode.CONNECTION_INIT_TIMEOUT)

    def _expired(self) -> CloseSocket:
        return CloseSocket.refused(TokenRefused(TokenProblem.EXPIRED, "get a new token and connect again"))

    async def _close(self, closing: CloseSocket) -> None:
        try:
            async with asyncio.timeout(END_TIMEOUT):
                if text := self.last_words(closing):
                    await self._send({"type": "websocket.send", "text": text})
                await self._send({"type": "websocket.close", "code": closing.code.value, "reason": closing.reason})
        except OSError:
            # Gone, or not reading (TimeoutError is an OSError): no frame will reach it.
            self._peer.abort()


def _first(group: BaseExceptionGroup[CloseSocket]) -> CloseSocket:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, CloseSocket):
        raise TypeError(found)
    return found
