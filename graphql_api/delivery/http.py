"""GraphQL over HTTP at ``/graphql``: single answers here, streams handed to :mod:`.streaming`.

The rules are in :mod:`.request` and :mod:`.negotiation`; this is the shell that does the I/O.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from graphql import OperationType

from graphql_api.access.bearer import token_from_header
from graphql_api.access.claims import TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.delivery.admission import Full, Seat, address_of
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.extension import transport_of
from graphql_api.delivery.handshake import Gone, Receive, Scope, header
from graphql_api.delivery.negotiation import MediaType, choose, status_for
from graphql_api.delivery.operations import errors_of
from graphql_api.delivery.outlet import Send
from graphql_api.delivery.request import GraphQLRequest, HttpProblem, parse_request
from graphql_api.delivery.resume import kept, resume_point
from graphql_api.delivery.streaming import STREAMED, StreamRequest, refuse_stream, serve_stream
from graphql_api.errors import LimitExceeded, RateLimited, ServiceError, Unauthenticated, Unavailable
from graphql_api.refusals import Limit
from graphql_api.schema import (
    FormattedError,
    Operation,
    OperationRefused,
    RequestContext,
    Result,
    encode_errors,
    internal_error,
    request_error,
)

__all__ = ["serve_http"]

# Characters of the longest document that is looked into for somebody who sends no token: room for introspection twice
# over. Whatever else they ask for is refused anyway, and reading a document takes longer the longer it is.
_LONGEST_WITHOUT_TOKEN = 4_096

# Names can't be written in any other way. That a comment may hold one does no harm.
_INTROSPECTION = re.compile(r"\b__(?:schema|type)\b")

# Seconds after which a connection for which there was no room may be tried again.
_COME_BACK = "10"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    media_type: MediaType
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that is understood: who asks what, and how the answer should look."""

    request: GraphQLRequest
    operation: Operation
    media_type: MediaType
    caller: Principal | None
    seat: Seat | None = None
    """That of an answer which is streamed."""


async def serve_http(scope: Scope, receive: Receive, send: Send, delivery: Delivery) -> None:
    """Answer one HTTP request at ``/graphql``."""
    accept = _accept(scope)
    refusals = choose(accept, subscription=False) or MediaType.JSON
    try:
        asked = await _understand(scope, receive, delivery, accept)
    except Gone:
        return
    except HttpProblem as problem:
        answer = _Answer(problem.status, _single(refusals), problem.body, tuple(problem.headers.items()))
    except TokenRefused as refusal:
        answer = _refuse_token(refusal, _single(refusals))
    except (RateLimited, Unavailable) as error:
        answer = _later(error, refusals)
    except OperationRefused as refused:
        if refusals in STREAMED:
            # Whoever reads nothing but a stream is told in one.
            await refuse_stream(receive, send, refused.errors, refusals, transport_of(scope))
            return
        answer = _refuse(refusals, refused.errors)
    except Exception as error:  # noqa: BLE001 - the client gets an id, the log gets the error
        answer = _Answer(500, _single(refusals), encode_errors([internal_error(error)]))
    else:
        if asked.media_type in STREAMED:
            with _seated(asked):
                await serve_stream(receive, send, delivery, _stream_of(asked, scope))
            return
        answer = await _answer(asked, delivery)
    await _send_answer(send, answer)


async def _understand(scope: Scope, receive: Receive, delivery: Delivery, accept: str | None) -> _Asked:
    method = scope["method"]
    caller = await _caller(scope, delivery)
    body = await delivery.bodies.read(receive, with_token=caller is not None) if method == "POST" else b""
    request = parse_request(method, scope["query_string"], header(scope, b"content-type"), body)
    if caller:
        delivery.pace.begin_over_http(address_of(scope), caller.subject)
    else:
        _admit_stranger(scope, request.query, delivery)
    operation = delivery.executor.prepare(request.query, request.operation_name)
    if method == "GET" and operation.type is OperationType.MUTATION:
        raise HttpProblem(405, "expected POST for a mutation, but got GET", {"Allow": "POST"})
    subscription = operation.type is OperationType.SUBSCRIPTION
    chosen = choose(accept, subscription=subscription)
    if chosen is None:
        raise HttpProblem(406, _not_acceptable(subscription=subscription))
    seat = _take_seat(scope, caller, delivery) if chosen in STREAMED else None
    return _Asked(request, operation, chosen, caller, seat)


def _admit_stranger(scope: Scope, query: str, delivery: Delivery) -> None:
    """See that what somebody without a token asks for costs little."""
    introspects = _INTROSPECTION.search(query) is not None
    delivery.pace.begin_without_token(address_of(scope), introspects=introspects)
    if len(query) <= _LONGEST_WITHOUT_TOKEN:
        return
    delivery.refusals.count(Limit.ANONYMOUS_DOCUMENT)
    sentence = (
        f"Expected a token with a document of over {_LONGEST_WITHOUT_TOKEN} characters, but none came with the call. "
        "Send it as `Authorization: Bearer ...`."
    )
    raise OperationRefused([request_error(Unauthenticated.code, sentence)])


def _accept(scope: Scope) -> str | None:
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == b"accept"]
    return ", ".join(values) if values else None


async def _caller(scope: Scope, delivery: Delivery) -> Principal | None:
    token = token_from_header(header(scope, b"authorization"))
    return None if token is None else await delivery.verifier.verify_with_new_keys(token)


def _single(media_type: MediaType) -> MediaType:
    """What a single answer that is no result at all is sent as."""
    return MediaType.JSON if media_type in STREAMED else media_type


def _refuse_token(refusal: TokenRefused, media_type: MediaType) -> _Answer:
    # RFC 6750, section 3.1. A header is ASCII and a quoted string; our own sentences hold no quotes
    # but these.
    description = str(refusal).replace('"', "'")
    error = {"message": str(refusal), "extensions": refusal.extensions}
    challenge = f'Bearer error="invalid_token", error_description="{description}"'
    return _Answer(401, media_type, encode_errors([error]), (("WWW-Authenticate", challenge),))


def _later(error: RateLimited | Unavailable, media_type: MediaType) -> _Answer:
    if isinstance(error, RateLimited):
        return _slow_down(error, media_type)
    return _Answer(503, _single(media_type), encode_errors(errors_of(error)), (("Retry-After", "5"),))


def _slow_down(limited: RateLimited, media_type: MediaType) -> _Answer:
    """As any refused operation, but that a status that may say so is 429 (RFC 6585, section 4)."""
    status = 200 if media_type is MediaType.JSON else 429
    retry_after = ("Retry-After", str(ceil(limited.retry_after)))
    return _Answer(status, _single(media_type), encode_errors(errors_of(limited)), (retry_after,))


def _take_seat(scope: Scope, caller: Principal | None, delivery: Delivery) -> Seat:
    try:
        seat = delivery.admission.enter(address_of(scope))
        try:
            if caller:
                seat.belongs_to(caller.subject)
        except Full:
            seat.leave()
            raise
    except Full as full:
        status = 503 if full.limit is Limit.CONNECTIONS else 429
        raise HttpProblem(status, str(full), {"Retry-After": _COME_BACK}, code=LimitExceeded.code) from full
    return seat


@contextmanager
def _seated(asked: _Asked) -> Iterator[None]:
    try:
        yield
    finally:
        if asked.seat:
            asked.seat.leave()


def _refuse(media_type: MediaType, errors: Sequence[FormattedError]) -> _Answer:
    return _Answer(status_for(media_type, has_data=False), media_type, encode_errors(errors))


def _stream_of(asked: _Asked, scope: Scope) -> StreamRequest:
    return StreamRequest(
        operation=asked.operation,
        variables=asked.request.variables,
        media_type=asked.media_type,
        caller=asked.caller,
        resume_from=kept(
            header(scope, b"last-event-id") or None, resume_point(asked.request.extensions.get("resumeFrom"))
        ),
        transport=transport_of(scope),
    )


async def _answer(asked: _Asked, delivery: Delivery) -> _Answer:
    context = RequestContext(delivery.service, asked.caller)
    try:
        result = await delivery.executor.execute(asked.operation, asked.request.variables, context)
        body = result.encode()
    except (OperationRefused, ServiceError) as refused:
        return _refuse(asked.media_type, errors_of(refused))
    except Exception as error:  # noqa: BLE001 - the client gets an id, the log gets the error
        body = Result(None, (internal_error(error),)).encode()
    status = status_for(asked.media_type, has_data=True)
    return _Answer(status, asked.media_type, body)


def _not_acceptable(*, subscription: bool) -> str:
    if subscription:
        return "expected Accept to allow text/event-stream or multipart/mixed for a subscription; or use a WebSocket"
    return "expected Accept to allow application/graphql-response+json or application/json"


async def _send_answer(send: Send, answer: _Answer) -> None:
    headers = [
        (b"content-type", answer.media_type.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
