"""The recipes at work: those in JavaScript as programs of their own, those in Python as tasks."""

import asyncio
import contextlib
import functools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.python import event_source, gql_client, plain
from tests.clients.screen import Login, Screen
from tests.faults.publisher import Publisher
from tests.wire.clients import http_client, post

JAVASCRIPT = Path(__file__).parent / "javascript"

EVENTS = "subscription { deviceStatus { kind deviceId status previousStatus cursor } }"
STATE = "subscription { devices { reset changed { id deviceId status } removed complete } }"
LIST = "{ devices(first: 100) { edges { node { deviceId status } } cursor } }"


@dataclass(frozen=True)
class Recipe:
    """One way to watch."""

    name: str
    run: Callable[[Any, Screen], Awaitable[None]]
    connections: int
    """How many it has at a time, each with a token of its own."""
    first_tokens: int
    """How many tokens it asks for to begin with."""
    subscriptions: int = 2
    """Events and state; the plain dialect has no state."""
    tells_closes: bool = False
    """Whether the close codes of its sockets are seen."""

    def __str__(self) -> str:
        return self.name

    @property
    def has_state(self) -> bool:
        return self.subscriptions > 1

    def tokens_after(self, expiries: int) -> int:
        """How many tokens it has asked for once each connection came back so often."""
        return self.first_tokens + expiries * self.connections


@contextlib.asynccontextmanager
async def watching(recipes: Sequence[Recipe], server, publisher: Publisher) -> AsyncIterator[dict[Recipe, Screen]]:
    """Have recipes run meanwhile; what each of them shows."""

    async def run(recipe: Recipe, screen: Screen) -> None:
        await recipe.run(server, screen)
        raise AssertionError(f"{recipe} has ended by itself")

    screens = {recipe: Screen(recipe.name, Login(server, publisher), recipe.first_tokens) for recipe in recipes}
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run(*item)) for item in screens.items()]
        yield screens
        for task in running:
            task.cancel()


async def _run_node(files: Sequence[str], server, screen: Screen) -> None:
    *first, last = files
    process = await asyncio.create_subprocess_exec(
        "node",
        *(f"--import={JAVASCRIPT / file}" for file in first),
        JAVASCRIPT / last,
        env={**os.environ, "ADDRESS": server.http},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            while line := await process.stdout.readline():
                message = json.loads(line)
                if message.get("asks") == "token":
                    tasks.create_task(_answer(process.stdin, screen))
                else:
                    _show(message, screen)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _answer(stdin: asyncio.StreamWriter, screen: Screen) -> None:
    stdin.write(json.dumps({"token": await screen.token()}).encode() + b"\n")


def _show(message: dict[str, Any], screen: Screen) -> None:
    if "event" in message:
        screen.take_event(message["event"])
    elif "statuses" in message:
        screen.take_statuses(message["statuses"], reset=message["reset"])
    elif "closed" in message:
        screen.closed.append(tuple(message["closed"]))
    elif "renewed" in message:
        screen.renewals += 1
    else:
        screen.ended.append(message["ended"])
    screen.move()


class _Devices:
    """What the subscription ``devices`` tells, folded."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._devices: dict[str, dict[str, str]] = {}

    def take(self, update: dict[str, Any]) -> None:
        if update["reset"]:
            self._devices.clear()
        self._devices |= {device["id"]: device for device in update["changed"]}
        for gone in update["removed"]:
            del self._devices[gone]
        statuses = {device["deviceId"]: device["status"] for device in self._devices.values()}
        self._screen.take_statuses(statuses, reset=update["reset"])


async def _run_gql(server, screen: Screen) -> None:
    devices = _Devices(screen)
    watch = functools.partial(gql_client.watch, server.ws, screen.token)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(EVENTS, lambda data: screen.take_event(data["deviceStatus"])))
        tasks.create_task(watch(STATE, lambda data: devices.take(data["devices"])))


async def _run_event_source(server, screen: Screen) -> None:
    devices = _Devices(screen)
    async with http_client() as client, asyncio.TaskGroup() as tasks:
        watch = functools.partial(event_source.watch, client, server.http, screen.token)
        tasks.create_task(watch(EVENTS, lambda result: screen.take_event(result["data"]["deviceStatus"])))
        tasks.create_task(watch(STATE, lambda result: devices.take(result["data"]["devices"])))


async def _run_plain(server, screen: Screen) -> None:
    page = (await post(server, LIST, await screen.token()))["devices"]
    known = {edge["node"]["deviceId"]: edge["node"]["status"] for edge in page["edges"]}

    def take(message: dict[str, Any]) -> None:
        # The dialect does not tell the status before: the reader of a stream without holes knows it.
        device, status = message["device_id"], message["status"]
        event = {"deviceId": device, "status": status, "previousStatus": known.get(device), "cursor": message["cursor"]}
        screen.take_event({"kind": "SNAPSHOT" if message.get("snapshot") else "CHANGE", **event})
        known[device] = status

    await plain.watch(server.plain, screen.token, take, page["cursor"])


GRAPHQL_WS = Recipe("graphql-ws", functools.partial(_run_node, ["graphql-ws.js"]), 1, 1, tells_closes=True)
RENEWING = Recipe("renewing", functools.partial(_run_node, ["renewal.js", "graphql-ws.js"]), 1, 1, tells_closes=True)
IN_JAVASCRIPT = [
    GRAPHQL_WS,
    Recipe("Apollo Client", functools.partial(_run_node, ["apollo.js"]), 1, 1, tells_closes=True),
    Recipe("graphql-sse", functools.partial(_run_node, ["graphql-sse.js"]), 2, 3),
]
IN_PYTHON = [
    Recipe("gql", _run_gql, 2, 2),
    Recipe("event source", _run_event_source, 2, 2),
    Recipe("plain", _run_plain, 1, 2, subscriptions=1),
]
