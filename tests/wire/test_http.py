"""GraphQL over HTTP: single answers."""

import json

import pytest

from tests.wire.clients import PUBLISH, GraphQLError, Socket, http_client, post, publish

pytestmark = pytest.mark.anyio

VIEWER = "{ viewer { subject schoolIds allSchools scopes } }"


async def request(server, method="POST", token=None, **options):
    headers = options.pop("headers", {})
    if token:
        headers["authorization"] = f"Bearer {token}"
    async with http_client() as client:
        return await client.request(method, server.http, headers=headers, **options)


async def test_a_query_is_answered(server):
    """A query over POST and over GET gets its data as JSON."""
    token = server.token("1", "2")
    expected = {
        "subject": "tester",
        "schoolIds": ["1", "2"],
        "allSchools": False,
        "scopes": ["devices:admin", "devices:publish", "devices:read"],
    }
    posted = await request(server, token=token, json={"query": VIEWER})
    got = await request(server, "GET", token=token, params={"query": VIEWER})
    for response in (posted, got):
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.json() == {"data": {"viewer": expected}}


@pytest.mark.parametrize("root_path", ["/status", "/graph"])
async def test_behind_a_proxy_that_serves_it_under_a_path_of_its_own(server, monkeypatch, root_path):
    """With a root path, which comes first in what an ASGI server says, GraphQL is served over HTTP and WebSocket."""
    monkeypatch.setattr(server.uvicorn.config, "root_path", root_path)
    assert (await request(server, token=server.token(), json={"query": VIEWER})).status_code == 200
    async with Socket.open(server, server.token()) as socket:
        await socket.barrier()


async def test_without_a_token_fields_say_unauthenticated_and_introspection_works(server):
    """Without a token a field is UNAUTHENTICATED, and the schema can be introspected all the same."""
    with pytest.raises(GraphQLError) as refused:
        await post(server, VIEWER)
    assert refused.value.code == "UNAUTHENTICATED"
    assert (await post(server, "{ __schema { queryType { name } } }"))["__schema"]["queryType"]["name"] == "Query"


@pytest.mark.parametrize("authorization", ["Bearer x", "Bearer", "Basic dGVzdDp0ZXN0", "Bearer a b"])
async def test_a_refused_token_is_401(server, authorization):
    """A bad token is answered with 401, WWW-Authenticate and a JSON error, whatever is asked."""
    response = await request(server, json={"query": VIEWER}, headers={"authorization": authorization})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_an_expired_token_is_401(server):
    """A token that has expired is answered with 401 and said to have expired."""
    token = server.token(ttl=60)
    server.clock.advance(60)
    response = await request(server, token=token, json={"query": VIEWER})
    assert response.status_code == 401
    assert "token-expired" in response.json()["errors"][0]["message"]


MALFORMED = [
    b"",
    b"{",
    b"null",
    b"1",
    b"true",
    b'"x"',
    b"[]",
    b"\xff\xfe",
    b"\x1f\x8b\x08",
    b"[" * 50_000,
    b'{"query": 1}',
    b'{"query": "{ viewer { id } }", "variables": [1]}',
    b'{"query": "{ viewer { id } }", "variables": {"x": NaN}}',
]


@pytest.mark.parametrize("body", MALFORMED)
async def test_malformed_bodies_are_400_in_json(server, body):
    """A body that is no GraphQL request is answered with 400 and a sentence in JSON."""
    response = await request(server, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["message"]


async def test_wrong_methods_and_types_are_told_what_is_right(server):
    """PUT is 405 with Allow, a mutation over GET 405, another content type 415, an impossible Accept 406."""
    response = await request(server, "PUT", json={"query": VIEWER})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    response = await request(server, "GET", params={"query": 'mutation { retireDevices(deviceIds: ["a"]) { id } }'})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    response = await request(server, content="{}", headers={"content-type": "text/plain"})
    assert response.status_code == 415
    response = await request(server, json={"query": VIEWER}, headers={"accept": "image/png"})
    assert response.status_code == 406
    subscription = "subscription { deviceStatus { deviceId } }"
    response = await request(server, json={"query": subscription}, headers={"accept": "application/json"})
    assert response.status_code == 406


async def test_a_body_over_the_limit_is_413(server):
    """A body of more than 2 MiB is answered with 413."""
    body = json.dumps({"query": VIEWER, "variables": {"x": "y" * (2 * 1024 * 1024)}})
    response = await request(server, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 413


async def test_the_answers_media_type_has_its_status_codes(server):
    """graphql-response+json says 400 to what is not executed, application/json says 200."""
    for accept, status in [("application/graphql-response+json", 400), ("application/json", 200)]:
        for query in ("{", "{ nothing }"):
            response = await request(server, json={"query": query}, headers={"accept": accept})
            assert response.status_code == status
            assert response.headers["content-type"].startswith(accept)
            assert "data" not in response.json()


async def test_bad_rounds_lose_nothing_and_are_explained(server):
    """Each kind of bad input gets a clear error, and none of it is recorded (G-19)."""
    token = server.token()
    await publish(server, token, known="ONLINE")
    next_week = "2099-01-01T00:00:00Z"
    rounds = {
        "unknown enum": [{"deviceId": "a", "status": "BROKEN"}],
        "empty id": [{"deviceId": "", "status": "ONLINE"}],
        "control character": [{"deviceId": "a\n", "status": "ONLINE"}],
        "too many": [{"deviceId": f"d{number}", "status": "ONLINE"} for number in range(1_001)],
        "future": [{"deviceId": "a", "status": "ONLINE", "observedAt": next_week}],
        "no offset": [{"deviceId": "a", "status": "ONLINE", "observedAt": "2026-11-23T08:00:00"}],
        "twice": [{"deviceId": "a", "status": "ONLINE"}, {"deviceId": "a", "status": "OFFLINE"}],
        "retired": [{"deviceId": "a", "status": "RETIRED"}],
    }
    for kind, inputs in rounds.items():
        with pytest.raises(GraphQLError) as refused:
            await post(server, PUBLISH, token, inputs=[{"deviceId": "good", "status": "ONLINE"}, *inputs])
        assert refused.value.code == "BAD_USER_INPUT", kind
        assert refused.value.errors[0]["message"], kind
    with pytest.raises(GraphQLError) as refused:
        await publish(server, token, "2", a="ONLINE")
    assert refused.value.code == "FORBIDDEN"
    assert (await post(server, "{ devices { totalCount } }", token))["devices"]["totalCount"] == 1


async def test_a_refused_round_lists_every_problem(server):
    """REJECT lists index, deviceId and reason of each invalid report; SKIP records the others."""
    token = server.token()
    inputs = [
        {"deviceId": "a", "status": "ONLINE"},
        {"deviceId": "", "status": "ONLINE"},
        {"deviceId": "a", "status": "OFFLINE"},
        {"deviceId": "b", "status": "ONLINE", "observedAt": "2099-01-01T00:00:00Z"},
    ]
    with pytest.raises(GraphQLError) as refused:
        await post(server, PUBLISH, token, inputs=inputs)
    problems = refused.value.errors[0]["extensions"]["problems"]
    assert [(problem["index"], problem["deviceId"]) for problem in problems] == [(1, ""), (2, "a"), (3, "b")]
    assert all(problem["reason"] for problem in problems)
    result = (await post(server, PUBLISH, token, inputs=inputs, onInvalid="SKIP"))["publishDeviceStatuses"]
    assert (result["changed"], [each["index"] for each in result["rejected"]]) == (1, [1, 2, 3])


async def test_a_repeated_round_is_unchanged(server):
    """The same round with the same observedAt again changes nothing; an older one is stale (G-20)."""
    token = server.token()

    async def report(status, observed_at):
        inputs = [{"deviceId": "a", "status": status, "observedAt": observed_at}]
        return (await post(server, PUBLISH, token, inputs=inputs))["publishDeviceStatuses"]

    first = await report("ONLINE", "2026-01-01T00:00:00+00:00")
    again = await report("ONLINE", "2026-01-01T01:00:00+01:00")
    older = await report("OFFLINE", "2025-12-31T23:59:59Z")
    assert (first["changed"], first["created"]) == (1, 1)
    assert (again["changed"], again["unchanged"], again["cursor"]) == (0, 1, first["cursor"])
    assert (older["changed"], older["stale"]) == (0, 1)


async def test_a_huge_list_is_refused_before_it_is_read(server):
    """A list of 20,000 reports is refused at once, with LIMIT_EXCEEDED."""
    inputs = [{"deviceId": str(number), "status": "ONLINE"} for number in range(20_000)]
    with pytest.raises(GraphQLError) as refused:
        await post(server, PUBLISH, server.token(), inputs=inputs)
    assert refused.value.code == "LIMIT_EXCEEDED"


GRAPHQL_RESPONSE = "application/graphql-response+json"


async def test_refusals_have_the_media_type_that_is_asked_for(server):
    """A refused token and a malformed body are told as graphql-response+json where that is preferred."""
    headers = {"accept": f"{GRAPHQL_RESPONSE},application/json;q=0.9"}
    refused = await request(server, json={"query": VIEWER}, headers={**headers, "authorization": "Bearer x"})
    malformed = await request(server, content="{", headers={**headers, "content-type": "application/json"})
    for response, status in ((refused, 401), (malformed, 400)):
        assert response.status_code == status
        assert response.headers["content-type"].startswith(GRAPHQL_RESPONSE)
        assert response.json()["errors"]


async def test_health_answers_and_asks_the_store(server):
    """Live and ready answer in JSON; ready is 503 with a reason when the store is gone."""
    base = server.http.removesuffix("/graphql")
    async with http_client() as client:
        assert (await client.get(f"{base}/health/live")).json() == {"status": "live"}
        assert (await client.get(f"{base}/health/ready")).json() == {"status": "ready"}
        await server.services.store.close()
        response = await client.get(f"{base}/health/ready")
        assert (response.status_code, response.json()["status"]) == (503, "unavailable")
        assert response.json()["reasons"]


@pytest.mark.parametrize("path", ["/graphql/", "/health/live/", "/ws/device-status/"])
async def test_nobody_is_sent_elsewhere(server, path):
    """A slash too many is 404: a redirect would go where the request says, and a token with it."""
    async with http_client() as client:
        url = server.http.replace("/graphql", path)
        response = await client.post(url, headers={"host": "example.org"}, json={"query": "{ __typename }"})
    assert response.status_code == 404
    assert "location" not in response.headers
