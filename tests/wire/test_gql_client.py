"""The real gql client, over its own WebSocket and HTTP transports."""

import pytest
from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

from tests.wire.clients import EVENTS, PUBLISH

pytestmark = pytest.mark.anyio


def over_websocket(server, token) -> Client:
    transport = WebsocketsTransport(
        server.ws,
        init_payload={"authorization": f"Bearer {token}"},
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )
    return Client(transport=transport, fetch_schema_from_transport=False)


def over_http(server, token) -> Client:
    transport = HTTPXAsyncTransport(server.http, headers={"authorization": f"Bearer {token}"}, verify=False)
    return Client(transport=transport, fetch_schema_from_transport=False)


def request(query, **variables) -> GraphQLRequest:
    return GraphQLRequest(query, variable_values=variables)


async def test_gql_publishes_and_subscribes(server):
    """A round published by gql over HTTP arrives at a subscription of gql over WebSocket."""
    token = server.token()
    async with over_websocket(server, token) as watcher, over_http(server, token) as checker:
        events = watcher.subscribe(request(EVENTS, snapshot=True))
        inputs = [{"deviceId": f"d{number}", "status": "ONLINE"} for number in range(3)]
        await checker.execute(request(PUBLISH, inputs=inputs))
        seen = []
        async for event in events:
            seen.append(event["deviceStatus"]["deviceId"])
            if len(seen) == 3:
                break
        await events.aclose()
        assert seen == ["d0", "d1", "d2"]


async def test_gql_gets_errors_of_the_operation(server):
    """A school that is not the token's comes to gql as a query error, and the session lives on."""
    async with over_websocket(server, server.token("1")) as watcher:
        with pytest.raises(TransportQueryError) as refused:
            async for _ in watcher.subscribe(request(EVENTS, schoolId="2")):
                pass
        assert refused.value.errors[0]["extensions"]["code"] == "FORBIDDEN"
        assert await watcher.execute(request("{ viewer { subject } }")) == {"viewer": {"subject": "tester"}}


async def test_gql_is_told_of_a_refused_token(server):
    """A bad token fails the connection of gql."""
    with pytest.raises(TransportConnectionFailed):
        await over_websocket(server, "nonsense").connect_async()
