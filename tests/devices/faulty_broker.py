"""A broker in memory whose first connections have a fault."""

import asyncio

from broadcaster._backends.memory import MemoryBackend


class FaultyBroker:
    """Stands in for a shared Broker; each kind of fault is that of so many connections, counted from the first."""

    shared = True
    message_limit = None

    def __init__(self, **faults):
        self.hanging = asyncio.Event()
        self.let_go = asyncio.Event()
        self._faults = faults

    def make(self):
        faults = {name for name, count in self._faults.items() if count}
        for name in faults:
            self._faults[name] -= 1
        return FaultyBackend(self, faults)


class FaultyBackend(MemoryBackend):
    def __init__(self, broker, faults):
        super().__init__("memory://")
        self._broker = broker
        self._faults = faults

    async def subscribe(self, channel):
        if "closed" in self._faults:
            raise ConnectionError("closed")
        if "hang" in self._faults:
            self._broker.hanging.set()
            await self._broker.let_go.wait()
        await super().subscribe(channel)

    async def publish(self, channel, message):
        if "refuse" in self._faults:
            raise ConnectionError("refused")
        if "mute" in self._faults:
            await self._broker.let_go.wait()
        if "deaf" not in self._faults:
            await super().publish(channel, message)


def faulty(*, deaf=0, refuse=0, closed=0, hang=0, mute=0):
    return FaultyBroker(deaf=deaf, refuse=refuse, closed=closed, hang=hang, mute=mute)
