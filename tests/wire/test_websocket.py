"""graphql-transport-ws over a real socket."""

import asyncio
import json

import pytest

from graphql_api.access.signing import sign_token
from tests.wire.clients import DEVICES, EVENTS, PUBLISH, SUMMARY, GraphQLError, Socket, post, publish

pytestmark = pytest.mark.anyio


async def test_a_published_round_reaches_every_subscriber_of_the_school_in_order(server):
    """Each change of a round arrives once, in the order of the round, at each of two clients (G-1)."""
    token = server.token("1")
    async with Socket.open(server, token) as one, Socket.open(server, token) as other:
        ids = [await socket.subscribe(EVENTS) for socket in (one, other)]
        await publish(server, token, a="ONLINE", b="OFFLINE", c="DEGRADED")
        for socket, operation_id in zip((one, other), ids, strict=True):
            events = [await socket.item(operation_id) for _ in range(3)]
            assert [(event["deviceId"], event["status"]) for event in events] == [
                ("a", "ONLINE"),
                ("b", "OFFLINE"),
                ("c", "DEGRADED"),
            ]
            await socket.barrier()


async def test_another_school_receives_nothing(server):
    """A subscriber of another school gets no event of the round (G-2)."""
    async with Socket.open(server, server.token("2")) as other, Socket.open(server, server.token("1")) as own:
        await other.subscribe(EVENTS)
        operation_id = await own.subscribe(EVENTS)
        await publish(server, server.token("1"), a="ONLINE")
        assert (await own.item(operation_id))["schoolId"] == "1"
        await other.barrier()


async def test_the_ack_tells_schools_and_expiry(server):
    """The payload of connection_ack names the token's schools and when it expires."""
    async with Socket.open(server, server.token("1", "2")) as socket:
        assert socket.ack["payload"]["schools"] == ["1", "2"]
        assert socket.ack["payload"]["expiresAt"].endswith("Z")
    async with Socket.open(server, server.token("*")) as socket:
        assert socket.ack["payload"]["schools"] == ["*"]


async def test_every_next_carries_the_cursor_of_its_result(server):
    """The cursor in extensions equals the one selected, and the last equals the mutation's (G-5)."""
    token = server.token()
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS)
        published = await publish(server, token, a="ONLINE", b="ONLINE")
        payloads = [await socket.next(operation_id) for _ in range(2)]
        for payload in payloads:
            assert payload["extensions"]["cursor"] == payload["data"]["deviceStatus"]["cursor"]
        assert payloads[-1]["extensions"]["cursor"] == published["cursor"]


async def test_a_snapshot_comes_first_and_only_its_last_event_is_resumable(server):
    """With snapshot each device comes once as it stands, a cursor with the last only, then the changes (G-5)."""
    token = server.token()
    published = await publish(server, token, a="ONLINE", b="OFFLINE")
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS, snapshot=True, live=False)
        first, last = [await socket.next(operation_id) for _ in range(2)]
        assert [payload["data"]["deviceStatus"]["kind"] for payload in (first, last)] == ["SNAPSHOT"] * 2
        assert "extensions" not in first
        assert last["extensions"]["cursor"] == published["cursor"]
        await publish(server, token, a="OFFLINE")
        change = await socket.item(operation_id)
        assert (change["kind"], change["deviceId"], change["previousStatus"]) == ("CHANGE", "a", "ONLINE")


async def test_the_snapshot_of_an_empty_school_is_empty_and_live(server):
    """A snapshot without devices sends nothing, and the first change after it arrives."""
    token = server.token()
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS, snapshot=True, live=False)
        await server.until(lambda services: services.statistics().sharing.subscribers == 1)
        await publish(server, token, a="ONLINE")
        event = await socket.item(operation_id)
        assert event["deviceId"] == "a"


async def test_the_list_begins_whole_and_follows_every_round(server):
    """The list starts with a reset, gets one update per round, and loses devices that leave the filter (G-11)."""
    token = server.token()
    await publish(server, token, a="ONLINE", b="OFFLINE", c="ONLINE")
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(DEVICES, statuses=["ONLINE"], live=False)
        whole = await socket.item(operation_id)
        assert (whole["reset"], whole["complete"]) == (True, True)
        key = {device["deviceId"]: device["id"] for device in whole["changed"]}
        assert sorted(key) == ["a", "c"]
        await publish(server, token, a="DEGRADED", b="ONLINE", c="ONLINE")
        update = await socket.item(operation_id)
        assert (update["reset"], update["complete"]) == (False, True)
        assert [device["deviceId"] for device in update["changed"]] == ["b"]
        assert update["removed"] == [key["a"]]
        await publish(server, token, a="OFFLINE")
        await socket.barrier()


async def test_a_retired_device_leaves_the_list(server):
    """Retiring a device removes it from a list without arguments; restoring brings it back as UNKNOWN."""
    token = server.token()
    await publish(server, token, a="ONLINE")
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(DEVICES, live=False)
        (device,) = (await socket.item(operation_id))["changed"]
        await post(server, 'mutation { retireDevices(deviceIds: ["a"]) { status } }', token)
        assert (await socket.item(operation_id))["removed"] == [device["id"]]
        await post(server, 'mutation { restoreDevices(deviceIds: ["a"]) { status } }', token)
        (restored,) = (await socket.item(operation_id))["changed"]
        assert restored["status"] == "UNKNOWN"


async def test_a_long_list_comes_in_parts(server):
    """1,000 devices come as two updates of 500, of which only the last is complete and resumable (G-5)."""
    token = server.token()
    await publish(server, token, **{f"d{number:04}": "ONLINE" for number in range(1_000)})
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(DEVICES, live=False)
        first, second = [await socket.next(operation_id) for _ in range(2)]
        updates = [payload["data"]["devices"] for payload in (first, second)]
        assert [len(update["changed"]) for update in updates] == [500, 500]
        assert [update["reset"] for update in updates] == [True, False]
        assert [update["complete"] for update in updates] == [False, True]
        assert "extensions" not in first
        assert second["extensions"]["cursor"]


async def test_the_summary_moves_once_per_round_that_changes_it(server):
    """The counts come at once, then once per round that changes them, never for one that does not (G-11)."""
    token = server.token()
    await publish(server, token, a="ONLINE", b="OFFLINE")
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(SUMMARY, live=False)

        def counts(summary):
            return {each["status"]: each["count"] for each in summary["counts"]}

        summary = await socket.item(operation_id)
        assert (summary["total"], counts(summary)["ONLINE"], counts(summary)["OFFLINE"]) == (2, 1, 1)
        await publish(server, token, a="OFFLINE", b="ONLINE")
        await publish(server, token, a="OFFLINE", c="DEGRADED")
        summary = await socket.item(operation_id)
        assert counts(summary) == {"ONLINE": 1, "DEGRADED": 1, "OFFLINE": 1, "MAINTENANCE": 0, "UNKNOWN": 0}
        await socket.barrier()


async def test_the_summary_shows_that_the_health_checker_is_alive(settings, secret):
    """Rounds without a change move lastReportAt when it is ten seconds newer, and not before."""
    from tests.wire.conftest import SettableClock, serve

    clock = SettableClock()
    async with serve(settings, secret, clock) as server:
        token = server.token()
        await publish(server, token, a="ONLINE")
        async with Socket.open(server, token) as socket:
            operation_id = await socket.subscribe(SUMMARY, live=False)
            before = await socket.item(operation_id)
            clock.advance(9)
            await publish(server, token, a="ONLINE")
            await socket.barrier()
            clock.advance(2)
            await publish(server, token, a="ONLINE")
            after = await socket.item(operation_id)
            assert after["lastReportAt"] > before["lastReportAt"]
            assert after["counts"] == before["counts"]


async def test_filters_by_device_and_status(server):
    """An event passes a filter by device, and by status when the new or the previous one is listed (G-1)."""
    token = server.token()
    async with Socket.open(server, token) as socket:
        by_device = await socket.subscribe(EVENTS, deviceIds=["a"])
        await publish(server, token, b="ONLINE", a="ONLINE")
        assert (await socket.item(by_device))["deviceId"] == "a"
        await socket.send(id=by_device, type="complete")
        by_status = await socket.subscribe(EVENTS, statuses=["OFFLINE"])
        await publish(server, token, a="DEGRADED", b="OFFLINE")
        await publish(server, token, b="ONLINE", c="ONLINE")
        events = [await socket.item(by_status) for _ in range(2)]
        assert [(event["deviceId"], event["status"]) for event in events] == [("b", "OFFLINE"), ("b", "ONLINE")]
        await socket.barrier()


async def test_queries_and_mutations_work_over_the_socket(server):
    """A mutation over the socket answers with one next and a complete, before or after its own event."""
    async with Socket.open(server, server.token()) as socket:
        watching = await socket.subscribe(EVENTS)
        inputs = [{"deviceId": "a", "status": "ONLINE"}]
        publishing = await socket.subscribe(PUBLISH, inputs=inputs, live=False)
        messages = [await socket.receive() for _ in range(3)]
        of = {watching: [], publishing: []}
        for message in messages:
            of[message["id"]].append(message["type"])
        assert of == {watching: ["next"], publishing: ["next", "complete"]}


async def test_an_error_ends_its_operation_alone(server):
    """Syntax, validation, coercion and permission errors come as error messages; other operations live on (G-17)."""
    async with Socket.open(server, server.token("1")) as socket:
        living = await socket.subscribe(EVENTS)
        for query, variables, code in [
            ("subscription {", {}, "GRAPHQL_PARSE_FAILED"),
            ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
            ("{ device(deviceId: 1) { statuz } }", {}, "GRAPHQL_VALIDATION_FAILED"),
            (EVENTS, {"statuses": ["BROKEN"]}, "BAD_USER_INPUT"),
            (EVENTS, {"schoolId": "2"}, "FORBIDDEN"),
            ("query A { viewer { id } } query B { viewer { id } }", {}, "BAD_USER_INPUT"),
        ]:
            operation_id = await socket.subscribe(query, live=False, **variables)
            message = await socket.receive("error")
            assert message["id"] == operation_id
            assert message["payload"][0]["extensions"]["code"] == code
        await publish(server, server.token("1"), a="ONLINE")
        assert (await socket.item(living))["deviceId"] == "a"


async def test_complete_stops_an_operation_and_frees_its_id(server):
    """After complete nothing more of the operation comes, and the id can be used again."""
    token = server.token()
    async with Socket.open(server, token) as socket:
        subscribe = {"id": "x", "type": "subscribe", "payload": {"query": EVENTS}}
        await socket.send(**subscribe)
        await socket.receive("ping")
        await socket.send(id="x", type="complete")
        await publish(server, token, a="ONLINE")
        await socket.barrier()
        await server.until(lambda services: services.statistics().feeds.feeds == 0)
        await socket.send(**subscribe)
        await socket.receive("ping")
        await publish(server, token, a="OFFLINE")
        assert (await socket.item("x"))["status"] == "OFFLINE"


async def test_what_was_answered_before_subscribing_never_arrives_after(server):
    """A subscriber gets only what was published after it subscribed, however close before that was (G-3)."""
    token = server.token()
    async with Socket.open(server, token) as first:
        listening = await first.subscribe(EVENTS)
        async with Socket.open(server, token) as second:
            for number in range(20):
                await publish(server, token, a="ONLINE" if number % 2 else "OFFLINE")
                operation_id = await second.subscribe(EVENTS)
                await second.send(id=operation_id, type="complete")
                await first.item(listening)
            await second.barrier()


async def test_checkpoints_come_with_the_keep_alive_where_they_moved(settings, secret):
    """A filtered subscription that gets no event is told how far it has come, once (G-4)."""
    from tests.wire.conftest import serve

    async with serve(settings.model_copy(update={"keep_alive": 0.1}), secret) as server:
        token = server.token()
        async with Socket.open(server, token) as socket:
            operation_id = await socket.subscribe(EVENTS, deviceIds=["z"])
            published = await publish(server, token, a="ONLINE")
            while not (payload := (await socket.receive("ping")).get("payload")):
                pass
            assert payload == {"cursors": {operation_id: published["cursor"]}}
            assert await socket.receive("ping") == {"type": "ping"}


async def test_no_ping_comes_before_the_ack(settings, secret, monkeypatch):
    """However short the keep-alive is, the first message a client gets is connection_ack (G-4)."""
    from graphql_api.delivery.websocket import GraphQLSocket
    from tests.wire.conftest import serve

    asked = asyncio.Semaphore(0)
    keep_alive = GraphQLSocket.keep_alive

    def asking(socket):
        asked.release()
        return keep_alive(socket)

    monkeypatch.setattr(GraphQLSocket, "keep_alive", asking)
    hasty = settings.model_copy(update={"keep_alive": 0.01})
    async with serve(hasty, secret) as server, Socket.open(server) as socket:
        for _ in range(3):
            await asked.acquire()
        await socket.send(type="connection_init", payload={"token": server.token()})
        await socket.receive("connection_ack")
        await socket.receive("ping")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "token-missing: "),
        ({}, "token-missing: "),
        ({"authorization": "Bearer nonsense"}, "token-invalid: "),
        ({"authorization": 7}, "token-invalid: "),
        ({"token": "a.b.c"}, "token-invalid: "),
    ],
)
async def test_a_refused_token_closes_with_4403(server, payload, reason):
    """A missing or bad token closes the socket with 4403 and a reason that begins as pinned."""
    async with Socket.open(server) as socket:
        await socket.send(type="connection_init", payload=payload)
        code, text = await socket.closed()
        assert code == 4403
        assert text.startswith(reason)


async def test_an_expired_token_closes_with_4403(server):
    """A token that has expired is refused as such."""
    async with Socket.open(server) as socket:
        token = server.token(ttl=60)
        server.clock.advance(61)
        await socket.send(type="connection_init", payload={"Authorization": f"bearer {token}"})
        code, text = await socket.closed()
        assert code == 4403
        assert text.startswith("token-expired: ")


async def test_the_handshakes_header_serves_when_the_payload_has_no_token(server):
    """A token in the Authorization header of the handshake lets the client in; the payload's goes first."""
    headers = {"authorization": f"Bearer {server.token('7')}"}
    async with Socket.open(server, additional_headers=headers) as socket:
        await socket.send(type="connection_init")
        assert (await socket.receive("connection_ack"))["payload"]["schools"] == ["7"]
    async with Socket.open(server, server.token("8"), additional_headers=headers) as socket:
        assert socket.ack["payload"]["schools"] == ["8"]


async def test_expiry_closes_the_socket_in_time(server):
    """The socket of a token that expires is closed with 4403 token-expired within a second (G-12)."""
    import time

    async with Socket.open(server, server.token(ttl=1)) as socket:
        await socket.subscribe(EVENTS)
        code, text = await socket.closed()
        late = time.time() - server.clock() / 1e6
        assert code == 4403
        assert text.startswith("token-expired: ")
        assert late < 1


async def test_nothing_is_sent_after_expiry(server):
    """A change published after the token's expiry does not reach the socket, even before its timer fires (G-12)."""
    reader = server.token(ttl=60)
    async with Socket.open(server, reader) as socket:
        await socket.subscribe(EVENTS)
        server.clock.advance(61)
        await publish(server, server.token(), a="ONLINE")
        code, text = await socket.closed()
        assert (code, text.partition(":")[0]) == (4403, "token-expired")


async def test_no_init_in_time_closes_with_4408(settings, secret):
    """A client that never initialises is closed with 4408."""
    from tests.wire.conftest import serve

    hasty = settings.model_copy(update={"connection_init_timeout": 0.1})
    async with serve(hasty, secret) as server, Socket.open(server) as socket:
        assert (await socket.closed())[0] == 4408


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"]])
async def test_only_graphql_transport_ws_is_spoken(server, subprotocols):
    """A handshake without graphql-transport-ws is closed with 4406."""
    async with Socket.open(server, subprotocols=subprotocols) as socket:
        assert (await socket.closed())[0] == 4406


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["{"], 4400),
        (['"text"'], 4400),
        (["null"], 4400),
        (["[" * 100_000], 4400),
        (['{"type": "ping", "payload": ' + "9" * 5_000 + "}"], 4400),
        (['{"type": "no_such_type"}'], 4400),
        ([b"\x00\x01"], 4400),
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{ viewer { id } }"}}'], 4401),
        (['{"type": "subscribe", "id": "1", "payload": null}'], 4400),
    ],
)
async def test_what_is_no_valid_message_closes_with_its_code(server, frames, code):
    """Whatever breaks the protocol closes the socket with a code and a reason, never without a close frame."""
    async with Socket.open(server) as socket:
        for frame in frames:
            await socket.connection.send(frame)
        found, reason = await socket.closed()
        assert found == code
        assert reason


async def test_a_second_init_and_a_duplicate_id_close_the_socket(server):
    """A second connection_init closes with 4429, a subscribe with an id in use with 4409."""
    async with Socket.open(server, server.token()) as socket:
        await socket.send(type="connection_init")
        assert (await socket.closed())[0] == 4429
    async with Socket.open(server, server.token()) as socket:
        operation_id = await socket.subscribe(EVENTS)
        await socket.send(id=operation_id, type="subscribe", payload={"query": EVENTS})
        assert (await socket.closed())[0] == 4409


async def test_a_message_over_the_limit_closes_with_1009(server):
    """A message of more than 256 KiB closes the socket with 1009."""
    async with Socket.open(server, server.token()) as socket:
        await socket.connection.send(json.dumps({"type": "ping", "payload": {"x": "y" * 300_000}}))
        assert (await socket.closed())[0] == 1009


async def test_a_missing_scope_is_forbidden(server, secret):
    """Reading needs devices:read, publishing devices:publish, retiring devices:admin."""

    def token(scope: str) -> str:
        return sign_token(secret, subject="s", schools=["1"], scopes=[scope], ttl_seconds=60, now=server.clock())

    async with Socket.open(server, token("devices:publish")) as socket:
        await socket.subscribe(EVENTS, live=False)
        message = await socket.receive("error")
        assert message["payload"][0]["extensions"]["code"] == "FORBIDDEN"
    with pytest.raises(GraphQLError) as refused:
        await publish(server, token("devices:read"), a="ONLINE")
    assert refused.value.code == "FORBIDDEN"
    with pytest.raises(GraphQLError) as refused:
        await post(server, 'mutation { retireDevices(deviceIds: ["a"]) { id } }', token("devices:publish"))
    assert refused.value.code == "FORBIDDEN"


@pytest.mark.logs_errors
async def test_an_execution_that_has_died_is_begun_anew(server):
    """Where the execution that a group shares has ended for whatever reason, its subscribers are told all the same."""
    token = server.token()
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS)
        await publish(server, token, a="ONLINE")
        assert (await socket.item(operation_id))["status"] == "ONLINE"
        (share,) = server.services.delivery.sharing._shares.values()
        await share.group._renderer._rendering._source.aclose()
        for status in ("OFFLINE", "ONLINE"):
            await publish(server, token, a=status)
            assert (await socket.item(operation_id))["status"] == status
        await socket.barrier()
