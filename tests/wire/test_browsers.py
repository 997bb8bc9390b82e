"""What a browser is told, and whose pages are let in: origins, CORS, security headers, proxies."""

import contextlib
import json
import re

import pytest
from websockets.asyncio.client import connect

from tests.wire.clients import EVENTS, Socket, Stream, http_client
from tests.wire.conftest import serve

pytestmark = pytest.mark.anyio

APP = "https://app.example"
VIEWER = {"query": "{ viewer { subject } }"}
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


@contextlib.asynccontextmanager
async def serving(settings, secret, **given):
    async with serve(settings.model_copy(update=given), secret) as server:
        yield server


async def greeting(server, url, **headers):
    """The close code and reason of a WebSocket with these headers, or what it is greeted with."""
    token = server.token()
    headers = {"authorization": f"Bearer {token}"} | headers
    origin = headers.pop("origin", None)
    subprotocols = ["graphql-transport-ws"] if url == server.ws else None
    async with connect(url, additional_headers=headers, origin=origin, subprotocols=subprotocols) as connection:
        socket = Socket(connection)
        if url == server.ws:
            with contextlib.suppress(Exception):  # it may be closed already
                await socket.send(type="connection_init")
        try:
            message = json.loads(await connection.recv())
        except Exception:  # noqa: BLE001 - closed() looks at it again
            return await socket.closed()
        if message["type"] == "error":
            closed = await socket.closed()
            assert closed[1] == message["message"]
            return closed
        return message["type"]


def refused(origin):
    return 4403, f"origin-refused: DEVICE_STATUS_ALLOWED_ORIGINS doesn't list {origin}"


WELCOMES = ("connection_ack", "connected")


async def test_pages_of_other_origins_are_refused_by_default_on_both_dialects(server):
    """Without settings a WebSocket of another origin, null included, is closed with 4403 and the setting's name."""
    for url, welcome in zip((server.ws, server.plain), WELCOMES, strict=True):
        for origin in (APP, "null", f"https://127.0.0.1:{server.port}", "http://127.0.0.1:1"):
            assert await greeting(server, url, origin=origin) == refused(origin)
        assert await greeting(server, url) == welcome
        assert await greeting(server, url, origin=f"http://127.0.0.1:{server.port}") == welcome
    assert server.services.statistics().refusals["origin"] == 8
    await server.until(lambda services: services.statistics().admission.connections == 0)


async def test_listed_origins_and_the_public_one_are_let_in(settings, secret):
    """A listed origin and the one of the public URL are let in, and what the request calls the service no longer is."""
    given = {"allowed_origins": (APP, "null"), "public_url": "https://status.example"}
    async with serving(settings, secret, **given) as server:
        for url, welcome in zip((server.ws, server.plain), WELCOMES, strict=True):
            for origin in (APP, "null", "https://status.example"):
                assert await greeting(server, url, origin=origin) == welcome
            for origin in (f"http://127.0.0.1:{server.port}", "http://app.example", f"{APP}.evil.example"):
                assert await greeting(server, url, origin=origin) == refused(origin)


async def asked(server, method="POST", *, path="/graphql", **options):
    async with http_client() as client:
        return await client.request(method, server.http.replace("/graphql", path), **options)


async def test_a_preflight_is_answered_for_listed_origins_alone(settings, secret):
    """The preflight of a listed origin may send a token and resume; that of another one is told the setting."""
    async with serving(settings, secret, allowed_origins=(APP,)) as server:
        allowed = await asked(server, "OPTIONS", headers={"origin": APP, **PREFLIGHT})
        assert (allowed.status_code, allowed.content) == (204, b"")
        assert allowed.headers["access-control-allow-origin"] == APP
        assert allowed.headers["access-control-allow-headers"] == "authorization, content-type, last-event-id"
        assert allowed.headers["access-control-allow-methods"] == "GET, POST"
        assert allowed.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in allowed.headers
        for origin in ("https://evil.example", "null"):
            answer = await asked(server, "OPTIONS", headers={"origin": origin, **PREFLIGHT})
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.startswith("access-control")]
            (error,) = answer.json()["errors"]
            assert error == {"message": refused(origin)[1], "extensions": {"code": "FORBIDDEN"}}
        assert server.services.statistics().refusals["origin"] == 2
        assert (await asked(server, "OPTIONS")).status_code == 405


async def test_answers_and_streams_say_whose_pages_may_read_them(settings, secret):
    """JSON, its errors, SSE and multipart name a listed origin; for another one they are answered without."""
    async with serving(settings, secret, allowed_origins=(APP,)) as server:
        token = {"authorization": f"Bearer {server.token()}"}
        for headers in (token, {"authorization": "Bearer x"}, {}):
            for origin, expected in ((APP, APP), ("https://evil.example", None)):
                answer = await asked(server, json=VIEWER, headers={"origin": origin, **headers})
                assert answer.headers.get("access-control-allow-origin") == expected
        for accept in ("text/event-stream", "multipart/mixed"):
            async with (
                http_client() as client,
                client.stream(
                    "POST", server.http, json={"query": EVENTS}, headers={"accept": accept, "origin": APP, **token}
                ) as stream,
            ):
                assert stream.headers["access-control-allow-origin"] == APP
                assert stream.headers["content-type"].startswith(accept)


NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


async def test_every_answer_has_the_security_headers(server):
    """Data, errors, health, what isn't there and streams all say that they are no page to load anything into."""
    token = server.token()
    answers = [
        await asked(server, json=VIEWER, headers={"authorization": f"Bearer {token}"}),
        await asked(server, content="x"),
        await asked(server, json=VIEWER, headers={"authorization": "Bearer x"}),
        await asked(server, "GET", path="/health/live"),
        await asked(server, "GET", path="/health/ready"),
        await asked(server, "GET", path="/nothing"),
        await asked(server, "DELETE"),
    ]
    async with Stream.open(server, EVENTS, token, "text/event-stream", "\n\n") as stream:
        assert (await stream.block()).startswith("id: ")
        answers.append(stream.response)
    for answer in answers:
        assert answer.headers["content-security-policy"] == NOTHING
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers


async def test_forwarded_headers_are_believed_from_trusted_proxies_alone(settings, secret):
    """Only a configured proxy says where a client is and how it came: who isn't one counts by its own address."""
    for trusted, own in (((), False), (("10.0.0.0/8",), False), (("127.0.0.0/8",), True)):
        given = {"trusted_proxies": trusted, "max_connections_per_address": 1}
        async with serving(settings, secret, **given) as server:
            https = f"https://127.0.0.1:{server.port}"
            headers = {"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https"}
            let_in = await greeting(server, server.plain, origin=https, **headers)
            assert let_in == ("connected" if own else refused(https))
            await server.until(lambda services: services.statistics().admission.connections == 0)
            async with Socket.open(server, server.token(), additional_headers=headers):
                other = await greeting(server, server.plain, **{"x-forwarded-for": "192.0.2.2"})
                same = await greeting(server, server.plain, **headers)
                # The client's own words come first in the header, and are not the proxy's.
                forged = await greeting(server, server.plain, **{"x-forwarded-for": "192.0.2.3, 192.0.2.1"})
            assert other == ("connected" if own else same)
            assert same == forged
            assert same[0] == 1013


@pytest.mark.logs_errors
async def test_a_defect_outside_of_graphql_is_masked_with_its_id(server, monkeypatch, caplog):
    """A request whose handling breaks is answered with 500, headers and an id that the log repeats, and no more."""

    def broken(*_args, **_kwargs):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(type(server.services.delivery.executor), "prepare", broken)
    answer = await asked(server, json=VIEWER)
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == NOTHING
    (error,) = answer.json()["errors"]
    assert "hunter2" not in answer.text
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("graphql_api")]
    assert [error["extensions"]["errorId"] in line for line in logged] == [True]


@pytest.mark.logs_errors
async def test_a_defect_of_a_socket_is_masked_with_its_id(server, monkeypatch, caplog):
    """A socket whose handling breaks is closed with 1013 and an id that the log repeats; the others go on."""
    async with Socket.open(server, server.token()) as other:
        delivery = server.services.delivery

        def broken(*_args, **_kwargs):
            raise RuntimeError("password=hunter2")

        monkeypatch.setattr(type(delivery.verifier), "verify", broken)
        code, reason = await greeting(server, server.plain)
        assert code == 1013
        assert "hunter2" not in reason
        error_id = re.search("in the log under ([0-9a-f]{12}):", reason)[1]
        assert [error_id in record.getMessage() for record in caplog.records if record.exc_info] == [True]
        await other.barrier()
