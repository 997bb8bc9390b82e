"""News over the real broadcaster library, in memory."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.devices.model import Change, Round, Status
from graphql_api.devices.news import News, decode, encode
from graphql_api.moment import Moment

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
    return Round("s", changes, draw(st.none() | moments))


def round_of(school, version):
    return Round(school, (Change(school, version, "d", Status.ONLINE, None, Moment(1), Moment(1), Moment(1)),))


@given(rounds())
def test_a_round_survives_the_journey(news):
    """What encode writes, decode reads back, changes and moments included."""
    heard = decode("s", encode(news))
    assert heard.changes == news.changes
    assert (heard.first, heard.last, heard.last_report_at) == (news.first, news.last, news.last_report_at)


@given(
    st.text() | st.sampled_from(["null", "[]", "[1,2,3,4,5]", "[1,1,1,1,[[]]]", '[1,1,1,null,[["d","NO",null,1,1,1]]]'])
)
def test_a_message_of_somebody_else_is_refused(message):
    """Text that encode did not write raises ValueError, and nothing else."""
    with pytest.raises(ValueError, match="announcement"):
        decode("s", message)


async def test_each_school_hears_its_own():
    """A listener hears the rounds of its school in the order announced, and no other's."""
    async with News("memory://", epoch="e", outbox_limit=10) as news, news.listen("a") as heard:
        for school, version in [("a", 1), ("b", 1), ("a", 2)]:
            news.announce(round_of(school, version))
        assert [(await anext(heard)).last for _ in range(2)] == [1, 2]


async def test_a_full_outbox_drops_and_counts():
    """Beyond its limit the outbox drops rounds, counts them, and announcing never waits."""
    async with News("memory://", epoch="e", outbox_limit=3) as news, news.listen("a") as heard:
        for version in range(1, 6):
            news.announce(round_of("a", version))
        assert (news.statistics().waiting, news.statistics().overflowed) == (3, 2)
        assert [(await anext(heard)).last for _ in range(3)] == [1, 2, 3]
        assert news.statistics().waiting == 0


async def test_a_message_that_is_none_of_ours_is_dropped(caplog):
    """What others send over the same channel is logged without its text, and the next round is heard."""
    async with News("memory://", epoch="e", outbox_limit=3) as news, news.listen("a") as heard:
        await news._broadcast.publish(news._channel("a"), "secret nonsense")
        news.announce(round_of("a", 1))
        assert (await anext(heard)).last == 1
    assert "dropped" in caplog.text
    assert "secret" not in caplog.text


async def test_listeners_of_one_school_take_turns():
    """One who listens while another leaves waits for it, and then hears: the library would lose its messages."""
    async with News("memory://", epoch="e", outbox_limit=10) as news:
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


async def test_a_broken_backend_is_counted_and_survived(monkeypatch, caplog):
    """A round that the backend refuses is counted and logged, and the next one is sent."""
    async with News("memory://", epoch="e", outbox_limit=10) as news, news.listen("a") as heard:
        publish = news._broadcast.publish

        async def refuse(channel, message):
            monkeypatch.setattr(news._broadcast, "publish", publish)
            raise ConnectionError("the broker is gone")

        monkeypatch.setattr(news._broadcast, "publish", refuse)
        news.announce(round_of("a", 1))
        news.announce(round_of("a", 2))
        assert (await anext(heard)).last == 2
        assert (news.statistics().failed, news.statistics().sent) == (1, 1)


@pytest.mark.parametrize("failure", [None, ConnectionError("the broker is gone")])
async def test_a_subscription_that_fails_or_is_cancelled_says_so(monkeypatch, failure):
    """The library masks what happens while it subscribes; the listener gets the real thing, and the next one hears."""
    async with News("memory://", epoch="e", outbox_limit=10) as news:
        backend = news._broadcast._backend
        subscribe = backend.subscribe
        begun = asyncio.Event()

        async def slow(channel):
            begun.set()
            if failure:
                raise failure
            await asyncio.Event().wait()

        async def listen():
            async with news.listen("a"):
                pass

        monkeypatch.setattr(backend, "subscribe", slow)
        listening = asyncio.create_task(listen())
        await begun.wait()
        if failure is None:
            listening.cancel()
        with pytest.raises(ConnectionError if failure else asyncio.CancelledError):
            await listening
        monkeypatch.setattr(backend, "subscribe", subscribe)
        async with news.listen("a") as heard:
            news.announce(round_of("a", 1))
            assert (await anext(heard)).last == 1
