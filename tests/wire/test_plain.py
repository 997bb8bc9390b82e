"""The plain JSON dialect at /ws/device-status."""

import contextlib
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.wire.clients import publish

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def open_plain(server, token=None, query="", **options):
    if token:
        options["additional_headers"] = {"authorization": f"Bearer {token}"}
    async with connect(server.plain + query, **options) as connection:
        yield connection


async def receive(connection):
    return json.loads(await connection.recv())


async def refusal(connection):
    """The error message, and the close code that follows it."""
    message = await receive(connection)
    assert message["type"] == "error"
    with pytest.raises(ConnectionClosed) as closed:
        await connection.recv()
    return message["message"], closed.value.rcvd.code


async def test_a_change_arrives_as_plain_json(server):
    """The client is greeted when it is live, and gets each change of its school as the dialect says."""
    token = server.token("1")
    async with open_plain(server, token) as connection:
        assert await receive(connection) == {
            "type": "connected",
            "message": "Connected to device status updates",
            "school_id": "1",
        }
        published = await publish(server, token, a="ONLINE")
        update = await receive(connection)
        assert sorted(update) == ["cursor", "device_id", "last_seen", "status", "timestamp", "type"]
        assert (update["type"], update["device_id"], update["status"]) == ("device_status_update", "a", "ONLINE")
        assert update["cursor"] == published["cursor"]


async def test_a_token_in_the_query_string_serves_browsers(server):
    """The token may come as ?token=, and the school as ?school_id=."""
    async with open_plain(server, query=f"?token={server.token('1', '2')}&school_id=2") as connection:
        assert (await receive(connection))["school_id"] == "2"


async def test_pings_are_answered_and_other_text_is_ignored(server):
    """A ping gets a pong; text that is none, JSON or not, gets nothing."""
    async with open_plain(server, server.token()) as connection:
        await receive(connection)
        for text in ["hello", "{", "[]", "null", '{"type": 7}', "[" * 100_000, b"\x00", '{"type": "ping"}']:
            await connection.send(text)
        assert await receive(connection) == {"type": "pong"}


async def test_another_schools_change_does_not_arrive(server):
    """A change of another school does not arrive; the pong is next."""
    async with open_plain(server, server.token("1")) as connection:
        await receive(connection)
        await publish(server, server.token("2"), a="ONLINE")
        await connection.send('{"type": "ping"}')
        assert await receive(connection) == {"type": "pong"}


@pytest.mark.parametrize(
    ("query", "reason"),
    [("", "token-missing: "), ("?token=x", "token-invalid: "), ("?token=", "token-missing: ")],
)
async def test_without_a_good_token_an_error_comes_before_the_close(server, query, reason):
    """A missing or bad token is told in a message, then the socket closes with 4403."""
    async with open_plain(server, query=query) as connection:
        message, code = await refusal(connection)
        assert code == 4403
        assert message.startswith(reason)


async def test_a_school_that_is_not_the_tokens_is_refused(server):
    """A foreign school_id is refused with 4403, a missing one among several schools with 4400."""
    async with open_plain(server, server.token("1"), "?school_id=2") as connection:
        assert (await refusal(connection))[1] == 4403
    async with open_plain(server, server.token("1", "2")) as connection:
        assert (await refusal(connection))[1] == 4400


async def test_expiry_closes_the_plain_socket(server):
    """When the token expires the client is told and closed with 4403."""
    async with open_plain(server, server.token(ttl=1)) as connection:
        await receive(connection)
        message, code = await refusal(connection)
        assert (code, message.partition(":")[0]) == (4403, "token-expired")
