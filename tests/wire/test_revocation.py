"""Revoked tokens, over every transport and in two instances on one store."""

import asyncio
import contextlib

import pytest
from pydantic import SecretStr

from graphql_api.access.signing import sign_token
from graphql_api.devices import revocation_log
from graphql_api.moment import SECOND, Moment, format_moment
from tests.devices.conftest import database_url, postgresql_url, sqlite_url  # noqa: F401 - fixtures
from tests.wire.clients import EVENTS, GraphQLError, Socket, Stream, connect, post, publish
from tests.wire.conftest import serve
from tests.wire.test_streaming import MULTIPART, SSE

pytestmark = pytest.mark.anyio

REVOKE = (
    "mutation ($subject: ID!, $issuedBefore: DateTime) {revokeTokens(subject: $subject, issuedBefore: $issuedBefore)}"
)
ADMIN = ("devices:admin",)


def token_of(server, subject, *schools, issued_after=0.0, scopes=("devices:read", "devices:publish")):
    """A token that says that it was issued so many seconds from now."""
    issued_at = Moment(server.clock() + int(issued_after * SECOND))
    return sign_token(
        server.secret, subject=subject, schools=schools or ("1",), scopes=scopes, ttl_seconds=3600, now=issued_at
    )


async def revoke(server, subject, *schools, issued_before=None):
    admin = token_of(server, "admin", *(schools or ("*",)), scopes=ADMIN, issued_after=60)
    return (await post(server, REVOKE, admin, subject=subject, issuedBefore=issued_before))["revokeTokens"]


@pytest.fixture
def shared(settings, database_url):  # noqa: F811
    """Settings of instances with one store, on SQLite and on PostgreSQL."""
    return settings.model_copy(update={"database_url": SecretStr(database_url)})


@pytest.fixture
async def instances(shared, secret, anyio_backend):
    """Two instances."""
    async with serve(shared, secret) as one, serve(shared, secret) as other:
        yield one, other


@contextlib.asynccontextmanager
async def plain_socket(server, token):
    async with connect(server.plain, additional_headers={"authorization": f"Bearer {token}"}) as connection:
        socket = Socket(connection)
        await socket.receive("connected")
        yield socket


async def rest_of(stream):
    """What still comes of a streamed body."""
    blocks = []
    while (block := await stream.block()) is not None:
        blocks.append(block)
    return "".join(blocks) + stream.rest


async def test_open_connections_end_in_every_instance(instances):
    """Sockets of both dialects close with 4403 token-revoked, bodies end unfinished, within two seconds (G-13)."""
    async with contextlib.AsyncExitStack() as stack:
        closing, ending, lasting = [], [], []
        for server in instances:
            anna, bert = token_of(server, "anna"), token_of(server, "bert")
            closing.append(await stack.enter_async_context(Socket.open(server, anna)))
            closing.append(await stack.enter_async_context(plain_socket(server, anna)))
            for accept, separator in (SSE, MULTIPART):
                stream = await stack.enter_async_context(Stream.open(server, EVENTS, anna, accept, separator))
                await stream.block()
                ending.append(stream)
            lasting.append(await stack.enter_async_context(Socket.open(server, bert)))
            await closing[-2].subscribe(EVENTS)
        one, _ = instances
        async with asyncio.timeout(2):
            assert await revoke(one, "anna") == 4
            for socket in closing:
                if socket in (closing[1], closing[3]):
                    assert (await socket.receive("error"))["message"].startswith("token-revoked: ")
                code, reason = await socket.closed()
                assert (code, reason.split(":")[0]) == (4403, "token-revoked")
            for stream in ending:
                text = await rest_of(stream)
                assert "complete" not in text
                assert not text.endswith("--\r\n")
        for server, socket in zip(instances, lasting, strict=True):
            await socket.barrier()
            known = server.services.statistics().revoking.known
            assert (known.watched, known.ended) == (1, 4)


async def test_revoked_tokens_are_refused_from_then_on(instances, shared):
    """A token that was good is refused everywhere, by an instance that starts later too; a newer one is good."""
    one, other = instances
    old, new = token_of(one, "anna"), token_of(one, "anna", issued_after=60)
    for server in instances:
        await post(server, "{ viewer { id } }", old)
    await revoke(one, "anna")
    await other.until(lambda services: services.statistics().revoking.known.revocations == 1)
    for server in instances:
        await is_refused(server, old)
        await post(server, "{ viewer { id } }", new)
    async with serve(shared, one.secret) as again:
        await is_refused(again, old)
        await post(again, "{ viewer { id } }", new)


async def is_refused(server, token):
    with pytest.raises(GraphQLError) as refused:
        await post(server, "{ viewer { id } }", token)
    assert refused.value.errors[0]["extensions"] == {"code": "UNAUTHENTICATED", "reason": "token-revoked"}
    assert str(refused.value.errors[0]["message"]).startswith("token-revoked: ")
    async with Socket.open(server) as socket:
        await socket.send(type="connection_init", payload={"authorization": f"Bearer {token}"})
        code, reason = await socket.closed()
        assert (code, reason.split(":")[0]) == (4403, "token-revoked")


async def test_nothing_is_sent_once_it_is_revoked(server):
    """A change that is published right after the revocation reaches no connection of the revoked token (G-13)."""
    async with Socket.open(server, token_of(server, "anna")) as socket:
        await socket.subscribe(EVENTS)
        await revoke(server, "anna")
        await publish(server, token_of(server, "checker"), a="ONLINE")
        assert (await socket.closed())[0] == 4403


async def test_a_moment_of_ones_own(server):
    """Only tokens issued before the given moment are revoked, and connections of later ones stay."""
    moment = format_moment(Moment(server.clock() - 600 * SECOND))
    before, after = (token_of(server, "anna", issued_after=-ago) for ago in (660, 540))
    async with Socket.open(server, before) as old, Socket.open(server, after) as young:
        assert await revoke(server, "anna", issued_before=moment) == 1
        assert (await old.closed())[0] == 4403
        await young.barrier()
        await is_refused(server, before)


async def test_a_school_s_administrator_reaches_its_own_school(server):
    """Who administers one school ends connections of tokens that name it, and neither other schools' nor everyone's."""
    async with (
        Socket.open(server, token_of(server, "anna", "1", "2")) as both,
        Socket.open(server, token_of(server, "anna", "2")) as other,
        Socket.open(server, token_of(server, "anna", "*")) as everywhere,
    ):
        assert await revoke(server, "anna", "1") == 1
        assert (await both.closed())[0] == 4403
        for socket in (other, everywhere):
            await socket.barrier()


async def test_who_is_out_of_reach_looks_like_who_is_unknown(server):
    """For a subject of another school, of every school, or of none an administrator gets 0, and ends nothing."""
    async with (
        Socket.open(server, token_of(server, "anna", "2")) as other,
        Socket.open(server, token_of(server, "bert", "*")) as everywhere,
    ):
        assert [await revoke(server, subject, "1") for subject in ("anna", "bert", "nobody")] == [0, 0, 0]
        for socket in (other, everywhere):
            await socket.barrier()


async def test_a_revocation_too_many_is_refused_and_counted(server, monkeypatch):
    """The administrator of a school that has revoked its share is told, and the refusal is counted."""
    monkeypatch.setattr(revocation_log, "REVOCATIONS_OF_A_SCHOOL", 1)
    await revoke(server, "anna", "1")
    with pytest.raises(GraphQLError, match="at most 1 revocations for one school") as refused:
        await revoke(server, "bert", "1")
    assert refused.value.code == "LIMIT_EXCEEDED"
    await revoke(server, "bert", "2")
    assert server.services.statistics().refusals["revocations"] == 1


async def test_revoking_needs_devices_admin(server):
    """Without the scope devices:admin it is FORBIDDEN, and changes nothing."""
    token = token_of(server, "anna")
    with pytest.raises(GraphQLError) as refused:
        await post(server, REVOKE, token, subject="anna")
    assert refused.value.code == "FORBIDDEN"
    await post(server, "{ viewer { id } }", token)


async def test_connections_that_go_are_watched_no_more(server):
    """However a connection ends, nobody watches for its revocation after it."""
    token = token_of(server, "anna")
    async with Socket.open(server, token), plain_socket(server, token), Stream.open(server, EVENTS, token, *SSE):
        await server.until(lambda services: services.statistics().revoking.known.watched == 3)
    await server.until(lambda services: services.statistics().revoking.known.watched == 0)
