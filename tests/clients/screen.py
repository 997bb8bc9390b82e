"""What somebody sees who uses a client, and the login that gives the client its tokens."""

from typing import Any

from graphql_api.devices.cursor import Cursor
from tests.faults.history import Entry, History
from tests.faults.publisher import Publisher
from tests.faults.waiting import Moving

LIFETIME = 60
"""Seconds that a token lives."""
PAUSE = 0.05
"""Seconds between two rounds: some twenty a second."""
AWAY = 3
"""Rounds that are recorded while a client that has come back waits for its token."""


class Login:
    """Gives a fresh token to whoever asks; to those who ask again, after some rounds that they can't have seen."""

    def __init__(self, server, publisher: Publisher) -> None:
        self.lifetime = LIFETIME
        self._server = server
        self._publisher = publisher

    async def token(self, *, is_back: bool) -> str:
        if is_back:
            await self._publisher.advance(AWAY)
        return self._server.token("1", scopes=["devices:read"], ttl=self.lifetime)


class Screen(Moving):
    """The events and the state that one client shows.

    Args:
        name: of the client.
        login: where its tokens come from.
        first_tokens: how many it asks for before any has expired.
    """

    def __init__(self, name: str, login: Login, first_tokens: int) -> None:
        super().__init__()
        self.events: list[Entry] = []
        self.kinds: set[str] = set()
        self.statuses: dict[str, str] = {}
        self.updates = 0
        """How often the state moved."""
        self.resets = 0
        """How often the list of devices began anew."""
        self.asked = 0
        """How often the client wanted a token."""
        self.renewals = 0
        """How often a token was renewed in place."""
        self.closed: list[tuple[int, str]] = []
        """How each of its sockets ended, where that is seen."""
        self.ended: list[str] = []
        """What ended for good."""
        self.login = login
        self._name = name
        self._first_tokens = first_tokens

    def __repr__(self) -> str:
        last = self.events[-1] if self.events else None
        seen = f"{len(self.events)} events to {last}, {len(self.statuses)} devices, {self.asked} tokens"
        return f"<{self._name}: {seen}, closed {self.closed}, ended {self.ended}>"

    async def token(self) -> str:
        """What the client is given as its current token."""
        self.asked += 1
        self.move()
        return await self.login.token(is_back=self.asked > self._first_tokens)

    def take_event(self, event: dict[str, Any]) -> None:
        cursor = Cursor.decode(event["cursor"])
        self.kinds.add(event["kind"])
        self.events.append(
            Entry(cursor.version, event["deviceId"], event["status"], event["previousStatus"], cursor.timestamp)
        )
        self.move()

    def take_statuses(self, statuses: dict[str, str], *, reset: bool) -> None:
        self.statuses = statuses
        self.updates += 1
        self.resets += reset
        self.move()

    async def until_served(self, *, with_state: bool) -> None:
        """Wait for an event, and for an update of the state."""
        events, updates = len(self.events), self.updates
        await self.until(lambda: len(self.events) > events and (self.updates > updates or not with_state))

    async def until_level_with(self, history: History, *, with_state: bool) -> None:
        """Wait until the last change is shown."""
        await self.until(lambda: bool(self.events) and self.events[-1].version >= history.head)
        if with_state:
            await self.until(lambda: self.statuses == history.statuses)

    def check(self, history: History) -> None:
        """From the first event on, every change once, in order, as the log has it."""
        first = self.events[0].version
        assert self.events == [entry for entry in history.entries if entry.version >= first]
        assert self.kinds == {"CHANGE"}
        assert self.ended == []
