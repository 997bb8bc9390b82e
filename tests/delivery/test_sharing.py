"""Who shares an execution with whom, and that nobody can tell."""

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
from graphql import DocumentNode, OperationType
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.operations import renderer_of, sharing_key
from graphql_api.devices.model import DeviceFilter, Report, Status
from graphql_api.errors import LimitExceeded
from graphql_api.schema import OperationRefused
from graphql_api.schema.context import SubscriptionContext
from graphql_api.schema.documents import Operation
from graphql_api.schema.rendering import Rendering
from tests.listening import graphql_listener, leaving, listening_to
from tests.schema.conftest import PUBLISH, caller, clock, executor, services  # noqa: F401 - fixtures

pytestmark = pytest.mark.anyio

EVENTS = "subscription ($snapshot: Boolean! = false) { deviceStatus(snapshot: $snapshot) { deviceId status } }"


def groups(caller):  # noqa: F811 - the fixture's value
    return caller.services.statistics().sharing.groups


@pytest.fixture
def rendered(monkeypatch):
    """What was rendered, by all executions together."""
    items: list[Any] = []
    render = Rendering.render

    async def counting(self, item):
        items.append(item)
        return await render(self, item)

    monkeypatch.setattr(Rendering, "render", counting)
    return items


async def test_two_users_of_a_school_share(caller, rendered):  # noqa: F811
    """Users with the same rights who ask for the same are one group, and each result is rendered once for both."""
    other = dataclasses.replace(caller, principal=dataclasses.replace(caller.principal, subject="somebody else"))
    async with caller.watch(EVENTS) as one, other.watch(EVENTS) as two:
        for watched in (one, two):
            await watched.live.wait()
        assert groups(caller) == 1
        await caller.publish(board="ONLINE")
        assert await one.next() == await two.next() == {"deviceId": "board", "status": "ONLINE"}
        assert len(rendered) == 1
    assert groups(caller) == 0


async def test_a_storm_is_rendered_once(caller, rendered):  # noqa: F811
    """A hundred clients who come back at once to one place are told twenty changes, each rendered once for all."""
    async with caller.watch(EVENTS) as before:
        await before.live.wait()
    for number in range(20):
        await caller.publish(**{f"device_{number}": "ONLINE"})
    delivery, may = caller.services.delivery, caller.principal.visibility
    operation = caller.executor.prepare(EVENTS, None)
    key, open_renderer = sharing_key(operation, {}, may), renderer_of(delivery, operation, {}, may)
    with contextlib.ExitStack() as stack:
        storm = [graphql_listener(delivery.sharing, key, open_renderer, [before.listener.cursor]) for _ in range(100)]
        for listener in storm:
            stack.enter_context(leaving(delivery.sharing, listener))
        for listener in storm:
            await listener.live.wait()
            assert len(listener.received) == 20
        assert len(rendered) == 20


async def test_a_storm_that_is_not_recovered_reads_the_store_once(caller, clock, rendered, monkeypatch):  # noqa: F811
    """A hundred clients whose places are gone share one snapshot, though another instance has heard reports since."""
    await caller.publish(board="ONLINE", projector="OFFLINE")
    delivery, may, store = caller.services.delivery, caller.principal.visibility, caller.services.store
    operation = caller.executor.prepare(EVENTS, None)
    key, open_renderer = sharing_key(operation, {}, may), renderer_of(delivery, operation, {}, may)
    read = []
    snapshot = store.snapshot

    async def counting(*arguments):
        read.append(arguments)
        return await snapshot(*arguments)

    monkeypatch.setattr(store, "snapshot", counting)
    async with caller.watch(EVENTS) as before:
        await before.live.wait()
        clock.advance(60)
        # Nothing has changed, so nobody is told of it.
        assert (await store.record("1", [(0, Report("board", Status.ONLINE))])).round is None
        with contextlib.ExitStack() as stack:
            storm = [graphql_listener(delivery.sharing, key, open_renderer, ["gone"]) for _ in range(100)]
            for listener in storm:
                stack.enter_context(leaving(delivery.sharing, listener))
            for listener in storm:
                await listener.live.wait()
                assert len(listener.received) == 2
    assert (len(read), len(rendered)) == (1, 2)


async def test_whoever_comes_later_is_told_of_the_last_report(caller, clock):  # noqa: F811
    """A summary that was kept is not told again once there was a report since, though nothing has changed."""
    await caller.publish(board="ONLINE")
    query = "subscription { statusSummary { lastReportAt } }"
    async with caller.watch(query) as one:
        first = await one.next()
        clock.advance(5)
        await caller.publish(board="ONLINE")
        async with caller.watch(query) as other:
            assert (await other.next())["lastReportAt"] > first["lastReportAt"]


@pytest.mark.parametrize(
    ("schools", "given"),
    [
        (["2"], {}),
        (["1", "2"], {}),
        ([], {"all_schools": True}),
        (["1"], {"scopes": ["devices:read"]}),
    ],
)
async def test_other_rights_never_share(caller, schools, given):  # noqa: F811
    """Who may see another school, or may do something else, is in a group of its own, though both ask for the same."""
    query = 'subscription { deviceStatus(schoolId: "1") { deviceId } }' if schools != ["2"] else EVENTS
    async with caller.watch(query) as one, caller(*schools, **given).watch(query) as two:
        for watched in (one, two):
            await watched.live.wait()
        assert groups(caller) == 2


async def test_a_school_is_told_nothing_of_another(caller):  # noqa: F811
    """Of two that ask for the same in two schools, each is told of its own school alone."""
    async with caller("1").watch(EVENTS) as one, caller("2").watch(EVENTS) as two:
        for watched in (one, two):
            await watched.live.wait()
        everybody = caller("1", "2")
        await everybody.publish("1", first="ONLINE")
        await everybody.publish("2", second="ONLINE")
        assert (await two.next())["deviceId"] == "second"
        assert (await one.next())["deviceId"] == "first"
        assert [len(watched.listener.received) for watched in (one, two)] == [1, 1]


@pytest.mark.parametrize("variables", [(True, 1), (1, True)])
async def test_one_is_not_true(caller, variables):  # noqa: F811
    """Though equal in Python, 1 and true are not the same variable: one is refused, the other one served."""
    async with contextlib.AsyncExitStack() as stack:
        watched = [await stack.enter_async_context(caller.watch(EVENTS, snapshot=each)) for each in variables]
        good = watched[variables.index(True) if variables[0] is True else 1]
        bad = watched[1 - watched.index(good)]
        await good.live.wait()
        with pytest.raises(OperationRefused):
            await bad.next()
        assert groups(caller) == 1


async def test_variables_that_are_not_declared_do_not_split(caller):  # noqa: F811
    """A client that sends more variables than its operation declares shares with those who don't."""
    async with caller.watch(EVENTS) as one, caller.watch(EVENTS, device="a", page=3) as two:
        for watched in (one, two):
            await watched.live.wait()
        assert groups(caller) == 1


SPLITTING = {
    "an alias": ("deviceStatus { deviceId }", "deviceStatus { id: deviceId }"),
    "a fragment": ("deviceStatus { deviceId }", "deviceStatus { ... on DeviceStatusEvent { deviceId status } }"),
    "a directive": ("deviceStatus { deviceId status }", "deviceStatus { deviceId status @skip(if: true) }"),
}


@pytest.mark.parametrize("name", SPLITTING)
async def test_other_words_are_another_group(caller, name):  # noqa: F811
    """Operations that ask for something else are told what each asked for."""
    first, second = (f"subscription {{ {each} }}" for each in SPLITTING[name])
    async with caller.watch(first) as one, caller.watch(second) as two:
        for watched in (one, two):
            await watched.live.wait()
        assert groups(caller) == 2
        await caller.publish(a="ONLINE")
        assert await one.next() != await two.next()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, -1.0, "1", "true", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(one=st.dictionaries(st.sampled_from("xyz"), JSON), other=st.dictionaries(st.sampled_from("xyz"), JSON))
def test_keys_are_equal_where_the_declared_variables_are(one, other):
    """Keys of one operation are equal if and only if what its declared variables are in JSON is the same."""
    operation = Operation("query", None, OperationType.SUBSCRIPTION, DocumentNode(), frozenset("xy"))
    same = [
        json.dumps({name: value for name, value in variables.items() if name != "z"}, sort_keys=True)
        for variables in (one, other)
    ]
    keys = [sharing_key(operation, variables, None) for variables in (one, other)]
    assert (keys[0] == keys[1]) == (same[0] == same[1])
    assert hash(keys[0]) == hash(keys[0])


async def test_a_group_too_many_is_refused(caller):  # noqa: F811
    """One who asks for what nobody else does is refused when a school has its groups, counted, and let in later."""
    async with listening_to(caller.services.devices, max_groups=1) as listeners:
        sharing = listeners.sharing
        delivery = dataclasses.replace(caller.services.delivery, sharing=sharing)
        services = dataclasses.replace(caller.services, delivery=delivery)
        user = dataclasses.replace(caller, services=services)
        async with user.watch(EVENTS) as one:
            await one.live.wait()
            async with user.watch(EVENTS) as same, user.watch("subscription { devices { complete } }") as other:
                await same.live.wait()
                with pytest.raises(LimitExceeded, match="at most 1 different"):
                    await other.next()
            async with user("2").watch(EVENTS) as elsewhere:
                await elsewhere.live.wait()
        assert sharing.statistics().refused_groups == 1
        async with user.watch("subscription { devices { complete } }") as later:
            assert (await later.next())["complete"]


async def ended(before):
    """Wait until no task is left but those of before."""
    while asyncio.all_tasks() - before:  # noqa: ASYNC110 - tasks that were cancelled take some turns to end
        await asyncio.sleep(0)


@pytest.fixture
def slow_opening(monkeypatch):
    """The making of a group waits until the test lets it go on."""
    opening, go_on = asyncio.Event(), asyncio.Event()
    open_rendering = Rendering.open

    async def slowly(self):
        opening.set()
        await go_on.wait()
        await open_rendering(self)

    monkeypatch.setattr(Rendering, "open", slowly)
    return opening, go_on


async def test_the_maker_may_leave(caller, slow_opening):  # noqa: F811
    """A group goes on being made for the others when the one leaves for whom it was begun."""
    opening, go_on = slow_opening
    async with contextlib.AsyncExitStack() as stack:
        async with caller.watch(EVENTS):
            await opening.wait()
            other = await stack.enter_async_context(caller.watch(EVENTS))
        go_on.set()
        await other.live.wait()
        await caller.publish(a="ONLINE")
        assert (await other.next())["deviceId"] == "a"


@pytest.mark.logs_errors
async def test_one_who_can_not_be_let_in_harms_nobody(caller, slow_opening, monkeypatch):  # noqa: F811
    """When letting one of those in fails who wait for a group, it is refused, and the others are told what comes."""
    opening, go_on = slow_opening
    async with contextlib.AsyncExitStack() as stack:
        failing = await stack.enter_async_context(caller.watch(EVENTS))
        await opening.wait()
        other = await stack.enter_async_context(caller.watch(EVENTS))

        def fail():
            raise RuntimeError("a defect")

        monkeypatch.setattr(failing.listener, "on_admitted", fail)
        go_on.set()
        await other.live.wait()
        await caller.publish(a="ONLINE")
        assert (await other.next())["deviceId"] == "a"
        with pytest.raises(RuntimeError, match="a defect"):
            await failing.listener.next()
        assert caller.services.statistics().sharing.subscribers == 1


async def test_a_group_that_nobody_waits_for_is_not_made(caller, slow_opening):  # noqa: F811
    """When all leave while their group is being made, the making ends, and nothing of it is left."""
    opening, go_on = slow_opening
    before = asyncio.all_tasks()
    async with caller.watch(EVENTS), caller.watch(EVENTS):
        await opening.wait()
    assert groups(caller) == 0
    await ended(before)
    assert not go_on.is_set()
    assert caller.services.statistics().feeds.feeds == 0


async def test_who_leaves_takes_nobody_along(caller):  # noqa: F811
    """When one of two members leaves their group, whose first it was, the other one is told what comes next."""
    async with contextlib.AsyncExitStack() as stack:
        async with caller.watch(EVENTS) as one:
            await one.live.wait()
            two = await stack.enter_async_context(caller.watch(EVENTS))
            await two.live.wait()
        await caller.publish(a="ONLINE")
        assert (await two.next())["deviceId"] == "a"
        assert one.listener.received == []


async def test_a_group_that_is_left_leaves_nothing(caller):  # noqa: F811
    """With its last member a group goes, its execution, its hub and feed, and what was rendered for it."""
    before = asyncio.all_tasks()
    async with caller.watch(EVENTS) as one, caller.watch(EVENTS, snapshot=True) as two:
        await one.live.wait()
        await two.live.wait()
        await caller.publish(a="ONLINE")
        await one.next()
        await two.next()
        assert caller.services.statistics().sharing.rendered.entries
    await ended(before)
    statistics = caller.services.statistics()
    sharing = statistics.sharing
    assert (sharing.groups, sharing.rendered.entries, sharing.rendered.bytes) == (0, 0, 0)
    assert (statistics.feeds.feeds, statistics.feeds.listeners) == (0, 0)


async def test_who_outlasts_the_sharing_leaves_quietly(caller):  # noqa: F811
    """A connection that ends when the process has ended sharing already leaves without an error."""
    devices, may = caller.services.devices, caller.principal.visibility
    async with listening_to(devices) as listening:
        listener = listening.begin(devices.watch_events(may, None, DeviceFilter(), snapshot=False))
        await listener.live.wait()
    listening.sharing.unsubscribe(listener)
    assert listening.sharing.statistics().groups == 0


def test_a_subscription_knows_no_user():
    """What a subscription's resolver is given holds what may be seen, and nothing that tells who asks."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(SubscriptionContext)}
    assert set(fields) == {"service", "caller_visibility", "items", "guard"}
    assert "Principal" not in " ".join(fields.values())
    assert not {"principal", "caller", "subject"} & set(dir(SubscriptionContext))


# What a resolver might write; the second function is the one that must not pass.
RESOLVERS = """
from graphql_api.schema.query import Info as QueryInfo
from graphql_api.schema.subscription import Info as SubscriptionInfo
def of_a_query(info: QueryInfo) -> str:
    return info.context.principal.subject
def of_a_subscription(info: SubscriptionInfo) -> str:
    return info.context.principal.subject
"""


def test_the_types_keep_the_user_out(tmp_path):
    """The type checker refuses a subscription's resolver that asks who calls, and lets one of a query ask."""
    arguments = ["--config-file=", "--no-error-summary", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments, "-c", RESOLVERS], capture_output=True, text=True, check=False
    )
    (error,) = checked.stdout.splitlines()
    assert error.startswith('<string>:7: error: "SubscriptionContext" has no attribute "principal"')
