"""The bodies of requests: each is read whole before it is looked into, so all that are coming take memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from graphql_api.delivery.handshake import Gone, Receive
from graphql_api.delivery.open_streams import OpenStreams
from graphql_api.delivery.request import HttpProblem
from graphql_api.errors import LimitExceeded
from graphql_api.refusals import Limit, Refusals

__all__ = ["ALWAYS_ROOM", "Bodies", "Coming"]

_TIMEOUT = 30.0
"""Seconds that a body may take to arrive."""

ALWAYS_ROOM = 16_384
"""Bytes of a body for which there is room, however many are coming."""

_MEBIBYTE = 1024 * 1024
_OF_STRANGERS = 32 * _MEBIBYTE
_OF_BEARERS = 256 * _MEBIBYTE


class Coming:
    """Bodies that are coming, and the bytes that they have so far."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0

    @contextmanager
    def body(self) -> Iterator[bytearray]:
        """One of them; what is added to it is for :meth:`add`."""
        body = bytearray()
        try:
            yield body
        finally:
            self.bytes -= len(body)

    def add(self, body: bytearray, data: bytes) -> bool:
        """Add to a body; False where it has become one too many."""
        body += data
        self.bytes += len(data)
        return self.bytes <= self.most or len(body) <= ALWAYS_ROOM


class Bodies:
    """Reads bodies. Those that come without a token have less room together, and take none of the others'.

    Args:
        limit: bytes of the biggest body.
        streams: ends with the server what is still coming.
        refusals: counts those that are refused.
        strangers: bytes that bodies may have together that come without a token.
        bearers: those of all others.
    """

    def __init__(
        self,
        limit: int,
        streams: OpenStreams,
        refusals: Refusals,
        *,
        strangers: int = _OF_STRANGERS,
        bearers: int = _OF_BEARERS,
    ) -> None:
        self._limit = limit
        self._streams = streams
        self._refusals = refusals
        self._coming = {False: Coming(strangers), True: Coming(bearers)}

    async def read(self, receive: Receive, *, with_token: bool) -> bytes:
        """A whole body.

        Raises:
            HttpProblem: it comes too slowly, is too large, or there is no room for it now.
            Gone: the client has gone.
        """
        coming = self._coming[with_token]
        try:
            with coming.body() as body:
                async with self._streams.limited(_TIMEOUT):
                    await self._read(receive, coming, body)
                return bytes(body)
        except TimeoutError:
            raise HttpProblem(408, "expected the whole body sooner; send it again", {"Connection": "close"}) from None

    async def _read(self, receive: Receive, coming: Coming, body: bytearray) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            more = message.get("more_body", False)
            has_room = coming.add(body, message.get("body", b""))
            if len(body) > self._limit:
                sentence = f"expected a body of at most {self._limit} bytes, but more came"
                raise self._refused(413, Limit.BODY_SIZE, sentence)
            if not has_room:
                sentence = f"expected bodies of at most {coming.most} bytes at a time; repeat it in a few seconds"
                raise self._refused(503, Limit.BODIES, sentence)

    def _refused(self, status: int, limit: Limit, sentence: str) -> HttpProblem:
        self._refusals.count(limit)
        headers = {"Retry-After": "5"} if limit is Limit.BODIES else {}
        return HttpProblem(status, sentence, headers, code=LimitExceeded.code)
