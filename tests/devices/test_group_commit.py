"""Writes that wait are committed together, and each has an outcome of its own."""

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
from sqlalchemy import event

from graphql_api.devices.group_commit import GroupCommit
from graphql_api.devices.model import Report, Status
from graphql_api.devices.workers import Workers
from graphql_api.errors import BadUserInput, Unavailable
from tests.devices.test_database import lost_answers

pytestmark = pytest.mark.anyio

THREADS = 4


class Committed:
    """Carries writes out, and remembers which went together; it stands still while the gate is shut."""

    def __init__(self):
        self.together = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, writes):
        self.gate.wait(10)
        self.together.append(len(writes))
        for write in writes:
            try:
                write.outcome.set_result(write.work(None))
            except ZeroDivisionError as error:
                write.outcome.set_exception(error)


@asynccontextmanager
async def opened(*, threads=1, bound=1_000):
    committed = Committed()
    workers = Workers("test", threads)
    try:
        yield GroupCommit(workers, committed, bound), committed
    finally:
        committed.gate.set()
        await workers.close()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - threads have no event for it
        await asyncio.sleep(0.001)


@asynccontextmanager
async def held_up(commits, committed, queue="q"):
    """What is asked for meanwhile has to wait for the first one."""
    committed.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(commits.run(queue, lambda _: "first"))
        await until(lambda: commits.statistics().running == 1)
        yield tasks
        committed.gate.set()


@pytest.mark.parametrize("threads", [1, THREADS])
async def test_those_that_wait_go_together_and_in_order(threads):
    """What has come while another transaction ran is carried out in one, in the order in which it came."""
    order = []
    async with opened(threads=threads) as (commits, committed):
        async with held_up(commits, committed) as tasks:
            others = [tasks.create_task(commits.run("q", lambda _, n=n: order.append(n) or n)) for n in range(10)]
            await until(lambda: commits.statistics().waiting == 10)
        assert [task.result() for task in others] == order == list(range(10))
        assert committed.together == [1, 10]
        assert (commits.statistics().waiting, commits.statistics().running) == (0, 0)


async def test_queues_do_not_wait_for_each_other():
    """While one queue's transaction is held up, another queue's goes through."""
    async with opened(threads=2) as (commits, committed):
        stuck = threading.Event()
        first = asyncio.create_task(commits.run("a", lambda _: stuck.wait(10)))
        await until(lambda: commits.statistics().running == 1)
        assert await commits.run("b", lambda _: "through") == "through"
        stuck.set()
        await first
        assert committed.together == [1, 1]


async def test_a_busy_queue_does_not_keep_its_thread():
    """Between two transactions of a queue that does not run empty, another one that waits has its turn."""
    async with opened() as (commits, committed):
        async with held_up(commits, committed, "busy") as tasks:
            for _ in range(70):
                tasks.create_task(commits.run("busy", lambda _: None))
            other = tasks.create_task(commits.run("other", lambda _: "through"))
            await until(lambda: commits.statistics().waiting == 71)
        assert other.result() == "through"
        # 64 at most go together; the one of the other queue did not wait for all of them.
        assert committed.together == [1, 1, 64, 6]


async def test_one_failure_is_its_own():
    """What one write raises reaches its caller, and those beside it succeed."""
    async with opened() as (commits, committed):
        async with held_up(commits, committed) as tasks:
            good = tasks.create_task(commits.run("q", lambda _: 7))
            bad = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(commits.run("q", lambda _: 1 // 0))]))
            await until(lambda: commits.statistics().waiting == 2)
        assert good.result() == 7
        ((done,), _) = await bad
        assert isinstance(done.exception(), ZeroDivisionError)


async def test_one_that_is_cancelled_while_it_waits_is_not_carried_out():
    """A caller that goes away while its write waits takes it back; the others are carried out."""
    made = []
    async with opened() as (commits, committed):
        async with held_up(commits, committed) as tasks:
            unwanted = asyncio.ensure_future(commits.run("q", lambda _: made.append("unwanted")))
            tasks.create_task(commits.run("q", lambda _: made.append("wanted")))
            await until(lambda: commits.statistics().waiting == 2)
            unwanted.cancel()
            await asyncio.wait([unwanted])
            assert commits.statistics().waiting == 1
        assert made == ["wanted"]


async def test_one_that_is_cancelled_while_it_is_carried_out_harms_nobody():
    """A caller that goes away while its write is carried out has it carried out; those beside it are answered."""
    made = []
    async with opened() as (commits, committed):
        async with held_up(commits, committed) as tasks:
            leaving = asyncio.ensure_future(commits.run("q", lambda _: made.append("left")))
            other = tasks.create_task(commits.run("q", lambda _: made.append("other")))
            await until(lambda: commits.statistics().waiting == 2)
            committed.gate.set()
            await until(lambda: commits.statistics().waiting == 0)
            leaving.cancel()
            await asyncio.wait([leaving, other])
        assert made == ["left", "other"]
        assert other.exception() is None


async def test_more_than_may_wait_are_refused():
    """Beyond the bound a write is refused at once, and counted."""
    async with opened(threads=THREADS, bound=2) as (commits, committed):
        async with held_up(commits, committed) as tasks:
            for _ in range(2):
                tasks.create_task(commits.run("q", lambda _: None))
            await until(lambda: commits.statistics().waiting == 2)
            with pytest.raises(Unavailable, match="Too many calls are waiting"):
                await commits.run("q", lambda _: None)
        assert commits.statistics().refused == 1


async def test_closing_answers_what_runs_and_refuses_what_waits():
    """When the workers are closed, the write under way is answered, and those that wait are refused."""
    committed = Committed()
    workers = Workers("test", 1)
    commits = GroupCommit(workers, committed)
    committed.gate.clear()
    first = asyncio.create_task(commits.run("q", lambda _: "done"))
    await until(lambda: commits.statistics().running == 1)
    # Carried out with the first one's transaction or not at all, but never left without an answer.
    waiting = asyncio.create_task(commits.run("q", lambda _: "done"))
    await until(lambda: commits.statistics().waiting == 1)
    closing = asyncio.create_task(workers.close())
    await until(lambda: workers.statistics().running == 1)
    committed.gate.set()
    await closing
    assert await first == "done"
    (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
    assert outcome == "done" or isinstance(outcome, Unavailable)


@contextmanager
def transactions(store):
    """Counts the commits of the writing engine."""
    seen = []
    engine = store._database._engines.writer

    def on_commit(connection):
        seen.append(connection)

    event.listen(engine, "commit", on_commit)
    try:
        yield seen
    finally:
        event.remove(engine, "commit", on_commit)


@asynccontextmanager
async def store_held_up(store):
    """The school's writes wait until this ends."""
    gate, begun = threading.Event(), threading.Event()

    def stand_still(connection):
        begun.set()
        gate.wait(10)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_whatever_comes(store._database.write(stand_still, school="s")))
        await until(begun.is_set)
        yield tasks
        gate.set()


async def _whatever_comes(write):
    with suppress(Unavailable):
        await write


async def waiting(store, count):
    await until(lambda: store.statistics().writes.waiting == count)


async def test_rounds_that_wait_are_one_transaction(store):
    """Rounds of one school that wait are committed together, with versions in the order in which they came."""
    with transactions(store) as commits:
        async with store_held_up(store) as tasks:
            rounds = [tasks.create_task(store.record("s", [(0, Report(f"d{n}", Status.ONLINE))])) for n in range(20)]
            await waiting(store, 20)
        assert [task.result().head.version for task in rounds] == list(range(1, 21))
    assert len(commits) == 2
    log = await store.changes("s", after=0, limit=100)
    assert [change.device_id for change in log] == [f"d{n}" for n in range(20)]


async def test_a_refused_round_undoes_nothing_but_itself(store):
    """A round among others that is refused leaves no hole in the versions, and the others are recorded."""
    async with store_held_up(store) as tasks:
        one = tasks.create_task(store.record("s", [(0, Report("a", Status.ONLINE))]))
        refused = asyncio.ensure_future(
            store.record("s", [(0, Report("b", Status.ONLINE)), (1, Report("c", Status.RETIRED))])
        )
        other = tasks.create_task(store.record("s", [(0, Report("d", Status.ONLINE))]))
        await waiting(store, 3)
    with pytest.raises(BadUserInput):
        await refused
    assert (one.result().head.version, other.result().head.version) == (1, 2)
    assert [change.device_id for change in await store.changes("s", after=0, limit=100)] == ["a", "d"]


async def test_a_statement_that_fails_undoes_nothing_but_itself(store):
    """A write whose statement the database refuses fails alone; what it wrote before that is undone."""

    def spoil(connection):
        connection.exec_driver_sql("UPDATE school SET head = 99")
        connection.exec_driver_sql("SELECT nothing FROM nowhere")

    await store.record("s", [(0, Report("a", Status.ONLINE))])
    async with store_held_up(store) as tasks:
        spoilt = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(store._database.write(spoil, school="s"))]))
        good = tasks.create_task(store.record("s", [(0, Report("b", Status.ONLINE))]))
        await waiting(store, 2)
    ((failed,), _) = await spoilt
    assert failed.exception() is not None
    assert good.result().head.version == 2


async def test_a_statement_that_takes_the_transaction_along_fails_all_of_it(store):
    """When a full disk makes SQLite give up the whole transaction, no write of it is told that it was recorded."""
    if store._database._engines.writer.dialect.name != "sqlite":
        pytest.skip("PostgreSQL gives up no more than a savepoint")

    def fill_up(connection):
        connection.exec_driver_sql("CREATE TABLE filler (filling)")
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
        try:
            connection.exec_driver_sql("INSERT INTO filler VALUES (zeroblob(1000000))")
        finally:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    async with store_held_up(store):
        writes = [
            asyncio.ensure_future(store.record("s", [(0, Report("a", Status.ONLINE))])),
            asyncio.ensure_future(store._database.write(fill_up, school="s")),
            asyncio.ensure_future(store.record("s", [(0, Report("b", Status.ONLINE))])),
        ]
        await waiting(store, 3)
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    told = [outcome.head.version for outcome in outcomes if not isinstance(outcome, Exception)]
    assert told == [change.version for change in await store.changes("s", after=0, limit=100)]
    assert isinstance(outcomes[1], Unavailable)
    assert (await store.record("s", [(0, Report("c", Status.ONLINE))])).head.version == len(told) + 1


async def test_a_lost_commit_is_told_to_all_of_it(store):
    """When the answer to the COMMIT of several rounds is lost, every caller learns that its round may be recorded."""
    with lost_answers(store._database):
        async with store_held_up(store):
            rounds = [asyncio.ensure_future(store.record("s", [(0, Report(f"d{n}", Status.ONLINE))])) for n in range(3)]
            await waiting(store, 3)
        outcomes = await asyncio.gather(*rounds, return_exceptions=True)
    assert all(isinstance(one, Unavailable) and "may have been recorded" in str(one) for one in outcomes)
    assert len(await store.changes("s", after=0, limit=100)) == 3
