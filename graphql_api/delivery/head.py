"""The head of an HTTP request: it comes soon and is not too long, or the connection ends.

uvicorn alone waits for it for ever, and keeps whatever comes until it is complete. Nor does it end a connection that is
idle but for a byte after an answer: an empty line, or more of a body that was answered before it was complete.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from graphql_api.delivery.endpoints import STATE_KEY
from graphql_api.delivery.headers import security_headers
from graphql_api.refusals import Limit

__all__ = ["HEAD_TIMEOUT", "LONGEST_HEAD", "HeadLimitedProtocol"]

HEAD_TIMEOUT = 10.0
"""Seconds that a head may take from its first byte, and the first one of a connection from its beginning."""

LONGEST_HEAD = 65_536
"""Bytes of the longest head: room for the longest token four times over."""


def _answer(status: str, sentence: str) -> bytes:
    """An answer of our own, which the application has no part in: with the headers that all others have."""
    content_type = b"text/plain; charset=utf-8"
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(sentence)).encode()),
        (b"connection", b"close"),
        *security_headers(content_type),
    ]
    lines = [f"HTTP/1.1 {status}".encode(), *(name + b": " + value for name, value in headers), b""]
    return b"\r\n".join([*lines, sentence.encode()])


class HeadLimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which does not wait for a head longer than it may take, nor keep a longer one."""

    _timer: asyncio.TimerHandle | None = None
    _received = 0
    _is_in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn does
        """The first head is due."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """No head will come."""
        self._forget_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """It is complete."""
        self._forget_head()
        self._is_in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """So is the body."""
        self._is_in_body = False
        # It may have been the rest of a body, after the answer.
        self._forget_head()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Some of it has come, or of what comes after it."""
        if self._timer is not None and not self._is_in_body:
            self._received += len(data)
        super().data_received(data)
        if self._is_idle():
            self._expect_head()
        if self._timer is not None and self._received > LONGEST_HEAD:
            sentence = f"expected the head of a request to have at most {LONGEST_HEAD} bytes, but more came"
            self._refuse("431 Request Header Fields Too Large", sentence, Limit.HEAD_SIZE)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn does, to what is no HTTP, but with our headers."""
        self.transport.write(_answer("400 Bad Request", msg))
        self.transport.close()

    def _is_idle(self) -> bool:
        """Whether nothing is being answered, and uvicorn does not wait for an end of it either."""
        return (
            self.timeout_keep_alive_task is None
            and (self.cycle is None or self.cycle.response_complete)
            and not self.transport.is_closing()
            # After an upgrade it is no business of ours.
            and self.transport.get_protocol() is self
        )

    def _expect_head(self) -> None:
        if self._timer is None:
            self._received = 0
            self._timer = self.loop.call_later(HEAD_TIMEOUT, self._head_is_late)

    def _forget_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        sentence = f"expected the head of a request within {HEAD_TIMEOUT:g} seconds"
        self._refuse("408 Request Timeout", sentence, Limit.HEAD_TIME)

    def _refuse(self, status: str, sentence: str, limit: Limit) -> None:
        self._forget_head()
        if self.transport.is_closing():
            return
        if (delivery := self.app_state.get(STATE_KEY)) is not None:
            delivery.refusals.count(limit)
        # The answer to a request whose body is still coming has been sent.
        if not self._is_in_body:
            self.transport.write(_answer(status, sentence))
        self.transport.close()
