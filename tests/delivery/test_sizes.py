"""Who comes back is told what it has missed, whatever the sizes, as they are and not made small."""

import contextlib

import pytest

from graphql_api.delivery.operations import renderer_of, sharing_key
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Head, Report, Status
from graphql_api.devices.service import MAX_REPORTS
from graphql_api.devices.watches.listing import LIST_UPDATE_LIMIT
from tests.listening import graphql_listener, leaving
from tests.schema.conftest import caller, clock, executor, services  # noqa: F401 - fixtures

pytestmark = pytest.mark.anyio

EVENTS = "subscription { deviceStatus { kind deviceId } }"
LIST = "subscription { devices { reset complete changed { deviceId } } }"

# Changes of each round: many small rounds at both ends, and between them more than pages, parts and writes hold.
ROUNDS = [*[1] * 20, MAX_REPORTS, 999, 2, 501, 500, 499, *[1] * 20]
END = sum(ROUNDS)
MAX_REPLAY = 3_000
BOUNDS = [sum(ROUNDS[:number]) for number in range(len(ROUNDS) + 1)]
# The first and the last change of many rounds, those beside them, and one more and one less than is taken at a time.
PLACES = {each for bound in BOUNDS[::3] for each in (bound - 1, bound, bound + 1) if 0 <= each < END}
PLACES |= {END - each for each in (499, 500, 501, 999, 1_000, 1_001, MAX_REPLAY, MAX_REPLAY + 1)}


async def record(user):
    """All the rounds, one after the other; returns the log."""
    devices = user.services.devices
    for number, size in enumerate(ROUNDS):
        # Another one than in the round before, and the one before that.
        status = (Status.ONLINE, Status.OFFLINE, Status.DEGRADED)[number % 3]
        await devices.publish(user.principal.visibility, "1", [Report(f"d{each}", status) for each in range(size)])
    return await devices._store.changes("1", after=0, limit=10_000)


def subscribing(user, query, cursor):
    """One who comes back with a cursor."""
    delivery, may = user.services.delivery, user.principal.visibility
    operation = user.executor.prepare(query, None)
    key, open_renderer = sharing_key(operation, {}, may), renderer_of(delivery, operation, {}, may)
    return leaving(delivery.sharing, graphql_listener(delivery.sharing, key, open_renderer, [cursor]))


def told_of(listener, field):
    return [told["data"][field] for told in listener.received]


@pytest.mark.parametrize("remembered", [True, False])
async def test_whoever_comes_back_is_told_what_came_since(caller, remembered, monkeypatch):  # noqa: F811
    """From wherever in a log of many changes somebody comes back, exactly those since are told, or all devices."""
    devices = caller.services.devices
    monkeypatch.setattr(devices, "_max_replay", MAX_REPLAY)
    async with contextlib.AsyncExitStack() as stack:
        if remembered:
            await stack.enter_async_context(devices.follow("1"))
        log = await record(caller)
        assert len(log) == END
        places = [Head(each, log[each - 1].timestamp) if each else Head() for each in sorted(PLACES)]
        listeners = [
            (query, place.version, stack.enter_context(subscribing(caller, query, devices.cursor("1", place))))
            for place in places
            for query in (EVENTS, LIST)
        ]
        for query, version, listener in listeners:
            await listener.live.wait()
            await listener.until_level_with(devices._store)
            assert_told = assert_list_was_told if query == LIST else assert_events_were_told
            assert_told(listener, version, log)


def assert_events_were_told(listener, version, log):
    kinds = {told["kind"] for told in told_of(listener, "deviceStatus")}
    if END - version > MAX_REPLAY:
        assert kinds == {"SNAPSHOT"}
        assert len(listener.received) == len({change.device_id for change in log})
    else:
        cursors = [Cursor.decode(told["extensions"]["cursor"]).version for told in listener.received]
        assert (kinds, cursors) == ({"CHANGE"}, list(range(version + 1, END + 1)))


def assert_list_was_told(listener, version, log):
    updates = told_of(listener, "devices")
    changed = [device["deviceId"] for update in updates for device in update["changed"]]
    assert sorted(changed) == sorted({change.device_id for change in log[version:]})
    assert max(len(update["changed"]) for update in updates) <= LIST_UPDATE_LIMIT
    assert [update["complete"] for update in updates] == [False] * (len(updates) - 1) + [True]
    assert not any(update["reset"] for update in updates)
