"""A client that stops reading, and reads on."""

import asyncio

import pytest

from tests.faults.client import watching
from tests.faults.promise import assert_promise_kept
from tests.faults.publisher import Publisher
from tests.faults.watchers import EventWatcher, ListWatcher, SummaryWatcher

pytestmark = pytest.mark.anyio

DEVICES = 1_000
ROUNDS = 40


@pytest.mark.timeout(150)  # a third of it on an idle machine
async def test_a_client_stops_reading_while_forty_thousand_changes_are_published(installation, school):
    """G-15: The service grows by less than 40 MB, and when the client reads on each change comes: it was never away."""
    instance = (await asyncio.to_thread(installation.start, 1, STALLED_TIMEOUT="300"))[0]
    token = installation.token(school)
    publisher = Publisher([instance], school, token, devices=DEVICES)
    events, devices, summary = EventWatcher(school), ListWatcher(school), SummaryWatcher(school)
    try:
        async with watching(instance.ws, token, events, devices, summary, receive_buffer=65_536) as client:
            for _ in range(2):
                await publisher.publish(publisher.other_statuses())
            await assert_promise_kept(installation.database, school, [client], publisher=publisher)
            client.stop_reading()
            before, messages = instance.rss, client.messages
            highest = 0
            for _ in range(ROUNDS):
                await publisher.publish(publisher.other_statuses())
                highest = max(highest, instance.rss)
            assert client.messages - messages < DEVICES
            client.read_on()
            await assert_promise_kept(installation.database, school, [client], publisher=publisher)
            highest = max(highest, instance.rss)
            assert len(events.stretches[0].changes) == (2 + ROUNDS) * DEVICES
            assert (events.snapshots, devices.resets, client.connections) == (0, 1, 1)
            assert highest - before < 40e6
    finally:
        await asyncio.to_thread(installation.kill, instance)
