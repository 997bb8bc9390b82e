"""uvicorn, set up for this service: how it listens, how it ends."""

import gc
import os
import socket
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, cast

import uvicorn
from uvicorn.supervisors import ChangeReload

from graphql_api.delivery.endpoints import STATE_KEY
from graphql_api.delivery.extension import offer
from graphql_api.delivery.head import HeadLimitedProtocol
from graphql_api.delivery.wire_protocol import WireProtocol

__all__ = ["Server", "run_server", "server_config"]


_AFTER_OURSELVES = 10.0
"""Seconds after which the system drops a client that takes nothing, when we did not: ours says why."""

# uvicorn's protocol classes are no public interface: pyproject.toml pins the version, and
# tests/delivery/test_server.py fails when what is relied on here has changed.


class _HttpProtocol(HeadLimitedProtocol):
    """Offers our ASGI extension to the application."""

    def on_message_begin(self) -> None:
        """A scope has been made, and nobody has it yet."""
        super().on_message_begin()
        offer(cast("MutableMapping[str, Any]", self.scope), transport=self.transport)

    def handle_websocket_upgrade(self) -> None:
        """Another protocol object takes over: this one is needed no longer, and would wait for a full collection."""
        if self.cycle is not None and not self.cycle.response_complete:
            # Answers come in the order of the requests (RFC 9112 section 9.3.2). This one would go on in the middle of
            # the frames, and never hear that the client has gone, or does not read.
            self.transport.abort()
            return
        super().handle_websocket_upgrade()
        # Parser and protocol hold each other.
        self.parser = self.scope = self.headers = self.flow = None  # type: ignore[assignment] # let go


def server_config(
    app: Any,
    *,
    host: str,
    port: int,
    message_limit: int,
    shutdown_timeout: float,
    trusted_proxies: Sequence[str] = (),
    **options: Any,
) -> uvicorn.Config:
    """How uvicorn serves the application; ``options`` go to uvicorn as they are.

    Times are seconds, sizes are bytes. Port 0 lets the system choose one.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=_HttpProtocol,
        ws=WireProtocol,
        ws_max_size=message_limit,
        # Costs memory for each connection and time for each delivery, on messages of a few hundred bytes.
        ws_per_message_deflate=False,
        # uvicorn's own keep-alive closes with 1011, which is final for graphql-ws clients.
        ws_ping_interval=None,
        # A client that does not let go must not keep the process from ending. uvicorn takes whole seconds.
        timeout_graceful_shutdown=max(1, round(shutdown_timeout)),
        server_header=False,
        # Left alone, uvicorn believes whoever connects from this machine, and a variable of its own.
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        lifespan="on",
        # Said, so that uvicorn does not look into WEB_CONCURRENCY: how many processes serve is not for it to decide.
        workers=1,
        **options,
    )


def _drop_dead_peers(listening: int, seconds: float) -> None:
    """Have the system drop connections whose peer acknowledges nothing for so long: those to be accepted inherit it.

    A quiet client whose machine has vanished takes no signs of life, but they are too few to fill a buffer: without
    this the system tries again for a quarter of an hour.
    """
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):  # Linux has it
        with socket.socket(fileno=os.dup(listening)) as duplicate:
            duplicate.setsockopt(socket.IPPROTO_TCP, option, round(1_000 * seconds))


class Server(uvicorn.Server):
    """uvicorn's server, which tells the application when it is about to end, and others when it listens."""

    def __init__(self, config: uvicorn.Config, *, on_listening: Callable[[int], None] | None = None) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell the port."""
        await super().startup(sockets)
        if delivery := self.lifespan.state.get(STATE_KEY):
            for server in self.servers:
                for listening in server.sockets:
                    _drop_dead_peers(listening.fileno(), delivery.patience.seconds + _AFTER_OURSELVES)
        if self.started and self._on_listening:
            self._on_listening(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streamed answers, which uvicorn would wait for, and shut down."""
        if delivery := self.lifespan.state.get(STATE_KEY):
            delivery.streams.end_all()
        await super().shutdown(sockets)


def run_server(
    config: uvicorn.Config,
    *,
    sockets: list[socket.socket] | None = None,
    on_listening: Callable[[int], None] | None = None,
) -> bool:
    """Serve until SIGINT or SIGTERM; whether it came to serving at all.

    ``sockets`` are bound already, instead of the configured address; they are closed at the end. ``on_listening`` is
    called with the port; with reload, where another process serves, it is not.
    """
    server = Server(config, on_listening=on_listening)
    # After SIGINT uvicorn raises the signal once more, for whoever else may care: here nobody does.
    with suppress(KeyboardInterrupt):
        if config.should_reload:
            ChangeReload(config, target=server.run, sockets=[config.bind_socket()]).run()
            return True
        # What has been loaded stays: full collections need not look at it, and keep nobody waiting for that.
        gc.collect()
        gc.freeze()
        server.run(sockets)
    return server.started
