"""The paths of the wire, as ASGI applications; what they serve with comes from the lifespan's state."""

from fastapi import FastAPI

from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.handshake import Receive, Scope
from graphql_api.delivery.headers import serve_with_headers
from graphql_api.delivery.http import serve_http
from graphql_api.delivery.outlet import Send
from graphql_api.delivery.plain import serve_plain_socket
from graphql_api.delivery.websocket import serve_graphql_socket

__all__ = ["GRAPHQL_PATH", "PLAIN_PATH", "STATE_KEY", "Application"]

GRAPHQL_PATH = "/graphql"
PLAIN_PATH = "/ws/device-status"

STATE_KEY = "delivery"
"""Where the lifespan's state holds the :class:`Delivery`."""


class Application(FastAPI):
    """FastAPI, but that GraphQL goes past its middleware, and each answer over HTTP gets its headers.

    That middleware is a tenth of what it costs to let a client in, of whom ten thousand may come back at once, and a
    tenth of a publish: :func:`.http.serve_http` leaves nothing for it to do. The headers come last, so that no answer
    is without them, whoever has made it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket" and (serve := _SOCKETS.get(_path(scope))) is not None:
            await serve(scope, receive, send, _delivery(scope))
        elif scope["type"] == "http":
            delivery = _delivery(scope)
            answer = _serve_graphql if _path(scope) == GRAPHQL_PATH else super().__call__
            await serve_with_headers(answer, scope, receive, send, delivery.origins, delivery.refusals)
        else:
            await super().__call__(scope, receive, send)


async def _serve_graphql(scope: Scope, receive: Receive, send: Send) -> None:
    await serve_http(scope, receive, send, _delivery(scope))


_SOCKETS = {GRAPHQL_PATH: serve_graphql_socket, PLAIN_PATH: serve_plain_socket}


def _path(scope: Scope) -> str:
    # Where a proxy, or another application, serves this one under a path of its own, that comes first.
    path: str = scope["path"]
    within = path.removeprefix(scope.get("root_path", ""))
    return within if within.startswith("/") else path


def _delivery(scope: Scope) -> Delivery:
    found = scope["state"][STATE_KEY]
    if not isinstance(found, Delivery):
        raise TypeError(f"expected a Delivery in the lifespan's state, but got {type(found).__name__}")
    return found
