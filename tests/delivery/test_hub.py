"""A hub that fails in the middle of a round loses nothing of it for anybody, and one that is late goes on in steps."""

import asyncio
import contextlib

import pytest

from graphql_api.access.principal import DEVICES_PUBLISH, DEVICES_READ, Visibility
from graphql_api.delivery.group import Group
from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import DeviceFilter, Report, Status
from graphql_api.devices.news import News
from graphql_api.devices.news.brokers import broker_of
from graphql_api.devices.service import DeviceService
from graphql_api.devices.store import Store
from tests.listening import listening_to

pytestmark = pytest.mark.anyio

ANYONE = Visibility(frozenset("s"), all_schools=False, scopes=frozenset([DEVICES_READ, DEVICES_PUBLISH]))


@pytest.fixture
async def service(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        store = await Store.open(f"sqlite:///{tmp_path}/devices.db")
        stack.push_async_callback(store.close)
        news = await stack.enter_async_context(
            News(broker_of("memory://"), epoch=lambda: store.epoch, outbox_limit=1_000)
        )
        feeds = await stack.enter_async_context(
            Feeds(store=store, news=news, compare_interval=0.05, recent_limit=10**6)
        )
        service = DeviceService(store=store, news=news, feeds=feeds, revoking=None)
        stack.push_async_callback(service.finish)
        yield service


@pytest.mark.logs_errors
async def test_after_a_defect_in_one_group_the_others_get_the_round_and_all_get_the_next(service, monkeypatch, caplog):
    """Where bringing a round to a group fails, every group is told each change of it and of the next one, once."""
    deliver = Group.deliver
    failures = iter([True])

    async def failing(self, changes, head):
        if next(failures, False):
            raise ZeroDivisionError
        await deliver(self, changes, head)

    everything = service.watch_events(ANYONE, None, DeviceFilter(), snapshot=False)
    named = service.watch_events(ANYONE, None, DeviceFilter(frozenset(["a", "b"])), snapshot=False)
    summary = service.watch_summary(ANYONE, None)
    async with (
        listening_to(service) as listeners,
        listeners.live(everything) as one,
        listeners.live(named) as other,
        listeners.live(summary) as folded,
    ):
        monkeypatch.setattr(Group, "deliver", failing)
        await service.publish(ANYONE, None, [Report("a", Status.ONLINE)])
        first = [(await each.next()).device.device_id for each in (one, other)]
        await service.publish(ANYONE, None, [Report("b", Status.ONLINE)])
        second = [(await each.next()).device.device_id for each in (one, other)]
        assert (first, second) == (["a", "a"], ["b", "b"])
        while (await folded.next()).counts != {Status.ONLINE: 2}:
            pass
    assert "will be served again" in caplog.text


async def test_what_has_come_while_the_hub_was_busy_is_brought_in_steps(service, monkeypatch):
    """However much has come meanwhile, no more than 1,000 changes are brought at a time, each once and in order."""
    deliver, go_on, sizes = Group.deliver, asyncio.Event(), []

    async def slowly(self, changes, head):
        await go_on.wait()
        sizes.append(len(changes))
        await deliver(self, changes, head)

    everything = service.watch_events(ANYONE, None, DeviceFilter(), snapshot=False)
    async with service.follow("s") as log, listening_to(service) as listeners, listeners.live(everything) as listener:
        monkeypatch.setattr(Group, "deliver", slowly)
        for number in range(7):
            status = Status.OFFLINE if number % 2 else Status.ONLINE
            await service.publish(ANYONE, None, [Report(f"d{index}", status) for index in range(400)])
        await log.until(lambda log: log.head.version == 2_800)
        go_on.set()
        assert [(await listener.next()).device.version for _ in range(2_800)] == list(range(1, 2_801))
    assert max(sizes) == 1_000
    assert sum(sizes) == 2_800
