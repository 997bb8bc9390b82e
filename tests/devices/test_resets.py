"""A store that is swapped or restored under those who listen to it."""

import asyncio
import contextlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from graphql_api.devices.cursor import Cursor
from graphql_api.devices.feed import Feed
from graphql_api.devices.model import DeviceFilter, Head
from graphql_api.devices.recent import RecentChanges
from graphql_api.devices.school_log import SchoolLog
from graphql_api.errors import Unavailable
from tests.devices.scripted_news import ScriptedNews, announcement
from tests.devices.scripted_store import ScriptedStore

pytestmark = pytest.mark.anyio

EVERYTHING = DeviceFilter()


class Listener:
    """One who delivers events from a school's log, as the hub of the school does."""

    def __init__(self, log):
        self.log = log
        self.resets = log.resets
        self.place = self.base = log.head
        self.received = []
        """The changes since the base: where it began, or how things stood when it was not recovered."""
        self.lost = False

    async def take(self):
        """Go as far as the log does; or not at all, when the store can't be reached."""
        with contextlib.suppress(Unavailable):
            while not self._is_level():
                changes = None if self.lost else await self.log.changes_after(self.place)
                if self._has_lost_its_place():
                    continue
                if changes is None:
                    await self._look()
                else:
                    self.received += changes
                    self.place = Head(changes[-1].version, changes[-1].timestamp)

    def _is_level(self):
        return not self._has_lost_its_place() and not self.lost and self.place.version >= self.log.head.version

    def _has_lost_its_place(self):
        if self.log.resets == self.resets:
            return False
        self.resets = self.log.resets
        self.log.forget()
        self.lost = True
        return True

    async def _look(self):
        snapshot = await self.log.snapshot(EVERYTHING)
        if not self._has_lost_its_place():
            self.place = self.base = snapshot.head
            self.received = []
            self.lost = False


class SwappedUnderFeed(RuleBasedStateMachine):
    """Everything that may happen to a store and its news, in any order, under a feed and its listener."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.store = ScriptedStore()
        self.news = ScriptedNews()
        self.messages = []
        self.meddled = False
        self.comparisons = []
        self.runner.run(self._begin())

    async def _begin(self):
        self.feed = Feed("s", store=self.store, news=self.news, recent=RecentChanges(2_000))
        self.tasks = [asyncio.create_task(self._tend())]
        await self.feed.ready.wait()
        self.listener = Listener(SchoolLog(self.feed, self.store))

    async def _tend(self):
        while True:
            with contextlib.suppress(Exception):
                await self.feed.run()
            await asyncio.sleep(0)

    async def _go_on(self, ticks=30):
        for _ in range(ticks):
            await asyncio.sleep(0)

    def _take_ticks(self):
        self.runner.run(self._go_on())

    @rule(size=st.integers(1, 3), noted=st.booleans())
    def record(self, size, noted):
        """A round is recorded, in this process or another; its message is under way."""
        news = self.store.record(size)
        self.messages.append((self.store.true_epoch, news))
        if noted and self.store.held is None:
            self.store.epoch = self.store.true_epoch
            self.feed.note(Head(news.last, news.changes[-1].timestamp, news.last_report_at))
        self._take_ticks()

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), keep=st.booleans(), with_changes=st.booleans())
    def hear(self, data, keep, with_changes):
        """One of the messages arrives: late, again, without its changes, or none of this."""
        # Drawn from the newest on.
        index = -1 - data.draw(st.integers(0, len(self.messages) - 1))
        epoch, news = self.messages[index] if keep else self.messages.pop(index)
        # Those of another epoch come on another channel.
        if epoch == self.feed._channel_epoch and self.news.listening == 1:
            self.news.say("s", announcement(news, with_changes=with_changes))
        self._take_ticks()

    @precondition(lambda self: self.messages)
    @rule(count=st.integers(1, 3))
    def lose(self, count):
        """The last messages never arrive."""
        del self.messages[-count:]

    @rule()
    def compare(self):
        """The heads are compared; the answer comes at once, or when answers are let go."""

        async def compare():
            known = self.feed.known
            with contextlib.suppress(Unavailable):
                heads = await self.store.heads(["s"])
                self.feed.compare(known, self.store.epoch, heads.get("s", Head()))

        async def begin():
            self.tasks.append(asyncio.create_task(compare()))
            await self._go_on()

        self.runner.run(begin())

    @rule()
    def take(self):
        """The listener goes on."""

        async def begin():
            if self.tasks[0] is self.tasks[-1] or all(task.done() for task in self.tasks[1:]):
                self.tasks.append(asyncio.create_task(self.listener.take()))
            await self._go_on()

        self.runner.run(begin())

    @rule()
    def hold(self):
        """Answers of the store are slow from now on."""
        self.store.hold()

    @rule()
    def release(self):
        """They arrive."""
        self.store.release()
        self._take_ticks()

    @rule(away=st.booleans())
    def reach(self, away):
        """The store can't be reached any more, or can again."""
        self.store.away = away
        self._take_ticks()

    @precondition(lambda self: self.store.log)
    @rule(lost=st.integers(1, 4), sizes=st.lists(st.integers(1, 2), max_size=4), heard=st.integers(0, 4))
    def restore(self, lost, sizes, heard):
        """An older backup is restored, and recorded to before anybody looks; the last messages are on their way."""
        self.meddled = True
        self.store.restore(max(len(self.store.log) - lost, 0))
        rounds = [(self.store.true_epoch, self.store.record(size)) for size in sizes]
        self.messages += rounds[max(len(rounds) - heard, 0) :]

    @rule(length=st.integers(0, 6))
    def swap(self, length):
        """Another database takes its place."""
        self.meddled = True
        self.store.swap(length)

    @rule()
    def settle(self):
        """With the store in reach and one more comparison, the feed is where the store is, and so is the listener."""
        self.store.away = False
        self.release()
        self.compare()
        self.runner.run(self._settled())
        assert (self.feed.head.version, self.feed.head.timestamp) == (
            self.store.head.version,
            self.store.head.timestamp,
        )
        assert self.feed.epoch == self.store.true_epoch == self.feed._channel_epoch
        listener, log = self.listener, self.store.log
        assert not listener.base.version or log[listener.base.version - 1].timestamp == listener.base.timestamp
        assert listener.received == log[listener.base.version :]
        cursor = Cursor.decode(listener.log.cursor(listener.place))
        assert self.runner.run(listener.log.look_up(cursor))

    async def _settled(self):
        for _ in range(3):
            await self._go_on(60)
            await asyncio.wait(self.tasks[1:])
            await self.listener.take()

    @invariant()
    def nothing_is_reset_for_nothing(self):
        """Whatever becomes of messages, comparisons and readings, it is no reset while the store is the same."""
        if not self.meddled:
            assert self.feed.resets == 0
            assert self.listener.received == self.store.log[self.listener.base.version : self.listener.place.version]

    def teardown(self):
        """End the tasks."""
        try:
            self.settle()
        finally:
            for task in self.tasks:
                task.cancel()
            self.runner.close()


TestSwappedUnderFeed = SwappedUnderFeed.TestCase
TestSwappedUnderFeed.settings = settings(max_examples=250, stateful_step_count=25)


@contextlib.asynccontextmanager
async def running(store):
    """A feed that listens, and what it hears."""
    news = ScriptedNews()
    feed = Feed("s", store=store, news=news, recent=RecentChanges(10**6))
    task = asyncio.create_task(feed.run())
    await feed.ready.wait()
    yield feed, news
    task.cancel()
    await asyncio.wait([task])


async def began_anew(feed):
    async with asyncio.timeout(10):
        await feed.until(lambda feed: feed.resets)


async def heard(feed, version):
    await feed.until(lambda feed: feed.head.version == version)


async def test_a_head_that_was_read_before_a_commit_is_no_reset():
    """An answer of the store that is older than the news of a commit is compared with what was known before them."""
    store = ScriptedStore()
    async with running(store) as (feed, news):
        known, head = feed.known, store.head
        news.say("s", announcement(store.record(2)))
        await heard(feed, 2)
        feed.compare(known, store.epoch, head)
        assert (feed.resets, feed.head.version) == (0, 2)
        feed.compare(feed.known, store.epoch, head)
        assert (feed.resets, feed.head.version) == (1, 0)


async def test_an_answer_from_before_a_reset_is_not_compared():
    """What the store said before the log was found to be another one says nothing of the new one."""
    store = ScriptedStore()
    store.record(2)
    async with running(store) as (feed, _):
        known, head = feed.known, store.head
        store.swap(1)
        await store.heads(["s"])
        feed.compare(feed.known, store.epoch, store.head)
        feed.compare(known, "epoch 0", head)
        assert (feed.resets, feed.epoch, feed.head, feed.newest) == (1, "epoch 1", store.head, store.head)


@pytest.mark.parametrize("size", [1, 2])
async def test_the_next_version_of_another_history_is_not_taken_in(size):
    """After a restore that nobody has noticed, changes whose versions are next do not follow what was delivered."""
    store = ScriptedStore()
    async with running(store) as (feed, news):
        for _ in range(3):
            news.say("s", announcement(store.record(1)))
        await heard(feed, 3)
        store.restore(2)
        if size == 1:
            # Its message is lost, and the next one's versions fit.
            store.record(1)
        news.say("s", announcement(store.record(size)))
        await feed.until(lambda feed: feed.resets)
        assert feed.after(3) is None
        assert feed.head.timestamp == store.head.timestamp


async def test_a_late_message_of_the_old_history_is_not_taken_in():
    """A message from before the restore, whose versions are next by now, is read from the log instead."""
    store = ScriptedStore()
    async with running(store) as (feed, news):
        rounds = [store.record(1) for _ in range(3)]
        for each in rounds[:2]:
            news.say("s", announcement(each))
        await heard(feed, 2)
        store.restore(1)
        feed.compare(feed.known, store.epoch, store.head)
        kept = store.record(1)
        news.say("s", announcement(kept))
        await heard(feed, 2)
        news.say("s", announcement(rounds[2]))
        store.record(1)
        await feed.until(lambda feed: feed.head.version == 3)
        assert feed.head.timestamp == store.head.timestamp


READINGS = {
    "snapshot": lambda log, _: log.snapshot(EVERYTHING),
    "place": lambda log, end: log.look_up(Cursor("epoch 0", "s", end.version, end.timestamp)),
    "changes": lambda log, _: log.changes_after(log.head),
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("recorded", [0, 1, 2, 3])
@pytest.mark.parametrize("with_changes", [False, True])
async def test_what_was_read_ahead_of_the_news_must_stay_in_the_log(reading, recorded, with_changes):
    """Where somebody stands who has read further than the news go, a log that holds something else is another one."""
    store = ScriptedStore()
    store.record(1)
    async with running(store) as (feed, news):
        store.record(2)
        await READINGS[reading](SchoolLog(feed, store), store.head)
        assert (feed.head.version, feed.newest) == (1, store.head)
        store.restore(1)
        if recorded:
            news.say("s", announcement(store.record(recorded), with_changes=with_changes))
        feed.compare(feed.known, store.epoch, store.head)
        await began_anew(feed)
        assert (feed.resets, feed.head.timestamp) == (1, store.head.timestamp)


async def test_news_that_contradict_what_was_read_are_not_taken_in():
    """Where somebody stands who has read further than the news, news of something else there make the feed look."""
    store = ScriptedStore()
    store.record(1)
    async with running(store) as (feed, news):
        store.record(2)
        await SchoolLog(feed, store).snapshot(EVERYTHING)
        store.restore(1)
        news.say("s", announcement(store.record(3)))
        await began_anew(feed)
        assert feed.head.timestamp == store.head.timestamp


async def test_a_log_is_found_to_be_another_one_once():
    """What was known of the log of before contradicts nothing in the new one."""
    store = ScriptedStore()
    store.record(1)
    async with running(store) as (feed, news):
        store.record(3)
        await SchoolLog(feed, store).snapshot(EVERYTHING)
        store.restore(1)
        feed.compare(feed.known, store.epoch, store.head)
        await began_anew(feed)
        news.say("s", announcement(store.record(3)))
        await heard(feed, 4)
        assert feed.resets == 1


async def test_what_was_noted_before_the_log_was_read_is_compared_with_it():
    """A commit that is noted while the first head is on its way, and is lost with a restore, keeps nobody waiting."""
    store = ScriptedStore()
    store.record(2)
    lost = store.head
    news = ScriptedNews()
    feed = Feed("s", store=store, news=news, recent=RecentChanges(10**6))
    feed.note(lost)
    store.restore(1)
    store.record(1)
    task = asyncio.create_task(feed.run())
    await feed.ready.wait()
    assert feed.newest == store.head
    place = Head(1, store.log[0].timestamp)
    assert [change.version for change in await SchoolLog(feed, store).changes_after(place)] == [2]
    task.cancel()
    await asyncio.wait([task])


async def test_a_snapshot_of_another_log_is_not_told():
    """A state whose version was delivered as another change is not that of this log, though it is not behind it."""
    store = ScriptedStore()
    async with running(store) as (feed, news):
        for _ in range(5):
            news.say("s", announcement(store.record(1)))
        await heard(feed, 5)
        store.restore(3)
        store.record(2)
        with pytest.raises(Unavailable):
            await SchoolLog(feed, store).snapshot(EVERYTHING)
        await began_anew(feed)


@pytest.mark.parametrize("remembered", [0, 3])
@pytest.mark.parametrize("behind", [498, 499, 500])
async def test_a_page_that_somebody_has_read_is_remembered_for_others(remembered, behind):
    """However a page ends, at the first change in memory or just before it, the next one at that place reads none."""
    store = ScriptedStore()
    store.record(1_000)
    async with running(store) as (feed, news):
        if remembered:
            news.say("s", announcement(store.record(remembered)))
            await heard(feed, 1_000 + remembered)
        place = Head(1_001 - behind, store.log[1_000 - behind].timestamp)
        log = SchoolLog(feed, store)
        page = await log.changes_after(place)
        store.away = True
        assert list(await log.changes_after(place))[: len(page)] == list(page)


async def test_what_is_read_across_a_reset_is_not_believed():
    """Snapshot, places and pages that were asked for in the old log, and arrive in the new one, are not used."""
    store = ScriptedStore()
    store.record(4)
    async with running(store) as (feed, _):
        log = SchoolLog(feed, store)
        lost = Cursor("epoch 0", "s", 3, store.log[2].timestamp)
        place = Head(2, store.log[1].timestamp)
        store.hold()
        reading = [
            asyncio.create_task(work)
            for work in (log.snapshot(EVERYTHING), log.look_up(lost), log.changes_after(place))
        ]
        await asyncio.sleep(0)
        store.restore(2)
        store.record(2)
        feed.compare(feed.known, store.epoch, store.head)
        assert feed.resets == 1
        store.release()
        snapshot, held, changes = await asyncio.gather(*reading, return_exceptions=True)
        assert isinstance(snapshot, Unavailable)
        assert isinstance(held, Unavailable)
        assert changes is None
        assert not await log.look_up(lost)
        assert [change.timestamp for change in await log.changes_after(place)] == [store.head.timestamp] * 2


async def test_a_page_of_another_history_is_not_taken_for_the_next_changes():
    """Before anybody has noticed a restore, who is behind is not given changes that do not follow its own."""
    store = ScriptedStore()
    store.record(4)
    async with running(store) as (feed, _):
        log = SchoolLog(feed, store)
        place = Head(2, store.log[1].timestamp)
        assert [change.version for change in await log.changes_after(place)] == [3, 4]
        feed._backlog.clear()
        store.restore(1)
        for _ in range(5):
            store.record(1)
        with pytest.raises(Unavailable):
            await log.changes_after(place)
        await began_anew(feed)
        assert await log.changes_after(place) is None


async def test_what_is_read_of_another_history_is_not_mixed_with_what_is_remembered():
    """Before anybody has noticed a restore, changes of the new log are not put before those of the old one."""
    store = ScriptedStore()
    store.record(2)
    async with running(store) as (feed, news):
        log = SchoolLog(feed, store)
        place = Head(1, store.log[0].timestamp)
        for _ in range(3):
            news.say("s", announcement(store.record(1)))
        await heard(feed, 5)
        old = Head(4, store.log[3].timestamp)
        store.restore(1)
        store.record(3)
        # Version 2, which comes before those in memory, is another one by now.
        feed.remember(store.log[1:4])
        assert feed.after(1) is None
        with pytest.raises(Unavailable):
            await log.changes_after(place)
        assert [change.version for change in await log.changes_after(old)] == [5]
        new = Head(4, store.log[3].timestamp)
        with pytest.raises(Unavailable):
            await log.changes_after(new)


async def test_a_snapshot_of_another_database_makes_the_feed_look():
    """A read that finds another epoch is repeated, and the feed begins anew without waiting for a comparison."""
    store = ScriptedStore()
    store.record(2)
    async with running(store) as (feed, news):
        log = SchoolLog(feed, store)
        store.swap(5)
        with pytest.raises(Unavailable):
            await log.snapshot(EVERYTHING)
        await feed.until(lambda feed: feed.resets)
        assert (await log.snapshot(EVERYTHING)).head.version == feed.head.version == 5
        while feed._channel_epoch != store.epoch:  # noqa: ASYNC110 - the feed tells nobody
            await asyncio.sleep(0)
        news.say("s", announcement(store.record(1)))
        await heard(feed, 6)
        assert feed.resets == 1
