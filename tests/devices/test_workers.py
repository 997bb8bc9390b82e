"""Worker threads: bounded, and safe to cancel and to close."""

import threading

import anyio
import pytest

from graphql_api.devices.workers import Workers, WorkerStatistics
from graphql_api.errors import Unavailable

pytestmark = pytest.mark.anyio


class Gate:
    """Work that runs until it is opened, and tells that it has begun."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self.open.wait(10)
        return "through"

    async def wait_until_begun(self):
        assert await anyio.to_thread.run_sync(self.begun.wait, 10)


@pytest.fixture
async def workers():
    made = Workers("test", threads=1, bound=2)
    yield made
    await made.close()


async def test_calls_beyond_the_bound_are_refused(workers):
    """One runs, two wait, the next one is refused at once; all of it shows in the statistics."""
    gate, results = Gate(), []

    async def call():
        results.append(await workers.run(gate))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await gate.wait_until_begun()
        tasks.start_soon(call)
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="Too many calls are waiting"):
            await workers.run(gate)
        assert workers.statistics() == WorkerStatistics(waiting=2, running=1, refused=1)
        gate.open.set()
    assert results == ["through"] * 3


async def test_a_cancelled_call_that_waits_is_not_made(workers):
    """Work whose caller went away while it waited is never begun."""
    gate, unwanted = Gate(), Gate()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workers.run, gate)
        await gate.wait_until_begun()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await workers.run(unwanted)
        gate.open.set()
    assert await workers.run(lambda: "later") == "later"
    assert not unwanted.begun.is_set()


async def test_exceptions_reach_the_caller(workers):
    """What the work raises leaves `run`, and the thread goes on."""
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 // 0)
    assert await workers.run(lambda: 7) == 7


async def test_closing_waits_for_what_runs_and_refuses_what_waits(workers):
    """A call that runs is answered, one that waits is refused, and then the thread has ended."""
    gate, answers = Gate(), {}

    async def call(name):
        try:
            answers[name] = await workers.run(gate)
        except Unavailable:
            answers[name] = "refused"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, "running")
        await gate.wait_until_begun()
        tasks.start_soon(call, "waiting")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(workers.close)
        await anyio.wait_all_tasks_blocked()
        gate.open.set()
    assert answers == {"running": "through", "waiting": "refused"}
    assert not [one for one in threading.enumerate() if one.name.startswith("test")]


async def test_closing_may_be_cancelled_and_repeated(workers):
    """A cancelled close does not end the waiting of the next one."""
    gate = Gate()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(workers.run, gate)
        await gate.wait_until_begun()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await workers.close()
        gate.open.set()
    await workers.close()
    assert workers.statistics().running == 0
