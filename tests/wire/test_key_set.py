"""Tokens of an issuer that publishes its keys, over every transport: rotated, slow, and away."""

import asyncio

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from graphql_api.settings import Settings
from tests.access.issuer import Issuer, jwk_of
from tests.wire.clients import EVENTS, Socket, Stream, connect, http_client, post, publish
from tests.wire.conftest import serve
from tests.wire.test_health import readiness
from tests.wire.test_streaming import SSE, fields

pytestmark = pytest.mark.anyio


class Rotating:
    """An issuer with one signing key at a time, that can be replaced without a warning."""

    def __init__(self):
        self.issuer = Issuer()
        self._number = 0
        self.rotate()

    def rotate(self):
        self._number += 1
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.issuer.publish(jwk_of(self._key, "ES256", kid=f"key-{self._number}"))

    def token(self, server):
        claims = {"sub": "anna", "school_id": "1", "exp": server.clock() // 1_000_000 + 600}
        claims["scope"] = "devices:read devices:publish"
        return jwt.encode(claims, self._key, "ES256", {"kid": f"key-{self._number}"})


@pytest.fixture
def rotating():
    return Rotating()


@pytest.fixture
def address(rotating):
    with rotating.issuer.serving() as url:
        yield url


@pytest.fixture
def by_address(tmp_path, address):
    return Settings(jwks_url=address, database_url=f"sqlite:///{tmp_path}/devices.db")


@pytest.fixture
async def server(by_address, anyio_backend):
    async with serve(by_address, "") as running:
        # As if the pause after the first fetch were over.
        running.services.issuer_keys._refresh_pause = 0
        yield running


async def test_a_sudden_rotation_closes_nobody_s_door(server, rotating):
    """Tokens of a key that was not published before are good at once over HTTP, SSE and both WebSockets."""
    asked = rotating.issuer.asked
    rotating.rotate()
    await post(server, "{ viewer { id } }", rotating.token(server))
    rotating.rotate()
    async with Socket.open(server, rotating.token(server)) as socket:
        events = await socket.subscribe(EVENTS)
        rotating.rotate()
        async with connect(
            server.plain, additional_headers={"authorization": f"Bearer {rotating.token(server)}"}
        ) as raw:
            plain = Socket(raw)
            await plain.receive("connected")
            rotating.rotate()
            token = rotating.token(server)
            async with Stream.open(server, EVENTS, token, *SSE) as stream:
                assert list(fields(await stream.block())) == ["id"]
                await publish(server, token, a="ONLINE")
                assert (await socket.item(events))["deviceId"] == "a"
                assert (await plain.receive("device_status_update"))["device_id"] == "a"
                assert '"a"' in fields(await stream.block())["data"]
    assert rotating.issuer.asked == asked + 4


async def test_the_protocol_holds_while_a_key_is_waited_for(server, rotating):
    """Until the ack a subscribe is 4401 and a second init 4429, and a ping is answered."""
    rotating.rotate()
    rotating.issuer.hold()
    init = {"type": "connection_init", "payload": {"authorization": f"Bearer {rotating.token(server)}"}}
    for message, code in (({"id": "1", "type": "subscribe", "payload": {"query": EVENTS}}, 4401), (init, 4429)):
        async with Socket.open(server) as socket:
            await socket.send(**init)
            await socket.barrier()
            await socket.send(**message)
            assert (await socket.closed())[0] == code
    async with Socket.open(server) as socket:
        await socket.send(**init)
        await socket.barrier()
        rotating.issuer.release()
        await socket.receive("connection_ack")


async def test_who_goes_while_a_key_is_waited_for_leaves_nothing(server, rotating):
    """A client that closes while its key is being fetched leaves no task and nobody who is watched."""
    rotating.rotate()
    rotating.issuer.hold()
    async with Socket.open(server) as socket:
        await socket.send(type="connection_init", payload={"authorization": f"Bearer {rotating.token(server)}"})
        await socket.barrier()
        assert "operation" in {task.get_name() for task in asyncio.all_tasks()}
    await server.until(lambda services: services.statistics().delivery.graphql_sockets == 0)
    await server.until(lambda _: "operation" not in {task.get_name() for task in asyncio.all_tasks()})
    rotating.issuer.release()
    assert server.services.statistics().revoking.known.watched == 0


async def test_a_token_of_nobody_is_refused_after_the_look(server, rotating):
    """A token whose key is not there after a fetch either is closed with 4403 token-invalid."""
    stranger = Rotating()
    stranger.rotate()
    async with Socket.open(server) as socket:
        await socket.send(type="connection_init", payload={"authorization": f"Bearer {stranger.token(server)}"})
        code, reason = await socket.closed()
        assert (code, reason.split(":")[0]) == (4403, "token-invalid")


async def test_an_issuer_that_is_away_from_the_start(by_address, rotating):
    """Without keys the process is unavailable, calls are 503 and sockets 1013; when the keys are there it is ready."""
    rotating.issuer.status = 500
    async with serve(by_address, "") as server:
        status, body = await readiness(server)
        assert (status, body["status"]) == (503, "unavailable")
        assert "issuer" in body["reasons"][0]
        token = rotating.token(server)
        async with http_client() as client:
            answer = await client.post(
                server.http, json={"query": "{ viewer { id } }"}, headers={"authorization": f"Bearer {token}"}
            )
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
        async with Socket.open(server) as socket:
            await socket.send(type="connection_init", payload={"authorization": f"Bearer {token}"})
            assert (await socket.closed())[0] == 1013
        rotating.issuer.status = 200
        server.services.issuer_keys._refresh_pause = 0
        await post(server, "{ viewer { id } }", token)
        assert await readiness(server) == (200, {"status": "ready"})


async def test_an_issuer_that_goes_away(server, rotating):
    """While the issuer is away its tokens are good, the process is degraded and says why, and ready when it is back."""
    token = rotating.token(server)
    rotating.issuer.status = 500
    await server.services.issuer_keys.refresh()
    await post(server, "{ viewer { id } }", token)
    status, body = await readiness(server)
    assert (status, body["status"]) == (200, "degraded")
    assert "issuer" in body["reasons"][0]
    assert "127.0.0.1" not in body["reasons"][0]
    rotating.issuer.status = 200
    await server.services.issuer_keys.refresh()
    assert await readiness(server) == (200, {"status": "ready"})
    assert server.services.statistics().issuer_keys.failures >= 1


async def test_own_keys_make_a_missing_issuer_no_reason_to_stop(by_address, secret, rotating):
    """With a secret beside the key set, a process that has no keys of the issuer serves, and is degraded."""
    rotating.issuer.status = 500
    both = Settings(jwks_url=by_address.jwks_url, jwt_secret=secret, database_url=by_address.database_url)
    async with serve(both, secret) as server:
        assert (await readiness(server))[1]["status"] == "degraded"
        await post(server, "{ viewer { id } }", server.token())


async def test_a_renewal_may_bring_a_new_key(server, rotating):
    """A renewal with a token of a key that was just published waits for the key, and goes on."""
    async with Socket.open(server, rotating.token(server)) as socket:
        rotating.rotate()
        query = "mutation Renew($token: String!) { renewAuthorization(token: $token) { subject } }"
        operation_id = await socket.subscribe(query, live=False, token=rotating.token(server))
        message = await socket.receive("next")
        assert message["id"] == operation_id
        assert message["payload"]["data"] == {"renewAuthorization": {"subject": "anna"}}
