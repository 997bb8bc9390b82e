"""Subscriptions over HTTP: Server-Sent Events, and Apollo's multipart protocol."""

import asyncio
from asyncio import Transport
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphql import OperationType

from graphql_api.access.claims import TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.delivery import multipart, sse
from graphql_api.delivery.census import Served
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.entitlement import Entitlement
from graphql_api.delivery.frames import MULTIPART, SERVER_SENT_EVENTS, Lane
from graphql_api.delivery.handshake import Gone, Receive
from graphql_api.delivery.negotiation import MediaType
from graphql_api.delivery.operations import errors_of, renderer_of, sharing_key
from graphql_api.delivery.outlet import AsgiOutlet, Send
from graphql_api.delivery.session import END_TIMEOUT
from graphql_api.delivery.sharing import Member
from graphql_api.devices.model import Head
from graphql_api.schema import FormattedError, Operation, RequestContext, encode_errors

__all__ = ["STREAMED", "StreamRequest", "refuse_stream", "serve_stream"]

STREAMED = frozenset([MediaType.EVENT_STREAM, MediaType.MULTIPART])
"""The media types whose body is a stream of results."""


class _Framing(Protocol):
    """How results look in the body."""

    opening: bytes
    keep_alive: bytes
    complete: bytes
    lane: Lane

    def result(self, encoded: bytes) -> bytes: ...

    def checkpoint(self, cursor: str) -> bytes: ...


class _EventStream:
    opening = b""
    keep_alive = sse.KEEP_ALIVE
    complete = sse.COMPLETE
    lane = SERVER_SENT_EVENTS

    def result(self, encoded: bytes) -> bytes:
        return sse.next_event(encoded)

    def checkpoint(self, cursor: str) -> bytes:
        return sse.checkpoint(cursor)


class _Multipart:
    opening = multipart.OPENING
    keep_alive = multipart.HEARTBEAT
    complete = multipart.CLOSING
    lane = MULTIPART

    def result(self, encoded: bytes) -> bytes:
        return multipart.next_part(encoded)

    def checkpoint(self, cursor: str) -> bytes:  # noqa: ARG002 - the protocol has no place for one
        return multipart.HEARTBEAT


_FRAMINGS: dict[MediaType, tuple[_Framing, Served]] = {
    MediaType.EVENT_STREAM: (_EventStream(), Served.EVENT_STREAM),
    MediaType.MULTIPART: (_Multipart(), Served.MULTIPART),
}


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What is to be streamed to whom."""

    operation: Operation
    variables: Mapping[str, Any]
    media_type: MediaType
    caller: Principal | None
    resume_from: Sequence[str]
    transport: Transport | None


async def serve_stream(receive: Receive, send: Send, delivery: Delivery, asked: StreamRequest) -> None:
    """Answer with a stream of results until it ends, the client goes, or the token expires.

    A body that ends for expiry, stall or with the server ends without its closing mark, so that clients come back.
    """
    framing, served = _FRAMINGS[asked.media_type]
    with delivery.census.counting(served):
        await _start(send, framing, asked.media_type)
        body = _Body(send, framing, delivery, asked)
        left = delivery.seconds_left(asked.caller) if asked.caller else None
        try:
            async with delivery.streams.limited(left) as end_soon:
                body.end_soon = end_soon
                async with asyncio.TaskGroup() as tasks:
                    watch = tasks.create_task(_watch_for_disconnect(receive), name="disconnect")
                    tasks.create_task(body.outlet.run(), name="outgoing")
                    try:
                        await body.deliver()
                    finally:
                        watch.cancel()
        except* (Gone, OSError):
            # TimeoutError, which is an OSError: the token has expired, the client has taken nothing for too
            # long, or the server is about to end.
            pass
        finally:
            body.stop()
        await _end(receive, send, asked.transport)


async def refuse_stream(
    receive: Receive,
    send: Send,
    errors: Sequence[FormattedError],
    media_type: MediaType,
    transport: Transport | None,
) -> None:
    """Answer with a stream that holds nothing but the errors of an operation that can't be executed.

    Source: GraphQL over SSE, section "Distinct connections mode": validation errors are ``next`` events.
    """
    framing, _ = _FRAMINGS[media_type]
    await _start(send, framing, media_type)
    for frame in (framing.result(encode_errors(errors)), framing.complete):
        await send(_part(frame))
    await _end(receive, send, transport)


async def _start(send: Send, framing: _Framing, media_type: MediaType) -> None:
    """Send status and headers, at once: the client sees that it is connected."""
    headers = [
        (b"content-type", media_type.content_type.encode()),
        (b"cache-control", b"no-store"),
        # nginx holds a streamed answer back unless told not to.
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(_part(framing.opening))


async def _end(receive: Receive, send: Send, transport: Transport | None) -> None:
    # A client that does not read makes this wait for ever.
    try:
        async with asyncio.timeout(END_TIMEOUT):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        if transport:
            transport.abort()
            # Until then the server would take it for an answer that was forgotten half-way, and log an error.
            await _disconnected(receive)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _watch_for_disconnect(receive: Receive) -> None:
    await _disconnected(receive)
    raise Gone


def _part(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


class _Subscription(Member):
    """The subscription of one streamed answer."""

    __slots__ = ("_is_live", "body")

    def __init__(self, body: "_Body", lane: Lane) -> None:
        super().__init__(body.outlet, lane)
        self.body = body
        self._is_live = False

    def on_level(self, place: Head) -> None:
        """As soon as it is live the client gets a cursor, unless the last result had it."""
        if self._is_live:
            return
        self._is_live = True
        if self.told != place.version and self.group:
            self.told = place.version
            self.body.tell(self.group.cursor(place))

    def on_refused(self, error: Exception) -> None:
        """There is nothing to stream but the reason."""
        self.body.end(error)

    def checkpoint(self) -> str | None:
        """The cursor of where it stands, where that is further than its client knows."""
        place = self.audience.checkpoint(self) if self.audience else None
        if self.group is None or place is None or place.version <= max(self.told, self.group.sent):
            return None
        self.told = place.version
        return self.group.cursor(place)


class _Body:
    """The body of one streamed answer."""

    def __init__(self, send: Send, framing: _Framing, delivery: Delivery, asked: StreamRequest) -> None:
        self._asked = asked
        self._framing = framing
        self._delivery = delivery
        self._waiting = asked.transport.get_write_buffer_size if asked.transport else None
        self.outlet = AsgiOutlet(send, lambda data: [_part(data)], self._on_writable)
        self.end_soon: Callable[[], None] = lambda: None
        self._ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._subscription: _Subscription | None = None
        self._entitlement: Entitlement | None = None
        self._beat: int | None = None

    async def deliver(self) -> None:
        """Write the results of the operation, and the closing mark."""
        operation, variables, caller = self._asked.operation, self._asked.variables, self._asked.caller
        if caller:
            delivery = self._delivery
            self._entitlement = Entitlement(delivery.expiries, delivery.revocations, caller, self._end_entitlement)
        self._beat = self._delivery.heartbeat.add(self)
        try:
            if operation.type is OperationType.SUBSCRIPTION:
                await self._subscribe()
            else:
                context = RequestContext(self._delivery.service, caller)
                result = await self._delivery.executor.execute(operation, variables, context)
                self._write(self._framing.result(result.encode()))
        except (Gone, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - the client gets an id, the log gets the error
            self._write(self._framing.result(encode_errors(errors_of(error))))
        self.outlet.end(_part(self._framing.complete))

    def keep_alive(self) -> None:
        """A checkpoint, or a sign of life."""
        if not self.outlet.writable:
            return
        checkpoint = self._subscription.checkpoint() if self._subscription else None
        self._write(self._framing.checkpoint(checkpoint) if checkpoint else self._framing.keep_alive)

    def tell(self, cursor: str) -> None:
        """Send a cursor without a result."""
        self._write(self._framing.checkpoint(cursor))

    def end(self, error: Exception) -> None:
        """There will be no results."""
        if not self._ended.done():
            self._ended.set_exception(error)

    def stop(self) -> None:
        """Let go of everything."""
        if self._subscription:
            self._delivery.sharing.unsubscribe(self._subscription)
        if self._entitlement:
            self._entitlement.cancel()
        if self._beat is not None:
            self._delivery.heartbeat.remove(self._beat, self)
        self._delivery.patience.forget(self)
        if not self._ended.done():
            self._ended.cancel()

    async def _subscribe(self) -> None:
        asked = self._asked
        visibility = asked.caller.visibility if asked.caller else None
        self._subscription = _Subscription(self, self._framing.lane)
        self._delivery.sharing.subscribe(
            sharing_key(asked.operation, asked.variables, visibility),
            renderer_of(self._delivery, asked.operation, asked.variables, visibility),
            self._subscription,
            asked.resume_from,
        )
        await self._ended

    def _write(self, frame: bytes) -> None:
        self._delivery.expiries.expire()
        self.outlet.write(frame)

    def _end_entitlement(self, _refusal: TokenRefused) -> None:
        # Nothing is written any more, from this very moment on. A body has no place for the reason: whoever comes
        # back is told.
        self.outlet.ended = True
        self.end_soon()
        self.stop()

    def _on_writable(self, *, writable: bool) -> None:
        if not writable:
            self._delivery.patience.watch(self, self._waiting or self.outlet.untaken, self._stall)
            return
        self._delivery.patience.forget(self)
        if self._subscription and self._subscription.audience:
            self._subscription.audience.drained(self._subscription)

    def _stall(self) -> None:
        self.end_soon()
