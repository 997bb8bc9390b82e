"""The streamed HTTP answers that are under way, so that they can be ended together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

__all__ = ["OpenStreams"]


class OpenStreams:
    """Ends streamed answers: each when its time is over, all of them when the server ends."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()
        self._ending = False

    @asynccontextmanager
    async def limited(self, seconds: float | None) -> AsyncIterator[Callable[[], None]]:
        """Raise TimeoutError in the body after so many seconds (None: never), or when all are ended.

        The context's value is a function that ends this one soon.
        """
        async with asyncio.timeout(0 if self._ending else seconds) as limit:
            self._limits.add(limit)
            try:
                yield partial(_end, limit)
            finally:
                self._limits.discard(limit)

    def end_all(self) -> None:
        """End all streams soon, and new ones at once."""
        self._ending = True
        for limit in self._limits:
            _end(limit)


def _end(limit: asyncio.Timeout) -> None:
    # What has just expired is ending anyway, and can't be told to once more.
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())
