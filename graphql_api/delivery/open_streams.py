"""The streamed HTTP answers that are under way, so that they can be ended together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["OpenStreams"]


class OpenStreams:
    """Ends streamed answers: each when its time is over, all of them when the server ends."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()
        self._ending = False

    @asynccontextmanager
    async def limited(self, seconds: float | None) -> AsyncIterator[None]:
        """Raise TimeoutError in the body after so many seconds (None: never), or when all are ended."""
        async with asyncio.timeout(0 if self._ending else seconds) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

    def end_all(self) -> None:
        """End all streams soon, and new ones at once."""
        self._ending = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            # What has just expired is ending anyway, and can't be told to once more.
            if not limit.expired():
                limit.reschedule(now)
