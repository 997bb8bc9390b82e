"""The routes of the wire, as ASGI applications; what they serve with comes from the lifespan's state."""

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route, WebSocketRoute

from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.http import serve_http
from graphql_api.delivery.outlet import Send
from graphql_api.delivery.plain import serve_plain_socket
from graphql_api.delivery.session import Receive, Scope
from graphql_api.delivery.websocket import serve_graphql_socket

__all__ = ["GRAPHQL_PATH", "PLAIN_PATH", "STATE_KEY", "Application", "routes"]

GRAPHQL_PATH = "/graphql"
PLAIN_PATH = "/ws/device-status"

STATE_KEY = "delivery"
"""Where the lifespan's state holds the :class:`Delivery`."""


class _GraphQL:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = _delivery(scope)
        if scope["type"] == "websocket":
            await serve_graphql_socket(scope, receive, send, delivery)
        else:
            await serve_http(scope, receive, send, delivery)


class _Plain:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve_plain_socket(scope, receive, send, _delivery(scope))


class Application(FastAPI):
    """FastAPI, but that WebSocket handshakes go past its middleware.

    All of that is for HTTP, and is a tenth of what it costs to let a client in: ten thousand may come back at once.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket" and (endpoint := _SOCKETS.get(scope["path"])) is not None:
            await endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


_SOCKETS: dict[str, _GraphQL | _Plain] = {GRAPHQL_PATH: _GraphQL(), PLAIN_PATH: _Plain()}


def routes() -> list[BaseRoute]:
    """All transports: HTTP, SSE, multipart and WebSocket on one path, the plain dialect on another."""
    return [
        Route(GRAPHQL_PATH, _GraphQL()),
        WebSocketRoute(GRAPHQL_PATH, _GraphQL()),
        WebSocketRoute(PLAIN_PATH, _Plain()),
    ]


def _delivery(scope: Scope) -> Delivery:
    found = scope["state"][STATE_KEY]
    if not isinstance(found, Delivery):
        raise TypeError(f"expected a Delivery in the lifespan's state, but got {type(found).__name__}")
    return found
