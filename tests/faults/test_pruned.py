"""History that is pruned under a client that is away, while rounds are published to two instances."""

import asyncio

import pytest

from tests.faults.client import watching
from tests.faults.history import read_history
from tests.faults.promise import assert_promise_kept
from tests.faults.publisher import Publisher
from tests.faults.waiting import poll
from tests.faults.watchers import EventWatcher, ListWatcher, SummaryWatcher
from tests.wire.clients import post

pytestmark = pytest.mark.anyio

RETIRE = "mutation ($ids: [ID!]!, $school: ID) { retireDevices(deviceIds: $ids, schoolId: $school) { status } }"
A_SECOND = str(1 / 86_400)


async def test_history_is_pruned_under_a_client_that_is_away(installation, school):
    """Who comes back to a history that is gone is told: a snapshot of each device, a list from its beginning (G-25)."""
    first, second = installation.instances
    token = installation.token(school)
    publisher = Publisher([first, second], school, token)
    away, filtered = EventWatcher(school), EventWatcher(school, statuses=["ONLINE"])
    devices, summary = ListWatcher(school), SummaryWatcher(school)
    staying = EventWatcher(school)
    async with (
        watching(first.ws, token, away, devices, summary) as client,
        watching(first.ws, token, filtered) as other,
        watching(second.ws, token, staying) as present,
    ):
        for _ in range(3):
            await publisher.publish(publisher.other_statuses())
        await assert_promise_kept(installation.database, school, [client, present], publisher=publisher)
        seen = filtered.version
        await client.disconnect()
        await other.disconnect()
        async with publisher.publishing():
            await publisher.advance(10)
        pruning = (await asyncio.to_thread(installation.start, 1, HISTORY_DAYS=A_SECOND))[0]
        await poll(lambda: has_pruned_up_to(installation.database, school, max(seen, away.version)))
        await asyncio.to_thread(installation.kill, pruning)
        async with publisher.publishing():
            await publisher.advance(10)
        retired = publisher.retire()
        await post(second, RETIRE, token, ids=[retired], school=school)
        client.reconnect()
        other.reconnect()
        history = await assert_promise_kept(installation.database, school, [client, present])
        assert (away.snapshots, devices.resets, staying.snapshots) == (1, 2, 0)
        assert away.stretches[-1].snapshot[retired] == "RETIRED"
        await other.until(lambda: filtered.version == history.head)
        assert filtered.stretches[-1].snapshot == history.statuses
        # And on from there.
        await publisher.publish(publisher.other_statuses())
        await assert_promise_kept(installation.database, school, [client, present])


async def has_pruned_up_to(database, school, version):
    return (await read_history(database, school)).floor > version
