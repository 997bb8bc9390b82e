"""Resuming: by the connection_init payload, by an operation's extensions, by Last-Event-ID, in the plain dialect."""

import dataclasses
import json

import pytest
from websockets.asyncio.client import connect

from graphql_api.devices.cursor import Cursor
from tests.wire.clients import DEVICES, EVENTS, SUMMARY, Socket, Stream, post, publish
from tests.wire.conftest import serve

pytestmark = pytest.mark.anyio


async def flip(server, token, times, device="a"):
    """So many changes of one device; returns the cursors after each."""
    return [
        (await publish(server, token, **{device: "OFFLINE" if number % 2 else "ONLINE"}))["cursor"]
        for number in range(times)
    ]


def version_of(payload):
    return Cursor.decode(payload["extensions"]["cursor"]).version


async def test_resuming_by_operation_id_brings_what_was_missed(server):
    """After a reconnect exactly the changes after the cursor come, then the checkpoint, then the live ones (G-6)."""
    token = server.token()
    cursors = await flip(server, token, 4)
    async with Socket.open(server, token, resume_from={"1": cursors[1]}) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False)
        assert [version_of(await socket.next(operation_id)) for _ in range(2)] == [3, 4]
        assert await socket.receive("ping") == {"type": "ping", "payload": {"cursors": {"1": cursors[3]}}}
        await publish(server, token, b="ONLINE")
        assert version_of(await socket.next(operation_id)) == 5


async def test_who_is_many_rounds_behind_resumes_beside_one_who_is_live(server):
    """Whichever of many rounds in memory a cursor is of, exactly the changes after it come (G-6)."""
    token = server.token()
    async with Socket.open(server, token) as witness:
        await witness.subscribe(EVENTS)
        cursors = await flip(server, token, 40)
        async with Socket.open(server, token) as socket:
            for behind in (1, 15, 16, 17, 18, 39):
                operation_id = await socket.subscribe(EVENTS, live=False, resume_from=cursors[-1 - behind])
                missed = [version_of(await socket.next(operation_id)) for _ in range(behind)]
                assert missed == list(range(41 - behind, 41))


async def test_two_operations_of_one_socket_resume_each_from_its_own_cursor(server):
    """Each operation goes on after its own cursor, and one that has none starts afresh (G-7)."""
    token = server.token()
    cursors = await flip(server, token, 3)
    async with Socket.open(server, token, resume_from={"1": cursors[0], "2": cursors[1]}) as socket:
        first = await socket.subscribe(EVENTS, live=False)
        assert [version_of(await socket.next(first)) for _ in range(2)] == [2, 3]
        second = await socket.subscribe(EVENTS, live=False)
        assert version_of(await socket.next(second)) == 3
        await socket.receive("ping")
        await socket.subscribe(EVENTS)
        await socket.barrier()


async def test_a_component_that_subscribes_later_starts_afresh(server):
    """The map applies to the first subscribe with that id on the socket, not to a second one (G-7)."""
    token = server.token()
    cursors = await flip(server, token, 2)
    async with Socket.open(server, token, resume_from={"1": cursors[0]}) as socket:
        first = await socket.subscribe(EVENTS, live=False)
        assert version_of(await socket.next(first)) == 2
        await socket.receive("ping")
        await socket.send(id=first, type="complete")
        await socket.send(id=first, type="subscribe", payload={"query": EVENTS})
        await socket.receive("ping")
        await socket.barrier()


async def test_the_further_cursor_wins(server):
    """Of the map's cursor and the operation's own, the further one counts, whichever it is (G-8)."""
    token = server.token()
    cursors = await flip(server, token, 3)
    for of_socket, of_operation in [(cursors[0], cursors[1]), (cursors[1], cursors[0]), (cursors[1], "stale nonsense")]:
        async with Socket.open(server, token, resume_from={"1": of_socket}) as socket:
            operation_id = await socket.subscribe(EVENTS, live=False, resume_from=of_operation)
            assert version_of(await socket.next(operation_id)) == 3
            await socket.receive("ping")
            await socket.barrier()


async def test_a_cursor_of_another_database_counts_for_nothing(server):
    """A stale cursor of another database does not win over a good one, however high its version is (G-8)."""
    token = server.token()
    cursors = await flip(server, token, 2)
    stale = changed(cursors[0], epoch="0" * 16, version=500)
    async with Socket.open(server, token, resume_from={"1": stale}) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False, resume_from=cursors[0])
        event = await socket.item(operation_id)
        assert (event["kind"], event["cursor"]) == ("CHANGE", cursors[1])


async def test_cursors_of_operations_long_gone_do_no_harm(server):
    """Among 2,000 cursors of operations that are gone the living one is found."""
    token = server.token()
    cursors = await flip(server, token, 2)
    points = {f"gone-{number}": cursors[1] for number in range(2_000)}
    async with Socket.open(server, token, resume_from={**points, "1": cursors[0]}) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False)
        assert version_of(await socket.next(operation_id)) == 2


async def test_a_cursor_too_many_is_told_in_band(server):
    """Who has none of the last 1,000 cursors is not recovered unless it names one itself, and it is counted (G-26)."""
    token = server.token()
    cursors = await flip(server, token, 2)
    points = {"1": cursors[0], "2": cursors[0], **{f"gone-{number}": cursors[1] for number in range(999)}}
    async with Socket.open(server, token, resume_from={**points, "3": cursors[0]}) as socket:
        first = await socket.subscribe(EVENTS, live=False)
        event = await socket.item(first)
        assert (event["kind"], event["cursor"]) == ("SNAPSHOT", cursors[1])
        await socket.receive("ping")
        second = await socket.subscribe(EVENTS, live=False, resume_from=cursors[0])
        assert version_of(await socket.next(second)) == 2
        await socket.receive("ping")
        third = await socket.subscribe(EVENTS, live=False)
        assert version_of(await socket.next(third)) == 2
        assert server.services.statistics().refusals["resume_points"] == 1


async def test_as_many_cursors_as_subscriptions_are_kept(settings, secret):
    """Where a connection may have more than 1,000 subscriptions, it resumes all of them."""
    async with serve(settings.model_copy(update={"max_subscriptions_per_connection": 2_000}), secret) as server:
        token = server.token()
        cursors = await flip(server, token, 2)
        points = {"1": cursors[0], **{f"other-{number}": cursors[1] for number in range(1_999)}}
        async with Socket.open(server, token, resume_from=points) as socket:
            operation_id = await socket.subscribe(EVENTS, live=False)
            assert version_of(await socket.next(operation_id)) == 2


async def test_the_first_operation_with_an_id_takes_its_cursor(server):
    """A query with the id takes the cursor too: a subscription after it starts afresh."""
    token = server.token()
    cursors = await flip(server, token, 2)
    async with Socket.open(server, token, resume_from={"x": cursors[0]}) as socket:
        await socket.send(id="x", type="subscribe", payload={"query": "{ viewer { id } }"})
        await socket.receive("next")
        await socket.receive("complete")
        await socket.send(id="x", type="subscribe", payload={"query": EVENTS})
        await socket.receive("ping")
        await socket.barrier()


async def test_a_list_of_named_devices_hears_of_no_others_when_it_resumes(server):
    """A list by deviceIds that resumes after changes of other devices gets no update."""
    token = server.token()
    start = (await publish(server, token, a="ONLINE", b="ONLINE"))["cursor"]
    last = (await publish(server, token, b="OFFLINE"))["cursor"]
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(DEVICES, live=False, resume_from=start, deviceIds=["a"])
        assert (await socket.receive("ping"))["payload"]["cursors"] == {operation_id: last}
        await socket.barrier()


async def test_resume_goes_before_snapshot(server):
    """Who resumes gets the changes that were missed, and no snapshot, though it is asked for (G-6)."""
    token = server.token()
    cursors = await flip(server, token, 2)
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False, snapshot=True, resume_from=cursors[0])
        event = await socket.item(operation_id)
        assert (event["kind"], event["status"]) == ("CHANGE", "OFFLINE")
        await socket.barrier()


async def test_filters_hold_for_what_is_resumed(server):
    """Of the missed changes only those that pass the filter come, and the checkpoint tells the rest (G-6)."""
    token = server.token()
    start = (await publish(server, token, a="ONLINE", b="ONLINE"))["cursor"]
    await publish(server, token, a="OFFLINE")
    last = (await publish(server, token, b="OFFLINE"))["cursor"]
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False, resume_from=start, deviceIds=["a"])
        assert (await socket.item(operation_id))["deviceId"] == "a"
        assert (await socket.receive("ping"))["payload"] == {"cursors": {operation_id: last}}


def changed(text, **differences):
    return dataclasses.replace(Cursor.decode(text), **differences).encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cursor: "nonsense",
        lambda cursor: "",
        lambda cursor: 7,
        lambda cursor: {"a": 1},
        lambda cursor: changed(cursor, epoch="0" * 16),
        lambda cursor: changed(cursor, school="2"),
        lambda cursor: changed(cursor, version=99),
        lambda cursor: changed(cursor, version=2**63 - 1),
        lambda cursor: changed(cursor, timestamp=1),
        lambda cursor: changed(cursor, version=0, timestamp=1),
    ],
)
async def test_an_unusable_cursor_is_told_in_band(server, spoil):
    """One who is not recovered gets a snapshot of every device, retired ones too, whatever the statuses (G-9)."""
    token = server.token()
    await publish(server, token, a="ONLINE", b="OFFLINE")
    await post(server, 'mutation { retireDevices(deviceIds: ["b"]) { id } }', token)
    (cursor,) = await flip(server, token, 1, "c")
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False, resume_from=spoil(cursor), statuses=["DEGRADED"])
        events = [await socket.item(operation_id) for _ in range(3)]
        assert [(event["kind"], event["deviceId"], event["status"]) for event in events] == [
            ("SNAPSHOT", "a", "ONLINE"),
            ("SNAPSHOT", "b", "RETIRED"),
            ("SNAPSHOT", "c", "ONLINE"),
        ]
        assert [event["cursor"] for event in events] == [None, None, cursor]
        await publish(server, token, a="DEGRADED")
        assert (await socket.item(operation_id))["kind"] == "CHANGE"


async def test_who_missed_too_much_gets_a_snapshot(settings, secret):
    """More than MAX_REPLAY missed changes are told by a snapshot, exactly as many one by one (G-10)."""
    async with serve(settings.model_copy(update={"max_replay": 3}), secret) as server:
        token = server.token()
        cursors = await flip(server, token, 5)
        async with Socket.open(server, token) as socket:
            near = await socket.subscribe(EVENTS, live=False, resume_from=cursors[1])
            assert [version_of(await socket.next(near)) for _ in range(3)] == [3, 4, 5]
            await socket.receive("ping")
            far = await socket.subscribe(EVENTS, live=False, resume_from=cursors[0])
            event = await socket.item(far)
            assert (event["kind"], event["cursor"]) == ("SNAPSHOT", cursors[4])


async def test_the_beginning_is_a_place_to_resume_from(server):
    """The checkpoint of a school that has never reported brings everything since."""
    token = server.token()
    async with Socket.open(server, token) as socket:
        await socket.send(id="x", type="subscribe", payload={"query": EVENTS})
        beginning = (await socket.receive("ping"))["payload"]["cursors"]["x"]
    await flip(server, token, 2)
    async with Socket.open(server, token, resume_from={"x": beginning}) as socket:
        await socket.send(id="x", type="subscribe", payload={"query": EVENTS})
        assert [version_of(await socket.next("x")) for _ in range(2)] == [1, 2]


async def test_a_list_that_resumes_gets_one_update_with_what_differs(server):
    """A list goes on without a reset: what changed, what left it; one not recovered begins anew (G-9, G-11)."""
    token = server.token()
    start = (await publish(server, token, a="ONLINE", b="ONLINE", c="ONLINE"))["cursor"]
    await publish(server, token, a="OFFLINE")
    await publish(server, token, a="DEGRADED", b="OFFLINE")
    last = (await publish(server, token, b="ONLINE"))["cursor"]
    async with Socket.open(server, token) as socket:
        resumed = await socket.subscribe(DEVICES, live=False, resume_from=start, statuses=["ONLINE"])
        payload = await socket.next(resumed)
        update = payload["data"]["devices"]
        assert (update["reset"], update["complete"], payload["extensions"]["cursor"]) == (False, True, last)
        assert [device["deviceId"] for device in update["changed"]] == ["b"]
        assert len(update["removed"]) == 1
        nothing_new = await socket.subscribe(DEVICES, live=False, resume_from=last)
        assert (await socket.receive("ping"))["payload"]["cursors"] == {resumed: last}
        assert (await socket.receive("ping"))["payload"]["cursors"] == {nothing_new: last}
        await socket.barrier()
        afresh = await socket.subscribe(DEVICES, live=False, resume_from="nonsense")
        assert (await socket.item(afresh))["reset"]


async def test_a_summary_that_resumes_is_told_once(server):
    """A summary that resumes gets the counts as they stand, once (G-11)."""
    token = server.token()
    cursors = await flip(server, token, 4)
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(SUMMARY, live=False, resume_from=cursors[0])
        payload = await socket.next(operation_id)
        assert payload["extensions"]["cursor"] == cursors[3]
        await socket.barrier()


async def test_sse_resumes_by_last_event_id(server):
    """An event stream goes on after its Last-Event-ID (G-6)."""
    token = server.token()
    cursors = await flip(server, token, 3)
    async with Stream.open(server, EVENTS, token, "text/event-stream", "\n\n", last_event_id=cursors[0]) as stream:
        blocks = [await stream.block() for _ in range(2)]
        assert [block.rpartition("id: ")[2] for block in blocks] == cursors[1:]


async def test_the_plain_dialect_resumes(server):
    """The plain dialect goes on after resume_from; one not recovered gets each device once, a snapshot (G-6, G-9)."""
    token = server.token()
    cursors = await flip(server, token, 3)
    headers = {"authorization": f"Bearer {token}"}
    for resume_from, snapshots, expected in [(cursors[0], [None, None], cursors[1:]), ("x", [True], cursors[2:])]:
        url = f"{server.plain}?resume_from={resume_from}"
        async with connect(url, additional_headers=headers) as connection:
            assert json.loads(await connection.recv())["type"] == "connected"
            updates = [json.loads(await connection.recv()) for _ in expected]
            assert [update["cursor"] for update in updates] == expected
            assert [update.get("snapshot") for update in updates] == snapshots


async def test_a_client_cut_twenty_times_misses_nothing(server):
    """A client that is cut at any frame and resumes by what it kept sees every change once, in order (G-1, G-6)."""
    token = server.token()
    seen = []
    cursor = None
    async with Socket.open(server, token) as socket:
        await socket.send(id="x", type="subscribe", payload={"query": EVENTS})
        cursor = (await socket.receive("ping"))["payload"]["cursors"]["x"]
    for cut in range(20):
        await publish(server, token, **{f"d{cut}-{number}": "ONLINE" for number in range(7)})
        async with Socket.open(server, token, resume_from={"x": cursor}) as socket:
            await socket.send(id="x", type="subscribe", payload={"query": EVENTS})
            for _ in range(cut % 8):
                payload = await socket.next("x")
                seen.append(version_of(payload))
                cursor = payload["extensions"]["cursor"]
            socket.connection.transport.abort()
    async with Socket.open(server, token, resume_from={"x": cursor}) as socket:
        await socket.send(id="x", type="subscribe", payload={"query": EVENTS})
        while len(seen) < 140:
            seen.append(version_of(await socket.next("x")))
    assert seen == list(range(1, 141))
