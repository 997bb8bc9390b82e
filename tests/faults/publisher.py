"""A health checker that gives no round up: it repeats what was not confirmed, as its observedAt allows."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import httpx

from tests.faults.history import History
from tests.faults.waiting import DEADLINE, Moving
from tests.wire.clients import PUBLISH, http_client

STATUSES = ["ONLINE", "DEGRADED", "OFFLINE", "MAINTENANCE"]


class Serving(Protocol):
    """Where rounds can be sent to."""

    @property
    def http(self) -> str: ...


class Publisher(Moving):
    """Publishes for one school, to its instances in turn, one round after the other."""

    def __init__(self, instances: Sequence[Serving], school: str, token: str, *, devices: int = 20) -> None:
        super().__init__()
        self.instances = list(instances)
        self.rounds = 0
        """Those confirmed."""
        self.unavailable = 0
        """Answers of UNAVAILABLE."""
        self.expected: list[tuple[str, str]] = []
        """The changes that the rounds make: device and status."""
        self._school = school
        self._headers = {"authorization": f"Bearer {token}"}
        self._devices = [f"device-{number:03}" for number in range(devices)]
        self._known: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<publisher: {self.rounds} rounds, {self.unavailable} times UNAVAILABLE>"

    @contextlib.asynccontextmanager
    async def publishing(self, pause: float = 0) -> AsyncIterator[None]:
        """Publish round after round, with so many seconds between two; at the end, the last one has been confirmed."""
        ending = asyncio.Event()

        async def publish() -> None:
            while not ending.is_set():
                await self.publish(self.some_statuses())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ending.wait(), pause)

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(publish())
            try:
                yield
            except BaseException:
                task.cancel()
                raise
            ending.set()

    async def advance(self, rounds: int) -> None:
        """Wait until so many more rounds have been confirmed."""
        wanted = self.rounds + rounds
        await self.until(lambda: self.rounds >= wanted)

    def some_statuses(self) -> dict[str, str]:
        """A round about some of the devices, most of which have changed."""
        devices = random.sample(self._devices, random.randint(1, len(self._devices)))
        return {device: random.choice(STATUSES) for device in devices}

    def other_statuses(self) -> dict[str, str]:
        """A round in which each device has changed."""
        return {
            device: random.choice([status for status in STATUSES if status != self._known.get(device)])
            for device in self._devices
        }

    def retire(self) -> str:
        """A device that is reported no more."""
        return self._devices.pop()

    async def publish(self, statuses: dict[str, str]) -> dict[str, Any]:
        """One round, repeated until it is confirmed."""
        observed = datetime.now(UTC).isoformat()
        inputs = [{"deviceId": device, "status": status, "observedAt": observed} for device, status in statuses.items()]
        async with asyncio.timeout(DEADLINE), http_client() as client:
            while (result := await self._try(client, inputs)) is None:  # noqa: ASYNC110 - as a health checker does
                await asyncio.sleep(0.05)
        self.expected += [(device, status) for device, status in statuses.items() if self._known.get(device) != status]
        self._known |= statuses
        self.rounds += 1
        self.move()
        return result

    async def _try(self, client: httpx.AsyncClient, inputs: list[dict[str, str]]) -> dict[str, Any] | None:
        self.instances.append(self.instances.pop(0))
        body = {"query": PUBLISH, "variables": {"inputs": inputs, "schoolId": self._school}}
        try:
            response = await client.post(self.instances[-1].http, json=body, headers=self._headers)
        except httpx.TransportError:
            # That instance is gone; whether it recorded the round is not known.
            return None
        answer = response.json()
        if not answer.get("errors"):
            return answer["data"]["publishDeviceStatuses"]
        assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE", answer
        self.unavailable += 1
        return None

    def check(self, history: History) -> None:
        """The log holds what was published, all of it, once, in order: nothing half recorded, nothing twice."""
        assert [(entry.device_id, entry.status) for entry in history.entries] == self.expected
        assert [entry.version for entry in history.entries] == list(range(1, history.head + 1))
        assert history.statuses == self._known
