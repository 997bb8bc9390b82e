"""Fuzzing: whatever a client sends, the service answers by the book, logs no error, keeps nothing, and serves others.

``make fuzz`` goes on until something is found. FUZZ_CONVERSATIONS says how many are held on each send path.
"""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_api.settings import Settings
from tests.fuzz.conversations import INITS, Conversation, Step, conversations
from tests.fuzz.peer import Peer
from tests.fuzz.witness import Witness
from tests.wire.conftest import SendPath, Server, serve, serving_over

pytestmark = pytest.mark.anyio

# On each of the two send paths.
CONVERSATIONS = int(os.environ.get("FUZZ_CONVERSATIONS", "1000"))
AT_ONCE = 4
# What a conversation must not leave behind; results that are remembered have a bound of their own.
KEPT = ("graphql_api.delivery", "graphql_api.access", "uvicorn", "starlette", "fastapi", "websockets", "_asyncio")
FUZZED = settings(max_examples=CONVERSATIONS // AT_ONCE, suppress_health_check=list(HealthCheck))
REMEMBERED = "graphql_api.delivery.frames"


class ErrorLog(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


class Ring:
    """Where the fuzzer meets the service. No data class: a failing example would print it whole."""

    def __init__(self, server: Server, witness: Witness, errors: ErrorLog, tokens: dict[str, str]) -> None:
        self.server = server
        self.witness = witness
        self.errors = errors
        self.tokens = tokens
        self.ends: Counter[str] = Counter()

    def known(self) -> dict[str, str]:
        first, last = self.witness.cursors
        return {**self.tokens, "old": first, "cursor": last}

    async def settled(self) -> None:
        """Wait until everything that the conversation asked for has been done."""
        while any(task.get_name() in ("operation", "opening a group") for task in asyncio.all_tasks()):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)

    async def only_the_witness_is_left(self) -> None:
        """Wait until the service counts one client with one subscription."""
        async with asyncio.timeout(20):
            while True:
                statistics = self.server.services.statistics()
                counts = (*astuple(statistics.delivery), statistics.sharing.groups, statistics.sharing.subscribers)
                if sorted(counts) == [0, 0, 0, 1, 1, 1, 1]:
                    return
                await asyncio.sleep(0.001)


def objects() -> Counter[str]:
    """How many objects of each type there are of those that connections are made of."""
    gc.collect()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())
    return Counter(name for name in names if name.startswith(KEPT) and not name.startswith(REMEMBERED))


@contextlib.asynccontextmanager
async def open_ring(path: SendPath, database: Path) -> AsyncIterator[Ring]:
    """Start a server and the witness; at the end, see that nothing has been left."""
    secret = secrets.token_urlsafe(48)
    errors = ErrorLog()
    logging.getLogger().addHandler(errors)
    with serving_over(path):
        async with serve(Settings(jwt_secret=secret, database_url=f"sqlite:///{database}"), secret) as server:
            server.clock.ahead = -10_000_000_000
            expired = server.token(ttl=1)
            server.clock.ahead = 0
            tokens = {
                "all": server.token("1"),
                "reader": server.token("1", scopes=["devices:read"]),
                "other": server.token("2", "3"),
                "expired": expired,
            }
            async with Witness.watching(server) as witness:
                ring = Ring(server, witness, errors, tokens)
                await hold(ring, Conversation([Step(INITS[0])]))
                before = objects()
                yield ring
                await ring.only_the_witness_is_left()
                more = objects() - before
    logging.getLogger().removeHandler(errors)
    assert errors.records == []
    # What is still waiting for its timer at the last moment, but nothing for each conversation.
    assert sum(more.values()) < 50, more


async def hold(ring: Ring, conversation: Conversation) -> None:
    """Hold one conversation, from the handshake to the end of the connection."""
    peer = await Peer.connect(ring.server.port, may_be_echoed=conversation.may_close)
    await peer.send(conversation.render(ring.known()))
    if conversation.is_aligned:
        alive = await peer.is_alive(by_message=conversation.is_text)
        ring.ends["alive" if alive else "closed"] += 1
        if alive:
            await ring.settled()
            await peer.is_alive(by_message=conversation.is_text)
    else:
        ring.ends["out of step"] += 1
    await peer.leave(conversation.farewell)


async def hold_all(ring: Ring, held: tuple[Conversation, ...]) -> None:
    """Hold these at once, and see that the service is as it was."""
    async with asyncio.TaskGroup() as tasks:
        for conversation in held:
            tasks.create_task(hold(ring, conversation))
    await ring.only_the_witness_is_left()
    await ring.witness.sees_one_more()
    assert ring.errors.records == []


@pytest.fixture
async def ring(tmp_path_factory, anyio_backend) -> AsyncIterator[Ring]:
    async with open_ring(SendPath.EXTENSION, tmp_path_factory.mktemp("fuzz") / "devices.db") as opened:
        yield opened


@pytest.fixture
async def plain_ring(tmp_path_factory, anyio_backend) -> AsyncIterator[Ring]:
    async with open_ring(SendPath.ASGI, tmp_path_factory.mktemp("fuzz") / "devices.db") as opened:
        yield opened


@pytest.mark.timeout(0)
@FUZZED
@given(held=st.tuples(*[conversations(frames=True)] * AT_ONCE))
async def test_no_conversation_breaks_the_service(ring, held):
    """Messages and frames gone wrong end by the book, log no error, leave nothing, disturb nobody (G-18, G-21)."""
    await hold_all(ring, held)


@pytest.mark.timeout(0)
@FUZZED
@given(held=st.tuples(*[conversations(frames=False)] * AT_ONCE))
async def test_no_messages_break_the_service_on_another_server(plain_ring, held):
    """Over ASGI's own send the same holds for all messages; frames are the other server's business (G-18, G-21)."""
    await hold_all(plain_ring, held)
