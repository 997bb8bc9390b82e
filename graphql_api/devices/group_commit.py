"""Writes that wait for the store are committed together: what a commit costs, the disk's promise, is paid once."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from graphql_api.devices.workers import WAITING_CALLS, Workers, WorkerStatistics
from graphql_api.errors import Unavailable

__all__ = ["GroupCommit", "Write"]

T = TypeVar("T")

_MOST = 64
"""Writes of one transaction at most, so that the first of them does not wait for too many others."""


class Write(Generic[T]):
    """One write on its way: what it does within a transaction, and, in the end, what came of it."""

    __slots__ = ("outcome", "work")

    def __init__(self, work: Callable[[Any], T]) -> None:
        self.work = work
        self.outcome: Future[T] = Future()


class GroupCommit:
    """Queues of writes: those of one queue are carried out in the order in which they came, together where they wait.

    Args:
        workers: whose threads carry them out. As many queues as there are threads are worked off at a time.
        commit: carries out several writes in one transaction, in a thread, and gives each its outcome. Raises nothing.
        bound: how many may wait.
    """

    def __init__(
        self, workers: Workers, commit: Callable[[Sequence[Write[Any]]], None], bound: int = WAITING_CALLS
    ) -> None:
        self._workers = workers
        self._commit = commit
        self._bound = bound
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[Write[Any]]] = {}
        self._busy: set[Hashable] = set()
        self._waiting = self._running = self._refused = 0

    async def run(self, queue: Hashable, work: Callable[[Any], T]) -> T:
        """Have ``work`` done; its exceptions leave here. A caller that is cancelled while it waits takes it back.

        Raises:
            Unavailable: too many are waiting, or the workers have been closed; nothing was done.
        """
        write = Write(work)
        with self._lock:
            if self._waiting >= self._bound:
                self._refused += 1
                raise Unavailable("Too many calls are waiting for the store. Repeat the call in a few seconds.")
            self._waiting += 1
            self._queues.setdefault(queue, deque()).append(write)
        try:
            # Whoever comes first carries out what has come by then; those behind may find nothing left to do.
            await self._workers.run(lambda: self._work_off(queue))
        except BaseException as error:
            # Cancelled, or the workers are closed: unless it is being carried out, it never will be.
            if self._withdraw(queue, write) or not isinstance(error, Unavailable):
                raise
        try:
            return await asyncio.wrap_future(write.outcome)
        except asyncio.CancelledError:
            self._withdraw(queue, write)
            raise

    def statistics(self) -> WorkerStatistics:
        """The counts of this moment: writes, not transactions."""
        with self._lock:
            refused = self._refused + self._workers.statistics().refused
            return replace(self._workers.statistics(), waiting=self._waiting, running=self._running, refused=refused)

    def _withdraw(self, queue: Hashable, write: Write[Any]) -> bool:
        """Take a write back, unless it is being carried out."""
        with self._lock:
            found = self._queues.get(queue)
            if found is None or write not in found:
                return False
            found.remove(write)
            self._waiting -= 1
            if not found and queue not in self._busy:
                del self._queues[queue]
            return True

    def _work_off(self, queue: Hashable) -> None:
        with self._lock:
            if queue in self._busy or queue not in self._queues:
                # Whoever is at it sees to what has come meanwhile; or there is nothing left to do.
                return
            self._busy.add(queue)
        self._carry_out(queue)

    def _carry_out(self, queue: Hashable) -> None:
        """One transaction; what has come meanwhile has its turn after the other queues that wait for a thread."""
        writes = self._take(queue)
        # From here on none can be cancelled any more.
        wanted = [write for write in writes if write.outcome.set_running_or_notify_cancel()]
        try:
            if wanted:
                self._commit(wanted)
        finally:
            if self._is_left(queue, len(writes)):
                self._workers.hand_on(partial(self._carry_out, queue))

    def _take(self, queue: Hashable) -> list[Write[Any]]:
        with self._lock:
            found = self._queues[queue]
            writes = [found.popleft() for _ in range(min(len(found), _MOST))]
            self._waiting -= len(writes)
            self._running += len(writes)
            return writes

    def _is_left(self, queue: Hashable, done: int) -> bool:
        with self._lock:
            self._running -= done
            if self._queues[queue]:
                return True
            del self._queues[queue]
            self._busy.discard(queue)
            return False
