"""uvicorn, set up for this service: how it listens, how it ends."""

import gc
import logging
import os
import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.supervisors import ChangeReload
from websockets.frames import Frame
from websockets.http11 import Request

from graphql_api.delivery.endpoints import STATE_KEY
from graphql_api.delivery.extension import Client, offer
from graphql_api.delivery.session import END_TIMEOUT

__all__ = ["Server", "run_server", "server_config"]


_AFTER_OURSELVES = 10.0
"""Seconds after which the system drops a client that takes nothing, when we did not: ours says why."""

_handshakes = logging.getLogger("uvicorn.error.websocket")

# uvicorn's protocol classes are no public interface: pyproject.toml pins the version, and
# tests/delivery/test_server.py fails when what is relied on here has changed.


class _HttpProtocol(HttpToolsProtocol):
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
        self.parser = self.scope = self.headers = self.flow = None  # type: ignore[assignment]


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """The only WebSocket implementation of uvicorn's that is not deprecated; offers our ASGI extension.

    Once it is handed over, messages go to the client's session as they come, without a queue and a task, and
    what was needed for the handshake alone is let go.
    """

    _client: Client | None = None
    _ending = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # A line for each handshake is a tenth of what it costs: this logger can be told to keep quiet.
        self.logger = self.conn.logger = _handshakes

    def handle_connect(self, event: Request) -> None:
        """After a handshake that is no good there is no scope; else its task has not begun yet."""
        super().handle_connect(event)
        if (scope := getattr(self, "scope", None)) is not None:
            offer(scope, transport=self.transport, wire=self)

    async def run_asgi(self) -> None:
        """As uvicorn does, but that a connection which was handed over stays when the application has returned."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("Exception in ASGI application")
            self.send_500_response()
        else:
            if self._client is not None:
                return
            if not self.handshake_complete:
                self.logger.error("ASGI callable returned without completing handshake.")
                self.send_500_response()
        if self.close_timer is None:
            self.transport.close()

    def hand_over(self, client: Client) -> None:
        """As :class:`graphql_api.delivery.extension.Wire` says."""
        self._client = client
        # The client is to hear of every byte that is not taken at once: what is to come stays in the log.
        self.transport.set_write_buffer_limits(high=0)
        queue, self.queue = self.queue, None  # type: ignore[assignment] # nothing is queued any more
        self.request = self.response = self.scope = None  # type: ignore[assignment]
        self.writable = None  # type: ignore[assignment] # only the ordinary send waits for it
        self.app = self.default_headers = self.app_state = None  # type: ignore[assignment]
        # First this: the answers to what has come already may pause reading again.
        self._resume_reading()
        while not queue.empty():
            self._pass_on(queue.get_nowait())
        if self.disconnected or self.transport.is_closing():
            client.on_gone()

    def close(self, code: int, reason: str) -> None:
        """As :class:`graphql_api.delivery.extension.Wire` says."""
        if self._ending or self.disconnected:
            return
        self._ending = self.close_sent = True
        # The peer's own close frame may have come with the message that we close for.
        if not self.transport.is_closing() and self.conn.close_sent is None:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            # Its answer is still to come.
            self._resume_reading()
        # A peer that does not answer, or does not read, must not keep the connection: close() would wait for it.
        self.close_timer = self.loop.call_later(END_TIMEOUT, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """A whole message has come."""
        if self._client is None:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            self._client.on_message(bytes(data))
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self.conn.send_close(1007)
            self.handle_parser_exception()
        else:
            self._client.on_message(text)

    def handle_close(self, event: Frame) -> None:
        """The peer closes, or answers our close."""
        if self._client is None:
            super().handle_close(event)
            return
        self._client.on_gone()
        if not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        self._abort_soon()

    def handle_parser_exception(self) -> None:
        """The peer does not speak WebSocket."""
        if self._client is None:
            super().handle_parser_exception()
            return
        self._client.on_gone()
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()
        self._abort_soon()

    def pause_writing(self) -> None:
        """Who does not read the answers is not listened to."""
        if self._client is None:
            super().pause_writing()
            return
        if not self.read_paused and not self.close_sent:
            self.read_paused = True
            self.transport.pause_reading()
        self._client.on_writable(writable=False)

    def resume_writing(self) -> None:
        """All that was written has been taken."""
        if self._client is None:
            super().resume_writing()
            return
        self._resume_reading()
        self._client.on_writable(writable=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more."""
        if self._client is None:
            super().connection_lost(exc)
            return
        self.connections.discard(self)
        self.disconnected = True
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None
        self._client.on_gone()

    def shutdown(self) -> None:
        """The server is about to end."""
        if self._client is None:
            super().shutdown()
        elif not self.close_sent:
            self._client.on_restart()
        # Else it ends soon, whatever the peer does, as close() says.

    def _pass_on(self, event: Any) -> None:
        if self._client is None:
            return
        if event["type"] == "websocket.receive":
            text = event.get("text")
            self._client.on_message(event["bytes"] if text is None else text)
        elif event["type"] == "websocket.disconnect":
            self._client.on_gone()

    def _resume_reading(self) -> None:
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _abort_soon(self) -> None:
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(END_TIMEOUT, self.transport.abort)


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
    # What has been loaded stays: full collections need not look at it, and keep nobody waiting for that.
    gc.collect()
    gc.freeze()
    # After SIGINT uvicorn raises the signal once more, for whoever else may care: here nobody does.
    with suppress(KeyboardInterrupt):
        if config.should_reload:
            ChangeReload(config, target=server.run, sockets=[config.bind_socket()]).run()
            return True
        server.run(sockets)
    return server.started
