"""Waiting for a state, with a deadline that says what did not come about."""

import asyncio
from collections.abc import Callable

DEADLINE = 20.0
"""Seconds in which a service that works is right again, on a busy machine."""


class Moving:
    """Something whose state others wait for."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()

    def move(self) -> None:
        """Have the others look again."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def until(self, condition: Callable[[], bool], *, within: float = DEADLINE) -> None:
        """Wait until the condition holds.

        Raises:
            AssertionError: it did not come about in time.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    await self._moved.wait()
        except TimeoutError:
            raise AssertionError(f"did not come about within {within} s: {self!r}") from None


async def poll(condition: Callable[[], object], *, within: float = DEADLINE) -> None:
    """Wait for what tells nobody that it has come about, asking again and again."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
