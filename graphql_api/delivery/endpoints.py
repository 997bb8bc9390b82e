"""The routes of the wire, as ASGI applications; what they serve with comes from the lifespan's state."""

from starlette.routing import BaseRoute, Route

from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.headers import Application, serve_with_headers
from graphql_api.delivery.http import serve_http
from graphql_api.delivery.outlet import Send
from graphql_api.delivery.plain import serve_plain_socket
from graphql_api.delivery.session import Receive, Scope
from graphql_api.delivery.websocket import serve_graphql_socket

__all__ = ["GRAPHQL_PATH", "PLAIN_PATH", "STATE_KEY", "Front", "routes"]

GRAPHQL_PATH = "/graphql"
PLAIN_PATH = "/ws/device-status"

STATE_KEY = "delivery"
"""Where the lifespan's state holds the :class:`Delivery`."""


class _GraphQL:
    """A class, because a function is not taken for an ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve_http(scope, receive, send, _delivery(scope))


def routes() -> list[BaseRoute]:
    """GraphQL over HTTP; its WebSockets don't come as far as here."""
    return [Route(GRAPHQL_PATH, _GraphQL())]


_SOCKETS = {GRAPHQL_PATH: serve_graphql_socket, PLAIN_PATH: serve_plain_socket}


class Front:
    """Stands before the application and all of its layers.

    A WebSocket is served from here: it has no use for the layers, and thousands connect at once when a server restarts.
    Answers over HTTP pass through here last, so that each has its headers, whoever made it.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        if scope["type"] == "websocket" and (serve := _SOCKETS.get(scope["path"])):
            await serve(scope, receive, send, _delivery(scope))
        elif scope["type"] == "http":
            delivery = _delivery(scope)
            await serve_with_headers(self._app, scope, receive, send, delivery.origins, delivery.refusals)
        else:
            await self._app(scope, receive, send)


def _delivery(scope: Scope) -> Delivery:
    found = scope["state"][STATE_KEY]
    if not isinstance(found, Delivery):
        raise TypeError(f"expected a Delivery in the lifespan's state, but got {type(found).__name__}")
    return found
