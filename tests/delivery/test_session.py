"""Sockets over ASGI alone, where an application can neither see nor end what a server is stuck in."""

import asyncio
import secrets

import pytest

from graphql_api.app import open_services
from graphql_api.delivery.websocket import serve_graphql_socket
from graphql_api.settings import Settings

pytestmark = pytest.mark.anyio

SCOPE = {
    "type": "websocket",
    "scheme": "ws",
    "client": ("192.0.2.1", 1),
    "server": ("192.0.2.2", 80),
    "path": "/graphql",
    "query_string": b"",
    "headers": [],
    "subprotocols": ["graphql-transport-ws"],
    "extensions": {},
}


async def test_a_closed_socket_ends_though_its_client_takes_nothing_and_says_nothing(tmp_path):
    """When sending never ends and nothing comes, a socket that is closed is over soon, and its tasks with it."""
    settings = Settings(
        jwt_secret=secrets.token_urlsafe(48),
        database_url=f"sqlite:///{tmp_path}/devices.db",
        connection_init_timeout=0.01,
    )
    coming = [{"type": "websocket.connect"}]

    async def receive():
        return coming.pop() if coming else await asyncio.Event().wait()

    async def send(message):
        if message["type"] != "websocket.accept":
            await asyncio.Event().wait()

    async with open_services(settings) as services:
        before = asyncio.all_tasks()
        async with asyncio.timeout(20):
            await serve_graphql_socket(SCOPE, receive, send, services.delivery)
        assert asyncio.all_tasks() <= before
        assert services.statistics().delivery.graphql_sockets == 0
