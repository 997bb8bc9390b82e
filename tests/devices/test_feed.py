"""Feeds: the log and the news of a school as one ordered stream."""

import asyncio
import collections
import contextlib
import random
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_api.devices.feed import Feed
from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import DeviceFilter, Head, Report, Status
from graphql_api.devices.news.announcement import Announcement
from graphql_api.devices.recent import RecentChanges
from graphql_api.devices.service import DeviceService
from graphql_api.devices.watches import EventWatch
from graphql_api.errors import Unavailable
from graphql_api.moment import Moment
from tests.devices.scripted_news import ScriptedNews, announcement
from tests.listening import listening_to

pytestmark = pytest.mark.anyio

ALL = DeviceFilter()
TURN = {Status.ONLINE: Status.OFFLINE, Status.OFFLINE: Status.ONLINE}


@contextlib.asynccontextmanager
async def opened(store, *, compare_interval=3_600.0, recent_limit=10**6):
    news = ScriptedNews()
    async with Feeds(store=store, news=news, compare_interval=compare_interval, recent_limit=recent_limit) as feeds:
        yield news, feeds


class Flipper:
    """Records rounds in which every report is a change."""

    def __init__(self, store, school="s"):
        self.store = store
        self.school = school
        self.statuses = collections.defaultdict(lambda: Status.ONLINE)

    async def record(self, size=1):
        for index in range(size):
            self.statuses[index] = TURN[self.statuses[index]]
        reports = [(index, Report(f"d{index}", self.statuses[index])) for index in range(size)]
        recorded = await self.store.record(self.school, reports)
        return recorded.round


def events(school="s"):
    return EventWatch(school, ALL, snapshot=False, max_replay=10_000)


async def versions(listener, count):
    """The versions of the next events of a listener."""
    return [(await listener.next()).device.version for _ in range(count)]


@contextlib.asynccontextmanager
async def listening(feeds, store, count):
    """A listener that is live; the task's result is what it saw."""
    service = DeviceService(store=store, news=ScriptedNews(), feeds=feeds, revoking=None)
    async with (
        listening_to(service) as listeners,
        listeners.live(events()) as listener,
        asyncio.TaskGroup() as tasks,
    ):
        yield tasks.create_task(versions(listener, count))


async def test_announced_rounds_are_delivered_without_asking_the_store(store):
    """Rounds that come with their changes and in order go to the listener as they are."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 6) as seen:
        for size in (1, 2, 3):
            news.say("s", announcement(await flipper.record(size)))
        assert await seen == [1, 2, 3, 4, 5, 6]
        assert feeds.statistics().gaps == 0


async def test_a_gap_is_read_from_the_log(store):
    """When a round was lost, the next announcement makes the feed read what is missing."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 3) as seen:
        for _ in range(2):
            await flipper.record()
        news.say("s", announcement(await flipper.record()))
        assert await seen == [1, 2, 3]
        assert feeds.statistics().gaps == 1


async def test_an_announcement_without_changes_is_read_from_the_log(store):
    """A round whose changes did not fit the message is read from the log."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 5) as seen:
        news.say("s", announcement(await flipper.record(5), with_changes=False))
        assert await seen == [1, 2, 3, 4, 5]


async def test_a_long_gap_is_read_in_pages(store):
    """A gap of more than a page of the log arrives whole and in order."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 2_500) as seen:
        for _ in range(5):
            news_of_last = await flipper.record(500)
        news.say("s", announcement(news_of_last, with_changes=False))
        assert await seen == list(range(1, 2_501))


async def test_a_repeated_round_is_dropped(store):
    """A round announced twice, or overlapping with known ones, is delivered once."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 3) as seen:
        for _ in range(3):
            recorded = await flipper.record()
            for _ in range(2):
                news.say("s", announcement(recorded))
        assert await seen == [1, 2, 3]


async def test_a_lost_last_round_is_found_by_comparing_heads(store):
    """When the last announcement is lost, the comparison with the store finds what it announced."""
    flipper = Flipper(store)
    async with opened(store, compare_interval=0.05) as (_, feeds), listening(feeds, store, 1) as seen:
        await flipper.record()
        assert await seen == [1]


async def test_an_announcement_of_what_the_log_does_not_hold_is_dropped(store, caplog):
    """A version that the log does not hold is logged and forgotten, and the next round is delivered."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 1) as seen:
        recorded = await flipper.record()
        made_up = announcement(recorded)
        news.say("s", type(made_up)(90, 99, made_up.timestamp, None, ()))
        news.say("s", announcement(recorded))
        assert await seen == [1]


@pytest.mark.logs_errors
async def test_a_failed_feed_is_run_again_and_loses_nothing(store, caplog):
    """When listening fails, the feed listens again and reads what came in between from the log."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 3) as seen:
        news.say("s", announcement(await flipper.record()))
        news.say("s", ConnectionError("the broker is gone"))
        await flipper.record(2)
        assert await seen == [1, 2, 3]
        assert feeds.statistics().failures == 1
    assert "A feed failed" in caplog.text


async def test_a_slow_listener_reads_the_log_when_memory_has_forgotten(store):
    """A listener behind what memory holds gets the rest from the log, in order."""
    flipper = Flipper(store)
    async with opened(store, recent_limit=2_000) as (news, feeds):
        service = DeviceService(store=store, news=news, feeds=feeds, revoking=None)
        async with listening_to(service) as listeners, listeners.live(events()) as listener:
            listener.stall()
            for _ in range(20):
                news.say("s", announcement(await flipper.record(2)))
            async with feeds.join("s") as feed:
                await feed.until(lambda feed: feed.head.version == 40)
            assert feeds.statistics().recent.evicted > 0
            assert listener.received == []
            listener.drain()
            assert await versions(listener, 40) == list(range(1, 41))


async def test_a_cancelled_first_listener_takes_nobody_along(store):
    """When the first listener is cancelled while the feed opens, the second gets a working feed."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), asyncio.TaskGroup() as tasks:
        joined = asyncio.Event()

        async def join():
            async with feeds.join("s") as feed:
                joined.set()
                await feed.until(lambda feed: feed.head.version == 1)

        first = tasks.create_task(join())
        second = tasks.create_task(join())
        await asyncio.sleep(0)
        assert feeds.statistics().listeners == 2
        first.cancel()
        await joined.wait()
        news.say("s", announcement(await flipper.record()))
        await second


async def test_the_last_listener_closes_the_feed(store):
    """With the last listener the feed, its subscription and its memory go."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds):
        async with listening(feeds, store, 1) as seen:
            news.say("s", announcement(await flipper.record()))
            await seen
        assert (feeds.statistics().feeds, feeds.statistics().listeners) == (0, 0)
        assert feeds.statistics().recent.rounds == 0
        while news.listening:  # noqa: ASYNC110 - the news are the test's own and have no event for it
            await asyncio.sleep(0)


async def test_a_page_filled_by_reordered_news_is_not_the_end_of_the_log(store, monkeypatch):
    """When news that come late hold the very page that is being read, the feed reads the next one."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), listening(feeds, store, 2_500) as seen:
        rounds = [await flipper.record(500) for _ in range(5)]
        changes = store.changes
        reading = asyncio.Event()
        let_go = asyncio.Event()

        async def slowly(school, *, after, limit):
            page = await changes(school, after=after, limit=limit)
            reading.set()
            await let_go.wait()
            return page

        monkeypatch.setattr(store, "changes", slowly)
        news.say("s", announcement(rounds[-1], with_changes=False))
        await reading.wait()
        for each in rounds[:2]:
            news.say("s", announcement(each))
        async with feeds.join("s") as feed:
            await feed.until(lambda feed: feed.head.version == 1_000)
        let_go.set()
        assert await seen == list(range(1, 2_501))


async def test_whoever_comes_after_a_page_is_told_nothing_that_was_on_it(store):
    """A page that reaches further than any news moves the place at which new listeners begin."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), feeds.join("s") as feed:
        first = await flipper.record()
        await flipper.record()
        news.say("s", announcement(first, with_changes=False))
        await feed.until(lambda feed: feed.head.version == 2)
        assert feed.newest.version == 2
        async with listening(feeds, store, 1) as seen:
            news.say("s", announcement(await flipper.record()))
            assert await seen == [3]


@pytest.mark.logs_errors
async def test_a_failed_comparison_of_heads_takes_nothing_along(store, monkeypatch, caplog):
    """Whatever the comparison of heads fails with, it is logged, tried again, and the feeds go on."""
    flipper = Flipper(store)
    async with opened(store, compare_interval=0.02) as (_, feeds), listening(feeds, store, 1) as seen:
        heads = store.heads
        failed = asyncio.Event()

        async def broken(schools):
            monkeypatch.setattr(store, "heads", heads)
            failed.set()
            raise RuntimeError("the disk is on fire")

        monkeypatch.setattr(store, "heads", broken)
        await failed.wait()
        await flipper.record()
        assert await seen == [1]
    assert "can't be compared" in caplog.text


@pytest.mark.parametrize("ticks", range(6))
async def test_a_feed_that_was_let_go_while_failing_does_not_go_on(store, monkeypatch, ticks):
    """However a cancellation and a failure of the store meet, the feed ends and the next one works."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds):
        changes = store.changes
        asked = asyncio.Event()

        async def unavailable(*_arguments, **_options):
            asked.set()
            raise Unavailable("gone")

        monkeypatch.setattr(store, "changes", unavailable)
        async with feeds.join("s"):
            news.say("s", announcement(await flipper.record(), with_changes=False))
            await asked.wait()
            for _ in range(ticks):
                await asyncio.sleep(0)
        monkeypatch.setattr(store, "changes", changes)
        async with listening(feeds, store, 1) as seen:
            news.say("s", announcement(await flipper.record()))
            assert await seen == [2]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
    recent_limit=st.sampled_from([400, 4_000, 10**6]),
)
async def test_whatever_the_broadcaster_does_each_change_arrives_once_in_order(store, sizes, seed, recent_limit):
    """Rounds lost, repeated, reordered and stripped of their changes arrive complete, in order, each once."""
    dice = random.Random(seed)
    # hypothesis draws the same values again, so the school is not drawn.
    school = uuid.uuid4().hex
    flipper = Flipper(store, school)
    async with opened(store, recent_limit=recent_limit) as (news, feeds), contextlib.AsyncExitStack() as stack:
        service = DeviceService(store=store, news=news, feeds=feeds, revoking=None)
        listeners = [await stack.enter_async_context(listening_to(service)) for _ in range(2)]
        # The first two share a group, the third has a hub of its own.
        three = [await stack.enter_async_context(each.live(events(school))) for each in (listeners[0], *listeners)]
        said = []
        for size in sizes:
            recorded = await flipper.record(size)
            copies = dice.choice([0, 1, 1, 2])
            said += [announcement(recorded, with_changes=dice.random() < 0.7) for _ in range(copies)]
        dice.shuffle(said)
        for each in [*said, announcement(recorded)]:
            news.say(school, each)
        for listener in three:
            assert await versions(listener, sum(sizes)) == list(range(1, sum(sizes) + 1))


async def test_a_broadcaster_that_is_silent_is_suspected(store):
    """When the store is found to be ahead twice, with no announcement in between, the broadcaster is suspected."""
    flipper = Flipper(store)
    async with opened(store, compare_interval=0.01) as (news, feeds), feeds.join("s") as feed:
        for version in (1, 2):
            assert news.suspected == 0
            await flipper.record()
            await feed.until(lambda feed, version=version: feed.head.version == version)
        assert news.suspected == 1


async def test_without_a_broadcaster_a_process_hears_itself(store):
    """While the broadcaster is out of reach, what this process records comes at once, and waits for no comparison."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), feeds.join("s") as feed:
        news.connected = False
        for version in (1, 2):
            recorded = await flipper.record()
            feeds.note("s", Head(recorded.last, recorded.changes[-1].timestamp, recorded.last_report_at))
            await feed.until(lambda feed, version=version: feed.head.version == version)
        assert news.suspected == 0


async def test_a_broadcaster_that_loses_what_this_process_says_is_suspected(store):
    """What this process itself recorded is to be heard of, too: when it is not, twice, the broadcaster is suspected."""
    flipper = Flipper(store)
    async with opened(store, compare_interval=0.01) as (news, feeds), feeds.join("s") as feed:
        version = 0
        # A comparison that was under way may have a round read which it did not see: then it takes one more.
        while not news.suspected:
            version += 1
            recorded = await flipper.record()
            feeds.note("s", Head(recorded.last, recorded.changes[-1].timestamp, recorded.last_report_at))
            await feed.until(lambda feed, version=version: feed.head.version == version)
        assert version > 1


@pytest.mark.logs_errors
async def test_a_comparison_that_fails_is_the_end_of_nothing(store, monkeypatch, caplog):
    """When something goes wrong with one feed's comparison, it is logged, and the heads are compared again."""
    flipper = Flipper(store)
    compare = Feed.compare
    failures = iter([True])

    def failing(self, *given):
        if next(failures, False):
            raise RuntimeError("a comparison")
        compare(self, *given)

    async with opened(store, compare_interval=0.01) as (_news, feeds), feeds.join("s") as feed:
        monkeypatch.setattr(Feed, "compare", failing)
        await flipper.record()
        await feed.until(lambda feed: feed.head.version == 1)
    assert "a comparison" in caplog.text


async def test_an_announcement_clears_the_broadcaster(store):
    """What was found to be missing before an announcement was heard does not count."""
    feed = Feed("s", store=store, news=ScriptedNews(), recent=RecentChanges(10**6))
    for version in (2, 4):
        feed.catch_up(Head(version - 1))
        assert feed.missed == 1
        feed.hear(Announcement(version, version, Moment(1), None, ()))
        assert feed.missed == 0


async def test_a_broadcaster_that_is_back_has_the_heads_compared(store):
    """When the broadcaster was rebuilt, what was missed meanwhile is read at once, and it is not suspected for it."""
    flipper = Flipper(store)
    async with opened(store) as (news, feeds), feeds.join("s") as feed:
        for version in (1, 2, 3):
            await flipper.record()
            news.rebuild()
            await feed.until(lambda feed, version=version: feed.head.version == version)
        assert news.suspected == 0
