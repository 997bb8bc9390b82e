"""What every HTTP answer says to browsers: how little it may do (security headers), and to whose pages (CORS)."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from graphql_api.delivery.handshake import Receive, Scope
from graphql_api.delivery.origins import Origins, origin_of, own_origin_of, preflight_headers, refusal_of
from graphql_api.delivery.outlet import Message, Send
from graphql_api.refusals import Limit, Refusals

__all__ = ["security_headers", "serve_with_headers"]

_Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# An answer that is data, opened as a page, may load and do nothing.
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# Pages come from here with all they need; GraphiQL's editor writes styles and starts workers, and its icons are data.
_PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'"
    b" data:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none';"
    b" form-action 'none'"
)
_EVERYWHERE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


def security_headers(content_type: bytes) -> list[tuple[bytes, bytes]]:
    """The headers that keep a browser from doing with an answer what it is not meant for."""
    is_page = content_type.lower().startswith(b"text/html")
    return [*_EVERYWHERE, (b"content-security-policy", _PAGE_POLICY if is_page else _DATA_POLICY)]


async def serve_with_headers(
    app: _Application, scope: Scope, receive: Receive, send: Send, origins: Origins, refusals: Refusals
) -> None:
    """Have an HTTP request answered, and add the headers; preflights of browsers are answered here.

    What the application says itself counts. Bodies pass through as they come.
    """
    origin, own = origin_of(scope), own_origin_of(scope)
    cors = origins.cors_headers(origin, own)

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = _completed(message.get("headers", ()), cors)
        await send(message)

    if scope["method"] == "OPTIONS" and origin and _asks_for_permission(scope):
        await _answer_preflight(send_with_headers, origin, own, origins, refusals)
    else:
        await app(scope, receive, send_with_headers)


def _completed(headers: Any, cors: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    said = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    names = {name for name, _ in said}
    content_type = next((value for name, value in said if name == b"content-type"), b"")
    added = [(name, value) for name, value in security_headers(content_type) if name not in names]
    return [*said, *added, *cors]


def _asks_for_permission(scope: Scope) -> bool:
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


async def _answer_preflight(send: Send, origin: str, own: str, origins: Origins, refusals: Refusals) -> None:
    if origins.allow(origin, own):
        await send({"type": "http.response.start", "status": 204, "headers": preflight_headers()})
        await send({"type": "http.response.body", "body": b""})
        return
    refusals.count(Limit.ORIGIN)
    body = orjson.dumps({"errors": [{"message": refusal_of(origin), "extensions": {"code": "FORBIDDEN"}}]})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
