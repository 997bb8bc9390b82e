"""A school as the database holds it, read by SQL and by nothing of the service."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import sqlalchemy as sa

from tests.devices.conftest import plain_engine

_ENTRIES = sa.text(
    "SELECT version, device_id, status, previous_status, timestamp FROM change"
    " WHERE school_id = :school ORDER BY version"
)
_DEVICES = sa.text("SELECT device_id, status FROM device WHERE school_id = :school")
_SCHOOL = sa.text("SELECT head, floor FROM school WHERE school_id = :school")


@dataclass(frozen=True)
class Entry:
    """A change: of the log, or as an event told of it."""

    version: int
    device_id: str
    status: str
    previous: str | None
    timestamp: int


@dataclass(frozen=True)
class History:
    """The log from its floor to its head, and the devices as they stand."""

    entries: list[Entry]
    statuses: dict[str, str]
    head: int
    floor: int

    @property
    def listed(self) -> dict[str, str]:
        """All but the retired."""
        return {device: status for device, status in self.statuses.items() if status != "RETIRED"}

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(self.listed.values()))

    def statuses_at(self, version: int) -> dict[str, str]:
        """The devices as they stood at a version: the present, undone change by change."""
        statuses = dict(self.statuses)
        for entry in reversed(self.entries):
            if entry.version <= version:
                break
            if entry.previous is None:
                del statuses[entry.device_id]
            else:
                statuses[entry.device_id] = entry.previous
        return statuses


async def read_history(url: str, school: str) -> History:
    """One moment of a school."""
    return await asyncio.to_thread(_read, url, school)


def _read(url: str, school: str) -> History:
    with plain_engine(url) as engine, engine.connect() as opened:
        connection = opened.execution_options(isolation_level="SERIALIZABLE")
        wanted = {"school": school}
        entries = [Entry(*row) for row in connection.execute(_ENTRIES, wanted)]
        statuses = {device: status for device, status in connection.execute(_DEVICES, wanted)}  # noqa: C416 - rows
        head, floor = connection.execute(_SCHOOL, wanted).one_or_none() or (0, 1)
    return History(entries, statuses, head, floor)
