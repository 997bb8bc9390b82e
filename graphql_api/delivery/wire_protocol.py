"""The server's end of one WebSocket: uvicorn's, with our ASGI extension, and with an end that the peer can see.

Beyond uvicorn's own, it hands a client's messages over as they come, without a queue; answers a handshake that the
library refuses to read; and sees that the last close frame arrives, whatever the peer goes on sending.
"""

import logging
from contextlib import suppress
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame
from websockets.http11 import Request

from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.extension import Client, offer
from graphql_api.delivery.portions import PortionedProtocol
from graphql_api.delivery.session import END_TIMEOUT

__all__ = ["WireProtocol"]

_handshakes = logging.getLogger("uvicorn.error.websocket")

# To a handshake that is no HTTP request for the WebSocket library, such as one with a body.
_BAD_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

# uvicorn's protocol classes are no public interface: pyproject.toml pins the version, and
# tests/delivery/test_server.py fails when what is relied on here has changed.


class WireProtocol(PortionedProtocol):
    """The only WebSocket implementation of uvicorn's that is not deprecated; offers our ASGI extension.

    Once it is handed over, messages go to the client's session as they come, without a queue and a task, and
    what was needed for the handshake alone is let go.
    """

    _client: Client | None = None
    _ending = False
    _is_over = False
    _said_close = False
    _pieces: bytearray | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # A line for each handshake is a tenth of what it costs: this logger can be told to keep quiet.
        self.logger = self.conn.logger = _handshakes

    def take(self, data: bytes) -> None:
        """As uvicorn does, which leaves unanswered, and open for ever, a handshake that the library refuses to read."""
        if self._is_over or self._is_refused():
            return
        super().take(data)
        if self._is_refused() and not self.transport.is_closing():
            # Where the library knows a status, such as 431, its answer is waiting to be written.
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_HANDSHAKE)
            self.transport.close()

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
        self.request = self.response = self.scope = None  # type: ignore[assignment] # let go
        self.writable = None  # type: ignore[assignment] # only the ordinary send waits for it
        self.app = self.default_headers = self.app_state = None  # type: ignore[assignment] # let go
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
            self._said_close = True
            # Its answer is still to come.
            self._resume_reading()
        # A peer that does not answer, or does not read, must not keep the connection: close() would wait for it.
        self.close_timer = self.loop.call_later(END_TIMEOUT, self.transport.abort)

    def handle_cont(self, event: Frame) -> None:
        """One more piece of a message, of which a client may send as many as it has bytes, and empty ones for ever."""
        # One object for all pieces: one for each would take fifty times the memory of a piece of one byte.
        pieces = self._pieces
        if pieces is None:
            pieces = self._pieces = bytearray()
        pieces += event.data
        if event.fin:
            self._pieces = None
            self.frames.append(bytes(pieces))
            self.send_receive_event_to_app()

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
            # The peer's own close frame may have come with this message.
            if self.conn.close_sent is None:
                self.conn.send_close(CloseCode.NOT_UTF8, CloseCode.NOT_UTF8.reason)
            self.handle_parser_exception()
        else:
            self._client.on_message(text)

    def handle_ping(self) -> None:
        """Send the library's answer; but after a close frame nothing more is sent (RFC 6455 section 5.5.1)."""
        if self._said_close:
            self.conn.data_to_send()
        elif self.conn.close_rcvd is None:
            super().handle_ping()
        # Else the answer to the peer's close frame stands behind it, which is not to go before what else is to be said.

    def handle_close(self, event: Frame) -> None:
        """The peer closes, or answers our close."""
        if self._client is None:
            super().handle_close(event)
            return
        self._client.on_gone()
        self._send_last()

    def handle_parser_exception(self) -> None:
        """The peer does not speak WebSocket."""
        if self._client is None:
            super().handle_parser_exception()
            return
        if isinstance(self.conn.parser_exc, PayloadTooBig):
            self._client.on_oversized()
        self._client.on_gone()
        self._send_last()

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
        self.forget()
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

    def _is_refused(self) -> bool:
        return self.conn.handshake_exc is not None

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
            self.go_on()

    def _send_last(self) -> None:
        """Send the close frame that is due, and take what the peer still sends until it ends the connection too.

        Closed at once, the connection would be reset by whatever comes, and the peer might never see the close frame.
        """
        if self._is_over:
            return
        self._is_over = self.close_sent = True
        if not self.transport.is_closing():
            last = b"".join(self.conn.data_to_send())
            if not self._said_close:
                self.transport.write(last)
                self._said_close = True
            if self.transport.can_write_eof():
                # asyncio's own loop raises where the peer has gone already: it hears of that when it reads.
                with suppress(OSError):
                    self.transport.write_eof()
                self._resume_reading()
            else:
                self.transport.close()
        self._abort_soon()

    def _abort_soon(self) -> None:
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(END_TIMEOUT, self.transport.abort)
