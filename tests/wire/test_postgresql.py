"""The whole service on PostgreSQL."""

import pytest

from tests.devices.conftest import postgresql_url  # noqa: F401 - a fixture
from tests.wire.clients import DEVICES, EVENTS, Socket, publish
from tests.wire.conftest import serve

pytestmark = pytest.mark.anyio


async def test_a_round_reaches_its_school_on_postgresql(settings, secret, postgresql_url):  # noqa: F811
    """With PostgreSQL as the store, a published round is recorded and reaches events and lists."""
    on_postgresql = settings.model_copy(update={"database_url": type(settings.database_url)(postgresql_url)})
    async with serve(on_postgresql, secret) as server:
        token = server.token()
        async with Socket.open(server, token) as socket:
            events = await socket.subscribe(EVENTS)
            await publish(server, token, a="ONLINE")
            assert (await socket.item(events))["deviceId"] == "a"
            devices = await socket.subscribe(DEVICES, live=False)
            assert [device["deviceId"] for device in (await socket.item(devices))["changed"]] == ["a"]
