"""A broker that loses, repeats, reorders and delays: a backend for the broadcaster library, and what several share."""

import asyncio
import random
from collections import Counter

from broadcaster._backends.base import BroadcastBackend
from broadcaster._base import Event

from graphql_api.devices.news.brokers import Broker

FAULTS = ["lost", "repeated", "reordered", "delayed"]
LONGEST_DELAY = 0.3


class Ether:
    """What carries messages between the backends of several processes, each of which has its own faults."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        """How often each has happened."""
        self._backends: set[UnreliableBackend] = set()

    def broker(self, url: str = "") -> Broker:
        """For a service that is to be connected with the others."""
        return Broker(lambda: UnreliableBackend(self), shared=True)

    def join(self, backend: "UnreliableBackend") -> None:
        self._backends.add(backend)

    def leave(self, backend: "UnreliableBackend") -> None:
        self._backends.discard(backend)

    def carry(self, event: Event) -> None:
        for backend in self._backends:
            fault = random.choice([*FAULTS, "none"])
            self.faults[fault] += 1
            backend.deliver(event, fault)


class UnreliableBackend(BroadcastBackend):
    """One process's end of it."""

    def __init__(self, ether: Ether) -> None:
        self._ether = ether
        self._channels: set[str] = set()
        self._arrived: asyncio.Queue[Event] = asyncio.Queue()
        self._held: list[Event] = []

    async def connect(self) -> None:
        self._ether.join(self)

    async def disconnect(self) -> None:
        self._ether.leave(self)

    async def subscribe(self, channel: str) -> None:
        self._channels.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        self._channels.discard(channel)

    async def publish(self, channel: str, message: str) -> None:
        self._ether.carry(Event(channel, message))

    async def next_published(self) -> Event:
        while (event := await self._arrived.get()).channel not in self._channels:
            pass
        return event

    def deliver(self, event: Event, fault: str) -> None:
        """Have it arrive, as the fault has it."""
        arrive = self._arrived.put_nowait
        match fault:
            case "lost":
                return
            case "delayed":
                asyncio.get_running_loop().call_later(random.uniform(0, LONGEST_DELAY), arrive, event)
                return
            case "reordered":
                # Behind one that comes later, and those held before in turn.
                self._held.append(event)
                return
            case "repeated":
                arrive(event)
        arrive(event)
        while self._held:
            arrive(self._held.pop())
