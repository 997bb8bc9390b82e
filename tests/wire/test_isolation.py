"""Isolation: whatever the schools, tokens and filters, nobody gets what is not theirs, nor misses what is."""

import contextlib
import dataclasses
import itertools

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wire.clients import EVENTS, Socket, publish

pytestmark = pytest.mark.anyio

DEVICES = ["a", "b", "c"]
STATUSES = ["ONLINE", "DEGRADED", "OFFLINE"]
SCHOOLS = ["s1", "s2", "s3"]

subsets = st.sets
example_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Watcher:
    """Whose token names which schools, and which of them it watches with which filters."""

    schools: frozenset[str]
    watched: str
    device_ids: frozenset[str] | None
    statuses: frozenset[str] | None

    def wants(self, school, device_id, status, previous) -> bool:
        return (
            school == self.watched
            and (self.device_ids is None or device_id in self.device_ids)
            and (self.statuses is None or status in self.statuses or previous in self.statuses)
        )


watchers = st.builds(
    Watcher,
    schools=st.frozensets(st.sampled_from(SCHOOLS), min_size=1) | st.just(frozenset(["*"])),
    watched=st.sampled_from(SCHOOLS),
    device_ids=st.none() | st.frozensets(st.sampled_from(DEVICES)),
    statuses=st.none() | st.frozensets(st.sampled_from(STATUSES)),
)
rounds = st.tuples(
    st.sampled_from(SCHOOLS), st.dictionaries(st.sampled_from(DEVICES), st.sampled_from(STATUSES), min_size=1)
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(crowd=st.lists(watchers, min_size=1, max_size=6), published=st.lists(rounds, min_size=1, max_size=8))
async def test_nobody_receives_what_is_not_theirs_and_all_receive_what_is(server, crowd, published):
    """Each gets exactly the changes of its school that pass its filter; a foreign school is FORBIDDEN (G-1, G-2)."""
    suffix = f"-{next(example_numbers)}"
    async with contextlib.AsyncExitStack() as stack:
        admitted = []
        for watcher in crowd:
            names = [school if school == "*" else school + suffix for school in watcher.schools]
            socket = await stack.enter_async_context(Socket.open(server, server.token(*names)))
            allowed = "*" in watcher.schools or watcher.watched in watcher.schools
            operation_id = await socket.subscribe(
                EVENTS,
                live=allowed,
                schoolId=watcher.watched + suffix,
                deviceIds=None if watcher.device_ids is None else sorted(watcher.device_ids),
                statuses=None if watcher.statuses is None else sorted(watcher.statuses),
            )
            if allowed:
                admitted.append((watcher, socket, operation_id))
            else:
                refusal = await socket.receive("error")
                assert refusal["payload"][0]["extensions"]["code"] == "FORBIDDEN"
                await socket.barrier()
        changes = await publish_all(server, published, suffix)
        for watcher, socket, operation_id in admitted:
            expected = [change for change in changes if watcher.wants(*change)]
            events = [await socket.item(operation_id) for _ in expected]
            assert [
                (event["schoolId"].removesuffix(suffix), event["deviceId"], event["status"], event["previousStatus"])
                for event in events
            ] == expected
            await socket.barrier()


async def publish_all(server, published, suffix):
    """Publish the rounds; returns the changes that they cause."""
    known = {}
    changes = []
    for school, statuses in published:
        await publish(server, server.token(school + suffix), **statuses)
        for device_id, status in statuses.items():
            previous = known.get((school, device_id))
            if previous != status:
                known[school, device_id] = status
                changes.append((school, device_id, status, previous))
    return changes


async def test_one_who_asks_for_too_much_is_refused_alone(server):
    """Variables that an operation does not declare are no part of what is shared: nobody is refused for another's."""
    token = server.token("1")
    async with Socket.open(server, token) as socket:
        # Both are read at once, so that they wait together for what they share.
        too_much = {"query": EVENTS, "variables": {"undeclared": [0] * 5_001}}
        for operation_id, payload in (("greedy", too_much), ("fair", {"query": EVENTS})):
            message = {"id": operation_id, "type": "subscribe", "payload": payload}
            socket.connection.protocol.send_text(orjson.dumps(message))
        socket.connection.transport.write(b"".join(socket.connection.protocol.data_to_send()))
        refused = await socket.receive("error")
        assert (refused["id"], refused["payload"][0]["extensions"]["code"]) == ("greedy", "LIMIT_EXCEEDED")
        assert set((await socket.receive("ping"))["payload"]["cursors"]) == {"fair"}
        await publish(server, token, a="ONLINE")
        assert (await socket.receive("next"))["id"] == "fair"
