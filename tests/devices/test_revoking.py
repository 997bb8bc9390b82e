"""Revocations in the store, and in several processes on it: on SQLite and on PostgreSQL."""

import asyncio
import contextlib
import logging

import pytest
import sqlalchemy as sa

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_READ, EVERY_SCHOOL, Principal, Visibility
from graphql_api.access.revocations import Revocation, Revocations
from graphql_api.devices import revocation_log
from graphql_api.devices.revoking import LONGEST_SUBJECT, POLL_INTERVAL, Revoking
from graphql_api.devices.store import Store
from graphql_api.errors import BadUserInput, Forbidden, LimitExceeded, Unavailable
from graphql_api.moment import DAY, MINUTE, SECOND, Moment
from tests.access.test_revocations import Connection
from tests.devices.conftest import DAWN, plain_engine

pytestmark = pytest.mark.anyio


def visibility(*schools, all_schools=False, scopes=(DEVICES_ADMIN,)):
    return Visibility(frozenset(schools), all_schools, frozenset(scopes))


PLATFORM = visibility(all_schools=True)


def bearer(subject="anna", *schools, issued_at=DAWN - SECOND):
    return Principal(subject, visibility(*(schools or ("1",))), Moment(DAWN + DAY), issued_at)


class Turns:
    """Stands in for sleeping between two looks: the poller goes on when a test says so, and waits are seen."""

    def __init__(self):
        self.waits = []
        self._gate = asyncio.Event()
        self._idle = asyncio.Event()

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self._idle.set()
        await self._gate.wait()
        self._gate.clear()

    async def next(self):
        """Let the poller have its next turn, and wait until it is over."""
        await self._idle.wait()
        self._idle.clear()
        self._gate.set()
        await self._idle.wait()


@contextlib.asynccontextmanager
async def process(store, clock, *, max_lifetime=None):
    """What one process knows: its revocations, its front door, and its poller's turns."""
    revocations, turns = Revocations(), Turns()
    async with Revoking(
        store=store, revocations=revocations, max_lifetime=max_lifetime, clock=clock, sleep=turns.sleep
    ) as revoking:
        yield revocations, revoking, turns


async def test_every_process_hears_of_it(store, clock):
    """What one process revokes is in force there at once and in another one at its next look, and sockets are told."""
    async with process(store, clock) as (here, revoking, _), process(store, clock) as (there, _, turns):
        told = []
        for known, name in ((here, "here"), (there, "there")):
            known.watch(Connection(bearer(), lambda name=name: told.append(name)))
        assert await revoking.revoke(PLATFORM, "anna", None) == 1
        assert told == ["here"]
        await turns.next()
        assert told == ["here", "there"]
        for known in (here, there):
            assert known.refuse(bearer())
            assert known.refuse(bearer(issued_at=None))
            assert not known.refuse(bearer(issued_at=DAWN))
            assert not known.refuse(bearer("bert"))
        assert all(0 < wait <= POLL_INTERVAL < 1 for wait in turns.waits)


async def test_what_ended_is_told_whoever_ended_it(store, clock, monkeypatch):
    """When the task that reads comes before the call that has recorded, the call still tells how many ended."""
    async with process(store, clock) as (known, revoking, turns):
        record = store.revoke

        async def slow_to_answer(*arguments):
            recorded = await record(*arguments)
            await turns.next()
            return recorded

        monkeypatch.setattr(store, "revoke", slow_to_answer)
        for _ in range(3):
            known.watch(Connection(bearer(), lambda: None))
        known.watch(Connection(bearer("bert"), lambda: None))
        assert await revoking.revoke(PLATFORM, "anna", None) == 3


async def test_a_restart_forgets_nothing(store, clock):
    """A process that starts knows all that was revoked before, before it serves anybody."""
    async with process(store, clock) as (_, revoking, _):
        await revoking.revoke(visibility("1", "2"), "anna", Moment(DAWN - 5 * SECOND))
        await revoking.revoke(PLATFORM, "bert", None)
    async with process(store, clock) as (known, _, _):
        assert known.statistics().revocations == 3
        assert known.refuse(bearer("anna", "2", issued_at=DAWN - 6 * SECOND))
        assert not known.refuse(bearer("anna", "2", issued_at=DAWN - 5 * SECOND))
        assert not known.refuse(bearer("anna", "3", issued_at=DAWN - 6 * SECOND))
        assert known.refuse(bearer("bert", "3"))


async def test_a_later_revocation_takes_the_place_of_the_earlier(store, clock):
    """Of each subject and school there is one row, which only ever reaches further, and others read the last."""
    async with process(store, clock) as (_, revoking, _), process(store, clock) as (there, _, turns):
        for moment in (DAWN - 9 * SECOND, DAWN - 5 * SECOND, DAWN - 7 * SECOND):
            await revoking.revoke(visibility("1"), "anna", Moment(moment))
            await turns.next()
        assert there.refuse(bearer(issued_at=DAWN - 6 * SECOND))
        assert not there.refuse(bearer(issued_at=DAWN - 5 * SECOND))
        assert len((await store.revoked_after(None)).revocations) == 1


async def test_only_what_is_new_is_read(store, clock):
    """Behind the place of the last look there is what was revoked since, and nothing else."""
    await store.revoke("anna", ["1"], DAWN)
    first = await store.revoked_after(None)
    assert (await store.revoked_after(first.place)).revocations == ()
    await store.revoke("bert", ["1"], DAWN)
    second = await store.revoked_after(first.place)
    assert second.revocations == (Revocation("bert", "1", DAWN),)
    assert (await store.revoked_after(second.place)) == revocation_log.Revoked((), second.place)


async def test_an_older_store_is_read_anew(store, clock, database_url):
    """When the store has become another one (a backup, a failover), what is revoked there is heard of all the same."""
    async with process(store, clock) as (_, revoking, _), process(store, clock) as (there, _, turns):
        for subject in ("anna", "bert"):
            await revoking.revoke(PLATFORM, subject, None)
        await turns.next()
        with plain_engine(database_url) as engine, engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM revocation"))
        clock.advance(1)
        for subject in ("carl", "dora"):
            await store.revoke(subject, [EVERY_SCHOOL], clock())
        await turns.next()
        assert [there.refuse(bearer(subject)) for subject in ("anna", "bert", "carl", "dora")] == [True] * 4


async def test_revoking_at_once_gives_each_a_number(store, clock):
    """However many revoke at the same time, each gets its own row, and none is missed by one who reads meanwhile."""
    async with process(store, clock) as (known, _, turns):
        await asyncio.gather(
            *(store.revoke(f"s{number}", ["1", "2"], DAWN) for number in range(40)), *(turns.next() for _ in range(1))
        )
        await turns.next()
        assert known.statistics().revocations == 80


async def test_what_is_known_stays_in_force_without_the_store(store, clock, monkeypatch, caplog):
    """While the store is away the known revocations hold; it is logged once, counted, and over when it is back."""
    caplog.set_level(logging.WARNING)
    async with process(store, clock) as (known, revoking, turns):
        await revoking.revoke(PLATFORM, "anna", None)

        async def away(*_):
            raise Unavailable("The store can't be reached now.")

        with monkeypatch.context() as patched:
            patched.setattr(store, "revoked_after", away)
            for _ in range(3):
                await turns.next()
            assert known.refuse(bearer())
            assert (revoking.statistics().failures, revoking.statistics().failing) == (3, True)
            assert caplog.text.count("stay in force") == 1
        await turns.next()
        assert revoking.statistics().failing is False


@pytest.mark.logs_errors
async def test_a_defect_does_not_end_the_looking(store, clock, monkeypatch, caplog):
    """Whatever goes wrong in one look, the next one comes."""
    async with process(store, clock) as (known, _, turns):

        async def broken(*_):
            raise KeyError("a defect")

        with monkeypatch.context() as patched:
            patched.setattr(store, "revoked_after", broken)
            await turns.next()
        await store.revoke("anna", [EVERY_SCHOOL], DAWN)
        await turns.next()
        assert known.refuse(bearer())
        assert "Traceback" in caplog.text


async def test_a_process_does_not_start_without_the_store(store, clock, monkeypatch):
    """Who can't read what is revoked does not begin to serve."""

    async def away(*_):
        raise Unavailable("The store can't be reached now.")

    monkeypatch.setattr(store, "revoked_after", away)
    with pytest.raises(Unavailable):
        async with process(store, clock):
            raise AssertionError("it has begun")


async def test_old_revocations_are_pruned_where_tokens_do_not_live_for_ever(store, clock):
    """With a longest lifetime, a revocation goes, in store and memory, when no token it is about can be valid."""
    async with process(store, clock) as (_, revoking, _):
        await revoking.revoke(PLATFORM, "anna", Moment(DAWN))
        await revoking.revoke(PLATFORM, "bert", Moment(DAWN + 1))
    clock.moment = Moment(DAWN + 2 * DAY)
    async with process(store, clock) as (known, _, turns):
        await turns.next()
        assert known.statistics().revocations == 2
    async with process(store, clock, max_lifetime=2) as (known, _, turns):
        await turns.next()
        assert known.statistics().revocations == 1
        assert known.refuse(bearer("bert"))
    assert [one.subject for one in (await store.revoked_after(None)).revocations] == ["bert"]


async def test_revocations_are_bounded(store, clock, monkeypatch):
    """One revocation too many is refused whole, and the sentence names the way out; a known one may reach further."""
    monkeypatch.setattr(revocation_log, "REVOCATIONS_LIMIT", 2)
    monkeypatch.setattr(revocation_log, "SURE_OF_A_SCHOOL", 0)
    await store.revoke("anna", ["1"], DAWN)
    with pytest.raises(LimitExceeded, match="at most 2 revocations for all schools together"):
        await store.revoke("bert", ["1", "2"], DAWN)
    await store.revoke("bert", ["1"], DAWN)
    await store.revoke("anna", ["1"], Moment(DAWN + 1))
    assert len((await store.revoked_after(None)).revocations) == 2


async def test_one_school_does_not_use_up_the_room_of_others(store, clock, monkeypatch):
    """A school has its share and no more, and its administrator is told so; another one still revokes."""
    monkeypatch.setattr(revocation_log, "REVOCATIONS_OF_A_SCHOOL", 2)
    for subject in ("anna", "bert"):
        await store.revoke(subject, ["1"], DAWN)
    with pytest.raises(LimitExceeded, match="2 revocations for one school, but '1' has 2"):
        await store.revoke("carl", ["1", "2"], DAWN)
    await store.revoke("carl", ["2"], DAWN)
    await store.revoke("anna", ["1"], Moment(DAWN + 1))
    for subject in ("anna", "bert", "carl"):
        await store.revoke(subject, [EVERY_SCHOOL], DAWN)
    assert len((await store.revoked_after(None)).revocations) == 6


async def test_a_school_is_sure_of_some_revocations(store, clock, monkeypatch):
    """When many schools have used up the room that all have, one that has revoked little may go on for a while."""
    monkeypatch.setattr(revocation_log, "REVOCATIONS_LIMIT", 3)
    monkeypatch.setattr(revocation_log, "SURE_OF_A_SCHOOL", 2)
    await store.revoke("anna", ["1", "2", "3"], DAWN)
    for subject in ("bert", "carl"):
        await store.revoke(subject, ["4"], DAWN)
    with pytest.raises(LimitExceeded, match="at most 3 revocations"):
        await store.revoke("dora", ["4"], DAWN)


async def test_administrators_of_every_school_have_room_of_their_own(store, clock, monkeypatch):
    """Whatever schools have revoked, all tokens of a subject can be, up to a number that schools don't count in."""
    monkeypatch.setattr(revocation_log, "REVOCATIONS_LIMIT", 2)
    monkeypatch.setattr(revocation_log, "SURE_OF_A_SCHOOL", 0)
    await store.revoke("anna", ["1", "2"], DAWN)
    for subject in ("anna", "bert"):
        await store.revoke(subject, [EVERY_SCHOOL], DAWN)
    with pytest.raises(LimitExceeded, match="DEVICE_STATUS_JWT_MAX_LIFETIME"):
        await store.revoke("carl", [EVERY_SCHOOL], DAWN)


async def test_a_row_is_as_it_was_said(database_url, clock):
    """Subjects and schools of any text come back to the letter, and the longest fit."""
    store = await Store.open(database_url, clock=clock)
    subjects = ["ä b", "x" * LONGEST_SUBJECT, "😀" * LONGEST_SUBJECT, "a'; DROP TABLE revocation; --", "%", "A", "a"]
    for subject in subjects:
        await store.revoke(subject, ["s" * 128, EVERY_SCHOOL], DAWN)
    found = (await store.revoked_after(None)).revocations
    assert [(one.subject, one.school) for one in found] == [
        (subject, school) for subject in subjects for school in ("s" * 128, EVERY_SCHOOL)
    ]
    await store.close()


@pytest.mark.parametrize("scopes", [(), (DEVICES_READ,)])
async def test_revoking_needs_an_administrator(store, clock, scopes):
    """Without devices:admin nobody revokes anything."""
    async with process(store, clock) as (known, revoking, _):
        with pytest.raises(Forbidden, match="devices:admin"):
            await revoking.revoke(visibility("1", scopes=scopes), "anna", None)
        assert known.statistics().revocations == 0


@pytest.mark.parametrize(
    "subject", ["", "x" * (LONGEST_SUBJECT + 1), "a\0b", "\ud800"], ids=["empty", "long", "NUL", "half"]
)
async def test_what_is_no_subject(store, clock, subject):
    """A subject that no store could hold is refused in a sentence."""
    async with process(store, clock) as (_, revoking, _):
        with pytest.raises(BadUserInput, match="Expected subject to"):
            await revoking.revoke(PLATFORM, subject, None)


async def test_the_future_can_not_be_revoked(store, clock):
    """A moment up to a minute ahead is a clock that differs; further ahead it would lock the subject out."""
    async with process(store, clock) as (_, revoking, _):
        await revoking.revoke(PLATFORM, "anna", Moment(DAWN + MINUTE))
        with pytest.raises(BadUserInput, match="at most a minute ahead"):
            await revoking.revoke(PLATFORM, "anna", Moment(DAWN + MINUTE + 1))
