"""News over the real broadcaster library: in memory, and over real brokers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis as SynchronousRedis
from redis.asyncio import Redis

from graphql_api.devices.model import Change, Round, Status
from graphql_api.devices.news import News
from graphql_api.devices.news.announcement import decode, encode
from graphql_api.devices.news.brokers import broker_of
from graphql_api.moment import Moment
from tests.devices.conftest import plain_engine
from tests.devices.faulty_broker import faulty

pytestmark = pytest.mark.anyio

moments = st.integers(0, 2**52).map(Moment)


@st.composite
def rounds(draw):
    first = draw(st.integers(1, 2**40))
    rows = draw(
        st.lists(
            st.tuples(
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
                st.sampled_from(Status),
                st.none() | st.sampled_from(Status),
                moments,
                moments,
                moments,
            ),
            min_size=1,
        )
    )
    changes = tuple(Change("s", version, *row) for version, row in enumerate(rows, first))
    return Round("s", changes, draw(st.none() | moments), draw(st.none() | moments))


def round_of(school, version, size=1):
    changes = tuple(
        Change(school, version + index, f"d{index}", Status.ONLINE, None, Moment(1), Moment(1), Moment(1))
        for index in range(size)
    )
    return Round(school, changes)


def news_over(broker, *, epoch="e", outbox_limit=10):
    return News(
        broker_of(broker) if isinstance(broker, str) else broker, epoch=lambda: epoch, outbox_limit=outbox_limit
    )


async def until(condition):
    """Wait until what is counted fulfils a condition; the test's own timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - counters have no events
        await asyncio.sleep(0.002)


async def rebuilt(news, rebuilds=0):
    await news.until_rebuilt(rebuilds)
    return news.statistics()


@given(rounds())
def test_a_round_survives_the_journey(news):
    """What encode writes, decode reads back, changes and moments included."""
    heard = decode("s", encode(news))
    assert heard.changes == news.changes
    assert (heard.first, heard.last, heard.last_report_at) == (news.first, news.last, news.last_report_at)
    assert heard.before == news.before


@given(
    st.text()
    | st.sampled_from(
        [
            "null",
            "[]",
            "[1,2,3,4,5,6]",
            "[1,1,1,1,1,[[]]]",
            '[1,1,1,1,1,[{"d":1}]]',
            '[1,1,1,null,1,[["d","NO",null,1,1,1]]]',
            '[1,1,1,null,1,[["d","ONLINE",null,1,1,1,1]]]',
            '[1,1,1,null,1,[["d","ONLINE","",1,1,1]]]',
            '[1,1,1,null,1,[[7,"ONLINE",null,1,1,1]]]',
            '[1,1,1,null,1,[["d","ONLINE",null,1,1,"1"]]]',
            '[1,2,1,null,1,[["d","ONLINE",null,1,1,1]]]',
            '[1,"2",1,null,1,[]]',
            "[2,1,1,null,1,[]]",
            "[0,1,1,null,1,[]]",
            "[true,1,1,null,1,[]]",
            "[1,1,1,1.5,1,[]]",
            '[1,1,1,1,"1",[]]',
            "[" * 5_000,
        ]
    )
)
def test_a_message_of_somebody_else_is_refused(message):
    """Text that encode did not write raises ValueError, and nothing else."""
    with pytest.raises(ValueError, match="announcement"):
        decode("s", message)


@given(rounds(), st.integers(0, 400))
def test_a_message_is_never_too_big(news, limit):
    """A round that would be over the limit is announced without its changes, and one that is not has them all."""
    message = encode(news, limit=limit)
    heard = decode("s", message)
    assert (heard.first, heard.last, heard.last_report_at) == (news.first, news.last, news.last_report_at)
    if len(encode(news).encode()) <= limit:
        assert heard.changes == news.changes
    else:
        assert heard.changes == ()


async def test_each_school_hears_its_own(broadcast_url):
    """A listener hears the rounds of its school in the order announced, and no other's, over every broker."""
    async with news_over(broadcast_url) as news, news.listen("a") as heard:
        for school, version in [("a", 1), ("b", 1), ("a", 2)]:
            news.announce(round_of(school, version))
        assert [(await anext(heard)).last for _ in range(2)] == [1, 2]


async def test_listeners_come_and_go(broadcast_url):
    """Who listens after all others have left, or comes while another leaves, hears what is announced from then on."""
    async with news_over(broadcast_url) as news:

        async def visit(school, version):
            async with news.listen(school) as heard:
                news.announce(round_of(school, version))
                assert (await anext(heard)).last == version

        for version in (1, 2):
            await visit("a", version)
        async with asyncio.TaskGroup() as tasks:
            for number in range(12):
                tasks.create_task(visit(f"s{number % 5}", number + 1))
        assert news.statistics().channels == 0
        assert news.statistics().rebuilds == 0


async def test_a_round_of_a_thousand_changes_is_heard(broadcast_url):
    """The biggest round reaches the listener over every broker, if need be without its changes."""
    async with news_over(broadcast_url) as news, news.listen("a") as heard:
        news.announce(round_of("a", 1, size=1_000))
        announced = await anext(heard)
        assert (announced.first, announced.last) == (1, 1_000)
        assert len(announced.changes) == (0 if broadcast_url.startswith("postgresql") else 1_000)


@pytest.mark.parametrize("broadcast_url", ["redis", "postgresql"], indirect=True)
async def test_processes_hear_each_other_within_an_installation(broadcast_url):
    """Two processes hear each other when they share the epoch of a store, and not when they only share the broker."""
    async with (
        news_over(broadcast_url, epoch="production") as one,
        news_over(broadcast_url, epoch="production") as other,
        news_over(broadcast_url, epoch="staging") as staging,
        one.listen("a") as heard,
        staging.listen("a") as heard_in_staging,
    ):
        other.announce(round_of("a", 1))
        assert (await anext(heard)).last == 1
        # Had staging heard the other round, it would come before its own.
        staging.announce(round_of("a", 2))
        assert (await anext(heard_in_staging)).last == 2
        other.announce(round_of("a", 3))
        assert (await anext(heard)).last == 3


async def test_redis_restarts_under_a_listener(redis):
    """When Redis was killed and is back, the same listener hears what is announced from then on."""
    async with news_over(redis.url) as news, news.listen("a") as heard:
        for attempt in (1, 2):
            redis.kill()
            redis.start()
            assert (await rebuilt(news, attempt - 1)).connected
            news.announce(round_of("a", attempt))
            assert (await anext(heard)).last == attempt


async def test_redis_cuts_off_who_reads_too_slowly(redis):
    """When Redis ends a subscriber's connection, as it does when its output buffer is full, the listener hears on."""
    async with news_over(redis.url) as news, news.listen("a") as heard:
        shout(redis.url, news._channel("a"))
        assert (await rebuilt(news)).connected
        news.announce(round_of("a", 1))
        assert (await anext(heard)).last == 1


def shout(url, channel):
    """More than the network and the buffer take, while the loop stands still and nothing is read."""
    with SynchronousRedis.from_url(url) as client:
        client.config_set("client-output-buffer-limit", "pubsub 1000000 0 0")
        for _ in range(40):
            client.publish(channel, bytes(1_000_000))
        assert not client.pubsub_numsub(channel)[0][1]


async def test_postgresql_ends_the_connections(postgresql_url):
    """When PostgreSQL ends the connection that listens, or the one that publishes, the same listener hears on."""
    async with news_over(postgresql_url) as news, news.listen("a") as heard:
        for attempt, statement in [(1, "LISTEN%"), (2, "SELECT pg_notify%")]:
            await asyncio.to_thread(end_connections, postgresql_url, statement)
            if attempt > 1:
                # Nobody reads from this connection: its end is found when it is used.
                news.announce(round_of("a", 7))
            assert (await rebuilt(news, attempt - 1)).connected
            news.announce(round_of("a", attempt))
            assert (await anext(heard)).last == attempt


def end_connections(url, statement):
    with plain_engine(url) as engine, engine.connect() as connection:
        ended = connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE %s",
            (statement,),
        )
        assert ended.all() == [(True,)]


async def test_it_begins_without_its_broker(redis, caplog):
    """With the broker down it begins all the same, says so once, drops rounds, and hears when the broker comes."""
    redis.kill()
    async with news_over(redis.url) as news, news.listen("a") as heard:
        assert not news.statistics().connected
        news.announce(round_of("a", 1))
        await until(lambda: news.statistics().failed == 1)
        redis.start()
        assert (await rebuilt(news)).rebuilds == 1
        news.announce(round_of("a", 2))
        assert (await anext(heard)).last == 2
    assert caplog.text.count("is lost and will be rebuilt") == 1


async def test_a_broker_that_is_silent_is_suspected():
    """A broker that takes rounds and carries none is rebuilt when it is suspected, and then heard."""
    broker = faulty(deaf=1)
    async with news_over(broker) as news, news.listen("a") as heard:
        news.announce(round_of("a", 1))
        await until(lambda: news.statistics().sent == 1)
        news.suspect()
        await rebuilt(news)
        news.announce(round_of("a", 2))
        assert (await anext(heard)).last == 2


async def test_memory_is_never_suspected():
    """What is in memory can't die, so that suspecting it does nothing."""
    async with news_over("memory://") as news, news.listen("a") as heard:
        news.suspect()
        news.announce(round_of("a", 1))
        assert (await anext(heard)).last == 1
        assert news.statistics().rebuilds == 0


async def test_a_full_outbox_drops_and_counts():
    """Beyond its limit the outbox drops rounds, counts them, and announcing never waits."""
    async with news_over("memory://", outbox_limit=3) as news, news.listen("a") as heard:
        for version in range(1, 6):
            news.announce(round_of("a", version))
        assert (news.statistics().waiting, news.statistics().overflowed) == (3, 2)
        assert [(await anext(heard)).last for _ in range(3)] == [1, 2, 3]
        assert news.statistics().waiting == 0


async def test_a_message_that_is_none_of_ours_is_dropped(caplog):
    """What others send over the same channel is logged without its text, and the next round is heard."""
    async with news_over("memory://", outbox_limit=3) as news, news.listen("a") as heard:
        await news._broadcasting.publish(news._channel("a"), "secret nonsense")
        news.announce(round_of("a", 1))
        assert (await anext(heard)).last == 1
    assert "dropped" in caplog.text
    assert "secret" not in caplog.text


async def test_listeners_of_one_school_take_turns():
    """One who listens while another leaves waits for it, and then hears: the library would lose its messages."""
    async with news_over("memory://") as news:
        entered = asyncio.Event()

        async def hear_one():
            async with news.listen("a") as heard:
                entered.set()
                return (await anext(heard)).last

        async with asyncio.TaskGroup() as tasks:
            async with news.listen("a"):
                second = tasks.create_task(hear_one())
                assert news.statistics().channels == 1
            await entered.wait()
            news.announce(round_of("a", 7))
            assert await second == 7
        assert news.statistics().channels == 0


async def test_a_round_that_is_refused_is_counted(caplog):
    """A round that the broker refuses is counted, and the next one is sent over a new connection."""
    async with news_over(faulty(refuse=1)) as news, news.listen("a") as heard:
        news.announce(round_of("a", 1))
        await rebuilt(news)
        news.announce(round_of("a", 2))
        assert (await anext(heard)).last == 2
        assert (news.statistics().failed, news.statistics().sent) == (1, 1)
    assert "refused" in caplog.text


async def test_a_subscription_that_fails_is_made_good():
    """When the broker refuses a subscription, the listener is let in, and hears once there is a new connection."""
    async with news_over(faulty(closed=1)) as news, news.listen("a") as heard:
        await rebuilt(news)
        news.announce(round_of("a", 1))
        assert (await anext(heard)).last == 1


async def test_a_broker_that_hangs_holds_up_nobody():
    """When the broker dies while a subscription hangs, nobody goes on waiting for the subscription."""
    broker = faulty(hang=1)
    async with news_over(broker) as news:
        listening = asyncio.create_task(hear_one(news))
        await broker.hanging.wait()
        news.suspect()
        await rebuilt(news)
        await until(lambda: news.statistics().channels == 1)
        while not listening.done():
            news.announce(round_of("a", 1))
            await asyncio.sleep(0)
        assert await listening == 1


async def hear_one(news, school="a"):
    async with news.listen(school) as heard:
        return (await anext(heard)).last


async def test_a_subscription_may_be_cancelled():
    """Cancelling a listener that subscribes, which the library masks, takes effect, and the next one hears."""
    broker = faulty(hang=1)
    async with news_over(broker) as news:
        listening = asyncio.create_task(hear_one(news))
        await broker.hanging.wait()
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert news.statistics().channels == 0
        broker.let_go.set()
        async with news.listen("a") as heard:
            news.announce(round_of("a", 1))
            assert (await anext(heard)).last == 1


async def test_a_cancelled_subscription_leaves_no_channel_behind(redis):
    """A listener that is cancelled while it subscribes is not subscribed: the broker sends nothing for nobody."""
    async with news_over(redis.url) as news:
        # However far it has come: the command is on its way, and not confirmed yet, after a few turns of the loop.
        for turns in range(1, 12):
            listening = asyncio.create_task(hear_one(news, f"s{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            listening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listening
        async with news.listen("b"), Redis.from_url(redis.url) as client:
            channels = {name.decode() for name in await client.pubsub_channels()}
        assert news._channel("b") in channels
        assert channels.isdisjoint(news._channel(f"s{turns}") for turns in range(1, 12))
        assert news.statistics().rebuilds == 0


async def test_the_last_words_are_heard(redis):
    """Rounds announced right before the end are still sent."""
    async with news_over(redis.url) as other, other.listen("a") as heard:
        async with news_over(redis.url) as news:
            for version in (1, 2, 3):
                news.announce(round_of("a", version))
        assert [(await anext(heard)).last for _ in range(3)] == [1, 2, 3]
        assert news.statistics().sent == 3


async def test_a_broker_that_hangs_does_not_hold_up_the_end():
    """With a broker that takes nothing, the end comes all the same, and what was to be said is lost."""
    async with news_over(faulty(mute=1)) as news:
        news.announce(round_of("a", 1))
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 4
    assert news.statistics().sent == 0
