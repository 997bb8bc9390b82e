"""A store that says what a test lets it say: swapped, restored, away, failing, slow."""

import asyncio
import itertools

from graphql_api.devices.model import Change, Head, Position, Round, Snapshot, Status
from graphql_api.errors import Unavailable
from graphql_api.moment import Moment


class ScriptedStore:
    """Stands in for the Store of one school; what a call reads is what holds when it is made."""

    def __init__(self, school="s"):
        self.school = school
        self.epoch = "epoch 0"
        """As the calls have told it."""
        self.true_epoch = self.epoch
        self.log = []
        self.away = False
        self.held = None
        """Calls that have read, and whose answers are on their way, while answers are held back."""
        self._moments = itertools.count(1)
        self._epochs = itertools.count(1)

    def record(self, size):
        """Append a round of changes."""
        before = self.head.timestamp
        moment = Moment(next(self._moments))
        first = len(self.log) + 1
        changes = tuple(
            Change(self.school, version, f"d{version}", Status.ONLINE, None, moment, moment, moment)
            for version in range(first, first + size)
        )
        self.log += changes
        return Round(self.school, changes, moment, before)

    @property
    def head(self):
        return Head(self.log[-1].version, self.log[-1].timestamp) if self.log else Head()

    def restore(self, length):
        """Be again as a backup has it, taken when the log was this long."""
        del self.log[length:]

    def swap(self, length):
        """Be another database, whose log is this long."""
        self.true_epoch = f"epoch {next(self._epochs)}"
        self.log = []
        for _ in range(length):
            self.record(1)

    def hold(self):
        """Hold back the answers from now on."""
        self.held = self.held or asyncio.Event()

    def release(self):
        """Let all answers go."""
        if self.held:
            self.held.set()
            self.held = None

    async def heads(self, schools):
        return await self._answer({self.school: self.head} if self.log and self.school in schools else {})

    async def changes(self, school, *, after, limit):
        page = [change for change in self.log[after : after + limit] if school == self.school]
        return await self._answer(page, tells_epoch=False)

    async def snapshot(self, _school, _wanted):
        return await self._answer(Snapshot(self.head, tuple(change.device for change in self.log)))

    async def position(self, _school, version):
        held = 0 < version <= len(self.log)
        return await self._answer(Position(len(self.log), 1, self.log[version - 1].timestamp if held else None))

    async def _answer(self, answer, *, tells_epoch=True):
        if self.away:
            raise Unavailable("away")
        epoch = self.true_epoch
        if self.held:
            await self.held.wait()
        if tells_epoch:
            self.epoch = epoch
        return answer
