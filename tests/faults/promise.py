"""The promise of design.md, section 3, as one assertion."""

from collections.abc import Sequence

from tests.faults.client import Client
from tests.faults.history import History, read_history
from tests.faults.publisher import Publisher
from tests.faults.waiting import DEADLINE


async def assert_promise_kept(
    database: str,
    school: str,
    clients: Sequence[Client],
    *,
    publisher: Publisher | None = None,
    before: History | None = None,
    within: float = DEADLINE,
) -> History:
    """Each watcher of events has every change of the log once, in order, and each watcher of state equals the store.

    Or does so within some seconds: nothing is published any more. With the publisher, the log itself is what it
    published. ``before`` is the history that a snapshot put an end to, where the database was replaced.
    """
    history = await read_history(database, school)
    if publisher is not None:
        publisher.check(history)
    for client in clients:
        for watcher in client.watchers:
            await client.until(lambda watcher=watcher: watcher.agrees_with(history), within=within)
        await client.barrier()
        for watcher in client.watchers:
            watcher.check(history, before)
    return history
