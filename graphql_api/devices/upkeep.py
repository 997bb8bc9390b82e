"""Upkeep: what the service does regularly though nobody calls for it.

It prunes the log, and makes devices UNKNOWN that nobody reports any more. Several processes may do it
at once: what one has done, the next one does not find.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

from graphql_api.devices.service import MAX_REPORTS, DeviceService
from graphql_api.devices.store import Store
from graphql_api.errors import ServiceError
from graphql_api.moment import DAY, SECOND, Clock, Moment

__all__ = ["Upkeep"]

logger = logging.getLogger(__name__)

# Seconds between two prunings.
_PRUNE_INTERVAL = 600.0

# Changes deleted in one transaction, and the seconds between two: publishers come in between.
_PRUNE_STEP = 500
_PRUNE_PAUSE = 0.02

# Seconds between two looks for stale devices at most; else a quarter of what a device is given.
_LONGEST_STALE_INTERVAL = 60.0


class Upkeep:
    """An async context manager that owns its tasks; they begin at once, and leaving it cancels them.

    A failure is logged, and the work tried again at its next turn.
    """

    def __init__(
        self,
        *,
        store: Store,
        service: DeviceService,
        history_days: float,
        stale_after: float | None,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._service = service
        self._history = int(history_days * DAY)
        self._stale_after = stale_after
        self._clock = clock
        self._sleep = sleep
        # Nobody could report while the service was down: that is not held against a device.
        self._started = clock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            pruning = tasks.create_task(self._regularly(self._prune, _PRUNE_INTERVAL), name="upkeep: pruning")
            stack.callback(pruning.cancel)
            if self._stale_after is not None:
                interval = min(self._stale_after / 4, _LONGEST_STALE_INTERVAL)
                marking = tasks.create_task(self._regularly(self._mark_stale, interval), name="upkeep: stale devices")
                stack.callback(marking.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _regularly(self, act: Callable[[], Awaitable[None]], interval: float) -> None:
        while True:
            try:
                await act()
            except ServiceError as error:
                logger.warning("The upkeep of the store failed and will be tried again: %s", error)
            except Exception:  # the owner of the task: it must neither die unseen nor take the service along
                logger.exception("The upkeep of the store failed and will be tried again.")
            await self._sleep(interval * random.uniform(0.9, 1.1))  # noqa: S311 - jitter, no secret

    async def _prune(self) -> None:
        older_than = Moment(self._clock() - self._history)
        total = 0
        while True:
            pruned = await self._store.prune(older_than, _PRUNE_STEP)
            total += pruned.changes
            if pruned.done:
                break
            await self._sleep(_PRUNE_PAUSE)
        if total:
            logger.info("Pruned %d changes from the log.", total)

    async def _mark_stale(self) -> None:
        silent_since = Moment(self._clock() - int((self._stale_after or 0) * SECOND))
        if self._started > silent_since:
            return
        for school in await self._store.stale_schools(silent_since):
            while await self._service.mark_stale(school, silent_since=silent_since) == MAX_REPORTS:
                pass
