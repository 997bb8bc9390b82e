"""uvicorn, set up for this service: how it listens, how it ends."""

import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.supervisors import ChangeReload
from websockets.http11 import Request

from graphql_api.delivery.endpoints import STATE_KEY
from graphql_api.delivery.peer import offer

__all__ = ["Server", "run_server", "server_config"]


# uvicorn's protocol classes are no public interface: pyproject.toml pins the version, and
# tests/delivery/test_server.py fails when what is relied on here has changed.


class _HttpProtocol(HttpToolsProtocol):
    """Offers our ASGI extension to the application."""

    def on_message_begin(self) -> None:
        """A scope has been made, and nobody has it yet."""
        super().on_message_begin()
        offer(cast("MutableMapping[str, Any]", self.scope), self.transport)


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """The only WebSocket implementation of uvicorn's that is not deprecated; offers our ASGI extension."""

    def handle_connect(self, event: Request) -> None:
        """After a handshake that is no good there is no scope; else its task has not begun yet."""
        super().handle_connect(event)
        if (scope := getattr(self, "scope", None)) is not None:
            offer(scope, self.transport)


def server_config(
    app: Any, *, host: str, port: int, message_limit: int, shutdown_timeout: float, **options: Any
) -> uvicorn.Config:
    """How uvicorn serves the application; ``options`` go to uvicorn as they are.

    Times are seconds, sizes are bytes. Port 0 lets the system choose one.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_HttpProtocol,
        ws=_WebSocketProtocol,
        ws_max_size=message_limit,
        # Costs memory for each connection and time for each delivery, on messages of a few hundred bytes.
        ws_per_message_deflate=False,
        # uvicorn's own keep-alive closes with 1011, which is final for graphql-ws clients.
        ws_ping_interval=None,
        # A client that does not let go must not keep the process from ending. uvicorn takes whole seconds.
        timeout_graceful_shutdown=max(1, round(shutdown_timeout)),
        server_header=False,
        lifespan="on",
        **options,
    )


class Server(uvicorn.Server):
    """uvicorn's server, which tells the application when it is about to end, and others when it listens."""

    def __init__(self, config: uvicorn.Config, *, on_listening: Callable[[int], None] | None = None) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell the port."""
        await super().startup(sockets)
        if self.started and self._on_listening:
            self._on_listening(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streamed answers, which uvicorn would wait for, and shut down."""
        if delivery := self.lifespan.state.get(STATE_KEY):
            delivery.streams.end_all()
        await super().shutdown(sockets)


def run_server(config: uvicorn.Config, *, on_listening: Callable[[int], None] | None = None) -> bool:
    """Serve until SIGINT or SIGTERM; whether it came to serving at all.

    ``on_listening`` is called with the port; with reload, where another process serves, it is not.
    """
    server = Server(config, on_listening=on_listening)
    # After SIGINT uvicorn raises the signal once more, for whoever else may care: here nobody does.
    with suppress(KeyboardInterrupt):
        if config.should_reload:
            ChangeReload(config, target=server.run, sockets=[config.bind_socket()]).run()
            return True
        server.run()
    return server.started
