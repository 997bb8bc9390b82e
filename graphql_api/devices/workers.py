"""Worker threads for the store: a bounded number of them, and a bounded number of calls that wait."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from graphql_api.errors import Unavailable

__all__ = ["WorkerStatistics", "Workers"]

T = TypeVar("T")

WAITING_CALLS = 1_000


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """What a set of workers is doing, and how many calls it has refused so far."""

    waiting: int
    running: int
    refused: int


class _Call(Generic[T]):
    """One call on its way: made in the event loop, worked off in a thread, answered in the loop."""

    __slots__ = ("_answer", "_loop", "_work")

    def __init__(self, work: Callable[[], T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[T] = self._loop.create_future()
        self._work = work

    async def answer(self) -> T:
        return await self._answer

    @property
    def abandoned(self) -> bool:
        """The caller has been cancelled. A plain flag: safe to read in any thread."""
        return self._answer.cancelled()

    def work_off(self) -> None:
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self.fail(error)
        else:
            self._deliver(self._answer.set_result, result)

    def fail(self, error: BaseException) -> None:
        self._deliver(self._answer.set_exception, error)

    def _deliver(self, setter: Callable[[Any], None], value: object) -> None:
        def deliver() -> None:
            if not self._answer.done():
                setter(value)

        try:
            self._loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            # The loop has been closed meanwhile: nobody is there to hear.
            return


class Workers:
    """A few threads that work off calls in the order in which they came.

    Guarantees: at most ``threads`` calls run and at most ``bound`` wait; more are refused. A caller
    that is cancelled while its call waits takes it back; a call that runs goes on to its end, and
    its result is lost.
    """

    def __init__(self, name: str, threads: int, bound: int = WAITING_CALLS) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._bound = bound
        self._waiting = self._running = self._refused = 0
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """Have ``work`` done in a thread; its exceptions leave here.

        Raises:
            Unavailable: too many calls are waiting, or the workers have been closed; nothing was done.
        """
        call = _Call(work)
        with self._lock:
            if self._closed:
                raise Unavailable("The service is stopping. Repeat the call in a few seconds.")
            if self._waiting >= self._bound:
                self._refused += 1
                raise Unavailable("Too many calls are waiting for the store. Repeat the call in a few seconds.")
            self._waiting += 1
            self._executor.submit(self._take, call)
        return await call.answer()

    def hand_on(self, work: Callable[[], None]) -> None:
        """From one of the threads: have the rest of what it has begun done, after what waits; at once when closing."""
        try:
            self._executor.submit(work)
        except RuntimeError:
            # Nothing new is taken any more, but what was begun is to have its end.
            work()

    def _take(self, call: _Call[Any]) -> None:
        with self._lock:
            self._waiting -= 1
            self._running += 1
        try:
            if self._closed:
                call.fail(Unavailable("The service is stopping. Repeat the call in a few seconds."))
            elif not call.abandoned:
                call.work_off()
        finally:
            with self._lock:
                self._running -= 1

    async def close(self) -> None:
        """End the threads as soon as what runs is done; what waits is refused. May be repeated."""
        with self._lock:
            self._closed = True
        # In a thread of its own: the loop's default executor may be full of callers that wait for us.
        ending = _Call(self._executor.shutdown)
        threading.Thread(target=ending.work_off, name="store-closing").start()
        await ending.answer()

    def statistics(self) -> WorkerStatistics:
        """The counts of this moment."""
        with self._lock:
            return WorkerStatistics(self._waiting, self._running, self._refused)
