"""Subscriptions over HTTP: Server-Sent Events, and Apollo's multipart protocol."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from graphql import OperationType

from graphql_api.access.principal import Principal
from graphql_api.delivery import multipart, sse
from graphql_api.delivery.census import Served
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.negotiation import MediaType
from graphql_api.delivery.outgoing import Send
from graphql_api.delivery.peer import Peer
from graphql_api.delivery.session import END_TIMEOUT, Gone, Receive
from graphql_api.schema import (
    FormattedError,
    Operation,
    OperationRefused,
    RequestContext,
    SubscriptionContext,
    encode_errors,
    internal_error,
)

__all__ = ["STREAMED", "StreamRequest", "refuse_stream", "serve_stream"]

STREAMED = frozenset([MediaType.EVENT_STREAM, MediaType.MULTIPART])
"""The media types whose body is a stream of results."""


class _Framing(Protocol):
    """How results look in the body."""

    opening: bytes
    keep_alive: bytes
    complete: bytes

    def result(self, encoded: bytes, cursor: str | None) -> bytes: ...

    def checkpoint(self, cursor: str) -> bytes: ...


class _EventStream:
    opening = b""
    keep_alive = sse.KEEP_ALIVE
    complete = sse.COMPLETE

    def result(self, encoded: bytes, cursor: str | None) -> bytes:
        return sse.next_event(encoded, cursor)

    def checkpoint(self, cursor: str) -> bytes:
        return sse.checkpoint(cursor)


class _Multipart:
    opening = multipart.OPENING
    keep_alive = multipart.HEARTBEAT
    complete = multipart.CLOSING

    def result(self, encoded: bytes, cursor: str | None) -> bytes:  # noqa: ARG002 - it is in the result's extensions
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
    peer: Peer


async def serve_stream(receive: Receive, send: Send, delivery: Delivery, asked: StreamRequest) -> None:
    """Answer with a stream of results until it ends, the client goes, or the token expires.

    A body that ends for expiry, stall or with the server ends without its closing mark, so that clients come back.
    """
    framing, served = _FRAMINGS[asked.media_type]
    body = _Body(send, framing, delivery, asked)
    with delivery.census.counting(served):
        await _start(send, framing, asked.media_type)
        left = delivery.seconds_left(asked.caller) if asked.caller else None
        try:
            async with delivery.streams.limited(left) as end_soon:
                with delivery.patience.watching(asked.peer, end_soon):
                    async with asyncio.TaskGroup() as tasks:
                        watch = tasks.create_task(_watch_for_disconnect(receive), name="disconnect")
                        keep_alive = tasks.create_task(body.keep_alive(), name="keep-alive")
                        await body.deliver()
                        watch.cancel()
                        keep_alive.cancel()
        except* (Gone, OSError):
            # TimeoutError, which is an OSError: the token has expired, the client has taken nothing for too
            # long, or the server is about to end.
            pass
        await _end(send, asked.peer)


async def refuse_stream(send: Send, errors: Sequence[FormattedError], media_type: MediaType, peer: Peer) -> None:
    """Answer with a stream that holds nothing but the errors of an operation that can't be executed.

    Source: GraphQL over SSE, section "Distinct connections mode": validation errors are ``next`` events.
    """
    framing, _ = _FRAMINGS[media_type]
    await _start(send, framing, media_type)
    for frame in (framing.result(encode_errors(errors), None), framing.complete):
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    await _end(send, peer)


async def _start(send: Send, framing: _Framing, media_type: MediaType) -> None:
    """Send status and headers, at once: the client sees that it is connected."""
    headers = [
        (b"content-type", media_type.content_type.encode()),
        (b"cache-control", b"no-store"),
        # nginx holds a streamed answer back unless told not to.
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": framing.opening, "more_body": True})


async def _end(send: Send, peer: Peer) -> None:
    # A client that does not read makes this wait for ever.
    try:
        async with asyncio.timeout(END_TIMEOUT):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        peer.abort()


async def _watch_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise Gone


class _Body:
    """The body of one streamed answer; one writer at a time."""

    def __init__(self, send: Send, framing: _Framing, delivery: Delivery, asked: StreamRequest) -> None:
        self._asked = asked
        self._send = send
        self._framing = framing
        self._delivery = delivery
        self._context: SubscriptionContext | None = None
        self._told: str | None = None
        # A frame must not begin inside another one; a stalled client makes both writers wait.
        self._writing = asyncio.Lock()
        self._live = asyncio.Event()

    async def deliver(self) -> None:
        """Send the results of the operation, and the closing mark."""
        try:
            results = self._subscribe if self._asked.operation.type is OperationType.SUBSCRIPTION else self._execute
            async with aclosing(results()) as frames:
                async for frame in frames:
                    await self._write(frame)
        except OperationRefused as refused:
            await self._write(self._framing.result(encode_errors(refused.errors), None))
        except (Gone, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - the client gets an id, the log gets the error
            await self._write(self._framing.result(encode_errors([internal_error(error)]), None))
        await self._write(self._framing.complete)

    async def keep_alive(self) -> None:
        """Send a checkpoint when the subscription is live, and at every interval one or a sign of life."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._delivery.keep_alive):
                    await self._live.wait()
            self._live.clear()
            checkpoint = self._context.checkpoint if self._context else None
            if checkpoint and checkpoint != self._told:
                self._told = checkpoint
                await self._write(self._framing.checkpoint(checkpoint))
            else:
                await self._write(self._framing.keep_alive)

    async def _execute(self) -> AsyncGenerator[bytes, None]:
        context = RequestContext(self._delivery.service, self._asked.caller)
        result = await self._delivery.executor.execute(self._asked.operation, self._asked.variables, context)
        yield self._framing.result(result.encode(), None)

    async def _subscribe(self) -> AsyncGenerator[bytes, None]:
        visibility = self._asked.caller.visibility if self._asked.caller else None
        context = SubscriptionContext(
            self._delivery.service, visibility, on_live=self._live.set, resume_from=self._asked.resume_from
        )
        self._context = context
        try:
            async with aclosing(
                self._delivery.executor.subscribe(self._asked.operation, self._asked.variables, context)
            ) as results:
                async for result in results:
                    cursor = context.cursor
                    self._told = cursor or self._told
                    yield self._framing.result(result.encode(cursor), cursor)
        finally:
            await context.close()

    async def _write(self, frame: bytes) -> None:
        async with self._writing:
            if self._asked.caller and self._delivery.has_expired(self._asked.caller):
                raise Gone
            await self._send({"type": "http.response.body", "body": frame, "more_body": True})
