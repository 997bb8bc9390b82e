"""renewAuthorization: a socket goes on with a fresh token."""

import asyncio

import pytest

from graphql_api.access.signing import sign_token
from graphql_api.moment import SECOND, Moment, format_moment
from tests.wire.clients import EVENTS, GraphQLError, Socket, Stream, post, publish
from tests.wire.test_revocation import revoke
from tests.wire.test_streaming import SSE, fields

pytestmark = pytest.mark.anyio

RENEW = "mutation Renew($token: String!) { renewAuthorization(token: $token) { subject schoolIds expiresAt } }"


async def renew(socket, token, query=RENEW):
    """The payload of the answer: a result that is followed by its complete."""
    operation_id = await socket.subscribe(query, live=False, token=token)
    message = await socket.receive("next")
    assert message["id"] == operation_id
    assert await socket.receive("complete") == {"id": operation_id, "type": "complete"}
    return message["payload"]


async def refusal(socket, token):
    """The error of a renewal that is refused."""
    payload = await renew(socket, token)
    assert payload["data"] is None
    (error,) = payload["errors"]
    assert token not in str(error)
    return error


async def test_running_subscriptions_go_on_and_expiry_moves(server):
    """After a renewal the old expiry passes by, changes still come, and the new expiry closes exactly (G-14)."""
    async with Socket.open(server, server.token(ttl=60)) as socket:
        events = await socket.subscribe(EVENTS)
        viewer = (await renew(socket, server.token(ttl=120)))["data"]["renewAuthorization"]
        assert viewer["subject"] == "tester"
        assert viewer["expiresAt"] > socket.ack["payload"]["expiresAt"]
        server.clock.advance(90)
        await publish(server, server.token(), a="ONLINE")
        assert (await socket.item(events))["deviceId"] == "a"
        server.clock.advance(31)
        await publish(server, server.token(), b="ONLINE")
        code, reason = await socket.closed()
        assert (code, reason.split(":")[0]) == (4403, "token-expired")


async def test_a_shorter_token_ends_sooner(server):
    """The new token counts, also where it expires before the old one would have."""
    async with Socket.open(server, server.token(ttl=600)) as socket:
        await renew(socket, server.token(ttl=60))
        server.clock.advance(61)
        await socket.send(type="ping")
        assert (await socket.closed())[1].startswith("token-expired")


async def test_the_timer_is_set_anew(server):
    """Without anything to send, the socket is closed by the clock at the new expiry, not at the old one."""
    async with Socket.open(server, server.token(ttl=4)) as socket:
        viewer = (await renew(socket, server.token(ttl=5)))["data"]["renewAuthorization"]
        assert (await socket.closed())[1].startswith("token-expired")
        assert socket.ack["payload"]["expiresAt"] < viewer["expiresAt"] <= format_moment(server.clock())


async def test_a_school_that_is_gone_ends_its_subscriptions(server):
    """Subscriptions of a school that the new token lacks are FORBIDDEN, others go on, new ones are refused (G-14)."""
    async with Socket.open(server, server.token("1", "2")) as socket:
        kept = await socket.subscribe(EVENTS, schoolId="1")
        lost = await socket.subscribe(EVENTS, schoolId="2")
        await socket.send(id="r", type="subscribe", payload={"query": RENEW, "variables": {"token": server.token("1")}})
        error = await socket.receive("error")
        assert (error["id"], error["payload"][0]["extensions"]["code"]) == (lost, "FORBIDDEN")
        assert (await socket.receive("next"))["payload"]["data"]["renewAuthorization"]["schoolIds"] == ["1"]
        await socket.receive("complete")
        await publish(server, server.token("2"), b="ONLINE")
        await publish(server, server.token("1"), a="ONLINE")
        assert (await socket.item(kept))["deviceId"] == "a"
        await socket.subscribe(EVENTS, schoolId="2", live=False)
        assert (await socket.receive("error"))["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        await socket.barrier()
    await server.until(lambda services: services.statistics().sharing.groups == 0)


async def test_new_subscriptions_see_what_the_new_token_allows(server):
    """A school that only the new token names can be subscribed to after the renewal."""
    async with Socket.open(server, server.token("1")) as socket:
        await renew(socket, server.token("1", "2"))
        events = await socket.subscribe(EVENTS, schoolId="2")
        await publish(server, server.token("2"), b="ONLINE")
        assert (await socket.item(events))["schoolId"] == "2"


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with another one"])
async def test_a_subscription_that_is_being_opened_is_looked_at_too(server, monkeypatch, shared):
    """One whose school goes while it waits for the store never begins, and whoever waits for the same is served."""
    opened, gate = asyncio.Event(), asyncio.Event()
    heads = server.services.store.heads

    async def gated(schools):
        opened.set()
        await gate.wait()
        return await heads(schools)

    monkeypatch.setattr(server.services.store, "heads", gated)
    async with (
        Socket.open(server, server.token("1", "2")) as socket,
        Socket.open(server, server.token("1", "2")) as other,
    ):
        operation_id = await socket.subscribe(EVENTS, schoolId="2", live=False)
        await opened.wait()
        if shared:
            theirs = await other.subscribe(EVENTS, schoolId="2", live=False)
            await other.barrier()
        assert (await renew(socket, server.token("1")))["data"]
        gate.set()
        error = await socket.receive("error")
        assert (error["id"], error["payload"][0]["extensions"]["code"]) == (operation_id, "FORBIDDEN")
        if shared:
            assert list((await other.receive("ping"))["payload"]["cursors"]) == [theirs]
        await publish(server, server.token("2"), b="ONLINE")
        await socket.barrier()
        if shared:
            assert (await other.item(theirs))["deviceId"] == "b"
    await server.until(lambda services: services.statistics().sharing.groups == 0)


async def test_another_subject_s_token_is_refused(server):
    """A token of somebody else is FORBIDDEN, and the socket goes on with its own."""
    theirs = sign_token(
        server.secret, subject="other", schools=["1"], scopes=["devices:read"], ttl_seconds=600, now=server.clock()
    )
    async with Socket.open(server, server.token()) as socket:
        events = await socket.subscribe(EVENTS)
        assert (await refusal(socket, theirs))["extensions"]["code"] == "FORBIDDEN"
        await publish(server, server.token(), a="ONLINE")
        assert (await socket.item(events))["deviceId"] == "a"


async def test_a_refused_token_changes_nothing(server):
    """An expired, forged or broken token is UNAUTHENTICATED with its reason, and the socket lives on."""
    expired = sign_token(
        server.secret,
        subject="tester",
        schools=["1"],
        scopes=[],
        ttl_seconds=1,
        now=Moment(server.clock() - 9 * SECOND),
    )
    forged = sign_token("x" * 40, subject="tester", schools=["1"], scopes=[], ttl_seconds=60, now=server.clock())
    async with Socket.open(server, server.token()) as socket:
        events = await socket.subscribe(EVENTS)
        cases = [
            (expired, "token-expired"),
            (forged, "token-invalid"),
            ("no token", "token-invalid"),
            ("", "token-invalid"),
        ]
        for token, reason in cases:
            payload = await renew(socket, token)
            (error,) = payload["errors"]
            assert error["extensions"] == {"code": "UNAUTHENTICATED", "reason": reason}
            assert error["message"].startswith(f"{reason}: ")
        await publish(server, server.token(), a="ONLINE")
        assert (await socket.item(events))["deviceId"] == "a"


async def test_a_renewed_socket_outlives_the_revocation_of_its_first_token(server):
    """When the old token is revoked after the renewal the socket stays, and with the new one's revocation it closes."""
    first, second = (
        sign_token(
            server.secret,
            subject="anna",
            schools=["1"],
            scopes=["devices:read"],
            ttl_seconds=600,
            now=Moment(server.clock() + ahead * SECOND),
        )
        for ahead in (0, 60)
    )
    async with Socket.open(server, first) as socket:
        await renew(socket, second)
        assert await revoke(server, "anna") == 0
        await socket.barrier()
        error = await refusal(socket, first)
        assert error["extensions"]["reason"] == "token-revoked"
        server.clock.advance(61)
        assert await revoke(server, "anna") == 1
        assert (await socket.closed())[1].startswith("token-revoked")


async def test_what_follows_in_the_same_mutation_has_the_new_token(server):
    """Fields after the renewal are carried out with what the new token allows."""
    query = """mutation Renew($token: String!) {
      renewAuthorization(token: $token) { schoolIds }
      publishDeviceStatus(schoolId: "2", input: {deviceId: "a", status: ONLINE}) { changed }
    }"""
    async with Socket.open(server, server.token("1")) as socket:
        payload = await renew(socket, server.token("1", "2"), query)
        assert payload["data"]["publishDeviceStatus"] == {"changed": 1}


async def test_over_http_there_is_nothing_to_renew(server):
    """Over HTTP it is BAD_USER_INPUT with a sentence that says where it works, in a stream as well."""
    with pytest.raises(GraphQLError) as refused:
        await post(server, f'mutation {{ renewAuthorization(token: "{server.token()}") {{ id }} }}', server.token())
    assert refused.value.code == "BAD_USER_INPUT"
    assert "WebSocket" in str(refused.value)
    async with Stream.open(
        server, 'mutation { renewAuthorization(token: "x") { id } }', server.token(), *SSE
    ) as stream:
        assert "BAD_USER_INPUT" in fields(await stream.block())["data"]
