"""What a balancer is told of a process."""

import asyncio
import json

import httpx
import pytest
from pydantic import SecretStr

from tests.devices.conftest import redis  # noqa: F401 - a fixture
from tests.wire.clients import EVENTS, Socket, publish
from tests.wire.conftest import serve

pytestmark = pytest.mark.anyio


async def readiness(server):
    async with httpx.AsyncClient() as client:
        answer = await client.get(server.http.replace("/graphql", "/health/ready"))
    return answer.status_code, answer.json()


async def test_readiness_follows_the_broadcaster(settings, secret, redis):  # noqa: F811
    """A process that starts without its broadcaster serves and is degraded, and ready when the broadcaster is there."""
    redis.kill()
    changed = {"broadcast_url": SecretStr(redis.url), "feed_compare_interval": 0.05}
    async with serve(settings.model_copy(update=changed), secret) as server:
        status, body = await readiness(server)
        assert (status, body["status"], len(body["reasons"])) == (200, "degraded", 1)
        assert str(redis.port) not in json.dumps(body)
        token = server.token()
        async with Socket.open(server, token) as socket:
            events = await socket.subscribe(EVENTS)
            await publish(server, token, a="ONLINE")
            assert (await socket.item(events))["deviceId"] == "a"
            await asyncio.to_thread(redis.start)
            await server.services.news.until_rebuilt(0)
            assert await readiness(server) == (200, {"status": "ready"})
            await publish(server, token, b="ONLINE")
            assert (await socket.item(events))["deviceId"] == "b"
