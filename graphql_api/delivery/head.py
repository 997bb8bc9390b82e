"""The head of an HTTP request: it comes soon and is not too long, or the connection ends.

uvicorn alone waits for it for ever, and keeps whatever comes until it is complete.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from graphql_api.delivery.endpoints import STATE_KEY
from graphql_api.refusals import Limit

__all__ = ["HEAD_TIMEOUT", "LONGEST_HEAD", "HeadLimitedProtocol"]

HEAD_TIMEOUT = 10.0
"""Seconds that a head may take from its first byte, and the first one of a connection from its beginning."""

LONGEST_HEAD = 65_536
"""Bytes of the longest head: room for the longest token four times over."""

_ANSWER = (
    "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n"
    "connection: close\r\n\r\n{text}"
)


class HeadLimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which does not wait for a head longer than it may take, nor keep a longer one."""

    _timer: asyncio.TimerHandle | None = None
    _received = 0

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
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Some of it has come, or of what comes after it."""
        if self._timer is not None:
            self._received += len(data)
        super().data_received(data)
        if self._timer is not None and self._received > LONGEST_HEAD:
            sentence = f"expected the head of a request to have at most {LONGEST_HEAD} bytes, but more came"
            self._refuse("431 Request Header Fields Too Large", sentence, Limit.HEAD_SIZE)

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
        self.transport.write(_ANSWER.format(status=status, length=len(sentence), text=sentence).encode())
        self.transport.close()
