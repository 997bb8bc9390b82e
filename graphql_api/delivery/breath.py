"""Long work in the event loop, interrupted every now and then so that everybody else comes through."""

import asyncio
import time

__all__ = ["Breath"]

_LONGEST = 0.002
"""Seconds that work may go on for before others have their turn."""


class Breath:
    """Counts the time since the work last let others come through. One for each piece of work."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.monotonic() + _LONGEST

    @property
    def is_due(self) -> bool:
        """Whether it is time to call :meth:`take`; cheap enough to be asked every few microseconds."""
        return time.monotonic() >= self._until

    async def take(self) -> None:
        """Let all others come through that are ready. Afterwards anything may have changed."""
        await asyncio.sleep(0)
        self._until = time.monotonic() + _LONGEST
