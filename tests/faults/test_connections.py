"""Connections that are cut, while rounds are published to two instances on PostgreSQL and Redis."""

import random

import pytest

from tests.faults.client import watching
from tests.faults.promise import assert_promise_kept
from tests.faults.publisher import Publisher
from tests.faults.watchers import EventWatcher, ListWatcher, Stretch, SummaryWatcher

pytestmark = pytest.mark.anyio


async def test_a_connection_is_cut_twenty_times(installation, school):
    """G-6: A client that is cut off 20 times, wherever it stands, has every change once and the state in the end."""
    first, second = installation.instances
    token = installation.token(school)
    publisher = Publisher([first, second], school, token)
    watchers = EventWatcher(school), ListWatcher(school), SummaryWatcher(school)
    async with watching(first.ws, token, *watchers) as client:
        async with publisher.publishing():
            for _ in range(20):
                connections, messages = client.connections, client.messages
                at = messages + random.randint(1, 60)
                await client.until(lambda at=at: client.messages >= at)
                client.cut()
                await client.until(lambda n=connections: client.connections > n)
        await assert_promise_kept(installation.database, school, [client], publisher=publisher)
        assert client.connections == 21
        assert watchers[0].snapshots == 0
        assert watchers[1].resets == 1


async def test_two_subscriptions_are_cut_between_their_frames(installation, school):
    """A socket cut after one subscription's results of a round and before the other's: both lose nothing (G-6)."""
    first, second = installation.instances
    token = installation.token(school)
    publisher = Publisher([first, second], school, token)
    watchers = [EventWatcher(school), EventWatcher(school, snapshot=True), ListWatcher(school)]
    async with watching(first.ws, token, *watchers) as client:
        for ahead in ["1", "2", "3"] * 3:
            connections = client.connections

            def cut_behind(message, ahead=ahead):
                if message["type"] == "next" and message["id"] == ahead:
                    client.cut()

            client.on_message = cut_behind
            await publisher.publish(publisher.other_statuses())
            await client.until(lambda n=connections: client.connections > n)
            client.on_message = lambda _: None
        await assert_promise_kept(installation.database, school, [client], publisher=publisher)
        assert [watcher.snapshots for watcher in watchers[:2]] == [0, 0]


async def test_what_subscribes_later_on_a_resumed_socket_starts_afresh(installation, school):
    """A cursor is good for the first subscribe of its id: later components begin anew, whatever id they have (G-7)."""
    first, second = installation.instances
    token = installation.token(school)
    publisher = Publisher([first, second], school, token)
    mounted, other, later = EventWatcher(school), EventWatcher(school), EventWatcher(school)
    async with watching(first.ws, token, mounted, other) as client:
        await publisher.publish(publisher.other_statuses())
        await client.disconnect()
        await publisher.publish(publisher.other_statuses())
        client.reconnect()
        await assert_promise_kept(installation.database, school, [client], publisher=publisher)
        await client.unwatch("1")
        await client.watch(again := EventWatcher(school), "1")
        await client.watch(later)
        await client.until(lambda: client.is_live)
        assert (again.stretches, later.stretches) == ([Stretch(mounted.version)], [Stretch(mounted.version)])
        await publisher.publish(publisher.other_statuses())
        await assert_promise_kept(installation.database, school, [client], publisher=publisher)
        assert len(again.stretches) == len(later.stretches) == 1
