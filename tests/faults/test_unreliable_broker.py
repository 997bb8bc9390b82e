"""A broker that loses, repeats, reorders and delays messages, between two services that share a store."""

import pytest

from graphql_api import app
from graphql_api.settings import Settings
from tests.faults.client import watching
from tests.faults.promise import assert_promise_kept
from tests.faults.publisher import Publisher
from tests.faults.unreliable_broker import FAULTS, Ether
from tests.faults.watchers import EventWatcher, ListWatcher, SummaryWatcher
from tests.wire.conftest import secret, serve  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio


async def test_messages_are_lost_repeated_reordered_and_delayed(tmp_path, secret, monkeypatch):  # noqa: F811
    """G-22: Whatever becomes of messages, watchers at both services have every change once, in order, and the state."""
    ether = Ether()
    monkeypatch.setattr(app, "broker_of", ether.broker)
    database = f"sqlite:///{tmp_path}/devices.db"
    settings = Settings(jwt_secret=secret, database_url=database, feed_compare_interval=0.5)
    async with serve(settings, secret) as first, serve(settings, secret) as second:
        token = first.token("1")
        publisher = Publisher([first, second], "1", token)
        async with (
            watching(first.ws, token, EventWatcher("1"), ListWatcher("1"), SummaryWatcher("1")) as one,
            watching(second.ws, token, EventWatcher("1"), ListWatcher("1"), SummaryWatcher("1")) as other,
        ):
            async with publisher.publishing():
                await publisher.advance(100)
            await assert_promise_kept(database, "1", [one, other], publisher=publisher)
            assert [client.connections for client in (one, other)] == [1, 1]
        assert all(ether.faults[fault] > 20 for fault in FAULTS)
        for service in (first, second):
            statistics = service.services.statistics()
            assert statistics.feeds.gaps > 0
            assert statistics.feeds.repeated > 0
