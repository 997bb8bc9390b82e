"""What a subscription costs does not grow with what it is told."""

import gc

import pytest
from graphql.execution.collect_fields import CollectedFields

from tests.faults.client import watching
from tests.faults.watchers import EventWatcher, ListWatcher
from tests.wire.clients import EVENTS, Socket, publish

pytestmark = pytest.mark.anyio


def round_of(count, status):
    return {f"d{number}": status for number in range(count)}


async def test_an_execution_keeps_nothing_of_its_results(server):
    """However many results a subscription has had, graphql-core holds no selection of fields for them."""
    async with Socket.open(server, token := server.token()) as socket:
        events = await socket.subscribe(EVENTS)
        await publish(server, token, d0="ONLINE")
        await socket.item(events)
        before = collected()
        await publish(server, token, **round_of(200, "OFFLINE"))
        for _ in range(200):
            await socket.item(events)
        assert collected() - before < 20


def collected():
    gc.collect()
    return sum(isinstance(each, CollectedFields) for each in gc.get_objects())


async def test_nothing_is_rendered_while_nobody_takes_it(server):
    """While all of a group's clients are stalled, rounds are not rendered for them; when they read on, all comes."""
    token = server.token()
    watchers = EventWatcher("1"), ListWatcher("1")
    async with watching(server.ws, token, *watchers, receive_buffer=4_096) as client:
        client.stop_reading()
        statuses = ["ONLINE", "OFFLINE"] * 100
        published = 0
        while stalled(server) < 2:
            await publish(server, token, **round_of(500, statuses[published]))
            published += 1
        rendered = server.services.statistics().sharing.rendered
        await publish(server, token, **round_of(500, statuses[published]))
        assert server.services.statistics().sharing.rendered == rendered
        client.read_on()
        await client.until(lambda: watchers[0].version == 500 * (published + 1))
        await client.until(lambda: set(watchers[1].statuses.values()) == {statuses[published]})


def stalled(server):
    return server.services.statistics().sharing.stalled
