"""One accepted WebSocket: what the dialects have in common. Letting in, keep-alive, expiry, closing."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from graphql_api.access.claims import TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.access.tokens import UnknownKey
from graphql_api.delivery.admission import Full, Seat
from graphql_api.delivery.census import Served
from graphql_api.delivery.close_codes import CloseCode, close_reason
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.entitlement import Entitlement
from graphql_api.delivery.extension import wire_of
from graphql_api.delivery.handshake import Handshake, Receive, Scope
from graphql_api.delivery.origins import refusal_of
from graphql_api.delivery.outlet import FrameOutlet, Send, SocketOutlet, TextOutlet
from graphql_api.errors import Unavailable
from graphql_api.refusals import Limit
from graphql_api.schema import internal_error

__all__ = ["END_TIMEOUT", "CloseSocket", "Session", "serve_socket"]

END_TIMEOUT = 2.0
"""Seconds that a close frame, or the end of a body, may take to be taken by the network."""

_RESTART = "the service is restarting: connect again and resume"


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


class Session(ABC):
    """A conversation over one WebSocket, from the accepted handshake to the close frame.

    It has no task of its own: it is called when something comes, and writes what goes out. What it begins
    has ended, or been told to, when :meth:`on_gone` returns. Nothing is sent once the caller's token has expired or
    been revoked.
    """

    __slots__ = (
        "_admission",
        "_beat",
        "_closed",
        "_entitlement",
        "_init_timer",
        "_seat",
        "delivery",
        "outlet",
        "principal",
    )

    served: Served

    def __init__(self, delivery: Delivery, outlet: SocketOutlet) -> None:
        self.delivery = delivery
        self.outlet = outlet
        self.principal: Principal | None = None
        self._closed = False
        self._entitlement: Entitlement | None = None
        self._admission: asyncio.Task[None] | None = None
        self._init_timer: asyncio.TimerHandle | None = None
        self._beat = 0
        self._seat: Seat | None = None

    @abstractmethod
    def begin(self, handshake: Handshake) -> None:
        """The socket is open. Called once, before anything comes.

        Raises:
            CloseSocket: it is to be closed.
        """

    @abstractmethod
    def receive(self, message: str | bytes) -> None:
        """A message has come.

        Raises:
            CloseSocket: the socket is to be closed.
        """

    @abstractmethod
    def keep_alive(self) -> None:
        """It is time for a sign of life."""

    @abstractmethod
    def on_drained(self) -> None:
        """The client has taken all that it was sent."""

    @abstractmethod
    def stop(self) -> None:
        """End all that was begun for the client: nothing can be sent any more."""

    def last_words(self, closing: CloseSocket) -> bytes | None:  # noqa: ARG002 - for those dialects that have some
        """What to send before the close frame, if anything."""
        return None

    def open(self, handshake: Handshake) -> None:
        """Begin, and count in."""
        self.delivery.census.enter(self.served)
        self._beat = self.delivery.heartbeat.add(self)
        self._init_timer = asyncio.get_running_loop().call_later(
            self.delivery.connection_init_timeout, self._init_is_late
        )
        self._guarded(self._enter, handshake)

    def admit(self, token: str | None, then: Callable[[Principal], None]) -> None:
        """Let the bearer of this token in until it expires or is revoked, and go on with ``then``.

        As a rule all has happened when this returns; a key that is not known yet is waited for.

        Raises:
            CloseSocket: the token is refused, its subject has too many connections, or ``then`` wants it closed.
        """
        self._forget_init_timer()
        try:
            principal = self.delivery.verifier.verify(token)
        except UnknownKey:
            self._admission = self.delivery.start(self._admit_later(token, then))
            return
        except TokenRefused as refusal:
            raise CloseSocket.refused(refusal) from refusal
        self._let_in(principal, then)

    def entitle(self, principal: Principal) -> None:
        """From now on this caller is served, until the token expires or is revoked; any other one is forgotten."""
        if self._entitlement:
            self._entitlement.cancel()
        self._admission = None
        self.principal = principal
        self._entitlement = Entitlement(self.delivery.expiries, self.delivery.revocations, principal, self._end)

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._closed

    def send(self, text: str | bytes | None) -> None:
        """Send a message, if there is one."""
        if text is None or self._closed:
            return
        # Whoever is sent something is still entitled to it.
        self.delivery.expiries.expire()
        if not self._closed:
            self.outlet.send_text(text.encode() if isinstance(text, str) else text)

    def close(self, closing: CloseSocket) -> None:
        """Close the socket. May be repeated: the first time counts."""
        if self._closed:
            return
        self.on_gone()
        if (text := self.last_words(closing)) is not None:
            self.outlet.send_text(text)
        self.outlet.close(closing.code.value, closing.reason)

    def on_message(self, message: str | bytes) -> None:
        """As :class:`graphql_api.delivery.extension.Client` says, like those below."""
        if not self._closed:
            self._guarded(self.receive, message)

    def on_writable(self, *, writable: bool) -> None:
        """Flow control: what is behind stays in the log until the client takes what it was sent."""
        self.outlet.writable = writable
        if self._closed:
            return
        if writable:
            self.delivery.patience.forget(self)
            self.on_drained()
        else:
            self.delivery.patience.watch(self, self.outlet.untaken, self._stall)

    def on_gone(self) -> None:
        """Count out."""
        if self._closed:
            return
        self._closed = True
        self.stop()
        self._forget_init_timer()
        delivery = self.delivery
        delivery.heartbeat.remove(self._beat, self)
        delivery.patience.forget(self)
        if self._admission:
            self._admission.cancel()
        if self._entitlement:
            self._entitlement.cancel()
        if self._seat:
            self._seat.leave()
        delivery.census.leave(self.served)

    def on_oversized(self) -> None:
        """Count it."""
        self.delivery.refusals.count(Limit.MESSAGE_SIZE)

    def on_restart(self) -> None:
        """Say so."""
        self.close(CloseSocket(CloseCode.SERVICE_RESTART, _RESTART))

    def _enter(self, handshake: Handshake) -> None:
        delivery, origin = self.delivery, handshake.origin
        if origin is not None and not delivery.origins.allow(origin, handshake.own_origin):
            delivery.refusals.count(Limit.ORIGIN)
            raise CloseSocket(CloseCode.FORBIDDEN, refusal_of(origin))
        with _closing_when_full():
            self._seat = delivery.admission.enter(handshake.address)
        self.begin(handshake)

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            act(*arguments)
        except CloseSocket as closing:
            self.close(closing)
        except Exception as error:  # noqa: BLE001 - whatever it is, one client alone is to suffer
            error_id = internal_error(error)["extensions"]["errorId"]
            sentence = f"an internal error, in the log under {error_id}: connect again and resume"
            self.close(CloseSocket(CloseCode.TRY_AGAIN_LATER, sentence))

    def _forget_init_timer(self) -> None:
        if self._init_timer:
            self._init_timer.cancel()
            self._init_timer = None

    def _init_is_late(self) -> None:
        self.close(CloseSocket(CloseCode.CONNECTION_INIT_TIMEOUT))

    def _let_in(self, principal: Principal, then: Callable[[Principal], None]) -> None:
        if self._seat:
            with _closing_when_full():
                self._seat.belongs_to(principal.subject)
        self.entitle(principal)
        then(principal)

    async def _admit_later(self, token: str | None, then: Callable[[Principal], None]) -> None:
        try:
            principal = await self.delivery.verifier.verify_with_new_keys(token)
        except TokenRefused as refusal:
            self.close(CloseSocket.refused(refusal))
        except Unavailable as error:
            self.close(CloseSocket(CloseCode.TRY_AGAIN_LATER, str(error)))
        else:
            self._guarded(self._let_in, principal, then)

    def _end(self, refusal: TokenRefused) -> None:
        self.close(CloseSocket.refused(refusal))

    def _stall(self) -> None:
        self.close(
            CloseSocket(CloseCode.TRY_AGAIN_LATER, "this client has not taken a byte for too long; resume later")
        )


@contextmanager
def _closing_when_full() -> Iterator[None]:
    try:
        yield
    except Full as full:
        raise CloseSocket(CloseCode.TRY_AGAIN_LATER, str(full)) from full


SessionFactory = Callable[[Delivery, SocketOutlet], Session]


async def serve_socket(
    make: SessionFactory, scope: Scope, receive: Receive, send: Send, delivery: Delivery, subprotocol: str | None
) -> None:
    """Serve one handshake: accept it, and converse.

    On this service's own server it returns at once, and the server calls the session from then on.
    """
    await receive()
    handshake = Handshake.of(scope)
    try:
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
    except OSError:
        return
    if wire := wire_of(scope):
        session = make(delivery, FrameOutlet(wire))
        session.open(handshake)
        wire.hand_over(session)
    else:
        await _converse(make, handshake, receive, send, delivery)


async def _converse(
    make: SessionFactory, handshake: Handshake, receive: Receive, send: Send, delivery: Delivery
) -> None:
    """Over ASGI alone: one task sends, another one receives."""
    outlet = TextOutlet(send, lambda *, writable: session.on_writable(writable=writable))
    session: Session = make(delivery, outlet)
    try:
        async with asyncio.TaskGroup() as tasks:
            sender = tasks.create_task(_send_all(outlet), name="outgoing")
            receiver = tasks.create_task(_receive_all(session, outlet, receive), name="incoming")
            ending = tasks.create_task(outlet.until_ended(), name="ending")
            session.open(handshake)
            # A client that does not read keeps both of the others waiting for ever.
            await asyncio.wait([sender, receiver, ending], return_when=asyncio.FIRST_COMPLETED)
            if outlet.ended:
                await asyncio.wait([sender], timeout=END_TIMEOUT)
            for task in (sender, receiver, ending):
                task.cancel()
    finally:
        session.on_gone()


async def _send_all(outlet: TextOutlet) -> None:
    with suppress(OSError):
        await outlet.run()


async def _receive_all(session: Session, outlet: TextOutlet, receive: Receive) -> None:
    while not session.closed:
        # Who does not read the answers is not listened to.
        await outlet.room()
        message = await receive()
        if message["type"] == "websocket.disconnect":
            break
        text: str | None = message.get("text")
        session.on_message(text if text is not None else message.get("bytes") or b"")
