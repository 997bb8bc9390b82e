"""Revoking tokens: recorded in the store, in force in every process within two seconds."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from graphql_api.access.principal import DEVICES_ADMIN, EVERY_SCHOOL, Visibility, require_scope
from graphql_api.access.revocations import Revocation, Revocations, RevocationsStatistics
from graphql_api.devices.revocation_log import Place
from graphql_api.devices.store import Store
from graphql_api.errors import BadUserInput, ServiceError
from graphql_api.moment import DAY, MINUTE, Clock, Moment, format_moment

__all__ = ["LONGEST_SUBJECT", "POLL_INTERVAL", "Revoking", "RevokingStatistics"]

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.8
"""Seconds between two looks for revocations of other processes: with a slow answer still within two seconds."""

LONGEST_SUBJECT = 512
"""Characters of a subject whose tokens can be revoked. OpenID Connect Core, section 2, allows subjects of 255."""

# Seconds between two prunings.
_PRUNE_INTERVAL = 600.0


@dataclass(frozen=True, slots=True)
class RevokingStatistics:
    """How revoking is doing in this process."""

    known: RevocationsStatistics
    failures: int
    """Looks into the store that failed, since the start."""
    failing: bool
    """The last look failed: what is known stays in force, what other processes revoke is not heard of."""


@dataclass(eq=False, slots=True)
class _Call:
    """A revocation that is being recorded."""

    subject: str
    ended: int = 0


class Revoking:
    """Revokes, and reads what others revoke: an async context manager that owns the task which does.

    Entering reads everything that is stored, so that no token is accepted that was revoked before a restart. What is
    known stays in force whatever becomes of the store.

    Args:
        store: holds what is revoked.
        revocations: is told of it.
        max_lifetime: days that a token may live; revocations of so long ago are pruned. None: they are kept.
        clock: tells what is that long ago.
        sleep: waits between two looks, in seconds.
    """

    def __init__(
        self,
        *,
        store: Store,
        revocations: Revocations,
        max_lifetime: float | None,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._revocations = revocations
        self._max_lifetime = None if max_lifetime is None else int(max_lifetime * DAY)
        self._clock = clock
        self._sleep = sleep
        self._calls: set[_Call] = set()
        self._place: Place | None = None
        self._failures = 0
        self._failing = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Read what is stored, and go on reading.

        Raises:
            Unavailable: the store can't be reached.
        """
        await self._read()
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(tasks.create_task(self._poll(), name="revocations").cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def revoke(self, visibility: Visibility, subject: str, issued_before: Moment | None) -> int:
        """Refuse a subject's tokens issued before a moment (default: now), those that don't say when they were too.

        Whoever's token allows every school reaches all tokens of the subject; others those that name one of their
        schools. Returns how many open connections of this process ended for it; in other processes they end
        within two seconds.

        Raises:
            Forbidden: the scope ``devices:admin`` is missing.
            BadUserInput: the subject is none, or the moment is more than a minute ahead.
            LimitExceeded: too many revocations are stored.
            Unavailable: the store can't be reached; it may have been recorded. Repeating it does no harm.
        """
        require_scope(visibility, DEVICES_ADMIN)
        now = self._clock()
        _check_subject(subject)
        moment = now if issued_before is None else issued_before
        if moment > now + MINUTE:
            raise BadUserInput(
                f"Expected issuedBefore to be at most a minute ahead of the service's clock ({format_moment(now)}), but"
                f" got {format_moment(moment)}. Nothing was revoked."
            )
        schools = [EVERY_SCHOOL] if visibility.all_schools else sorted(visibility.schools)
        call = _Call(subject)
        self._calls.add(call)
        try:
            self._put_in_force(await self._store.revoke(subject, schools, moment))
        finally:
            self._calls.discard(call)
        return call.ended

    def statistics(self) -> RevokingStatistics:
        """A snapshot of the counts."""
        return RevokingStatistics(self._revocations.statistics(), self._failures, self._failing)

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        pruned_at = -float("inf")
        while True:
            try:
                if loop.time() - pruned_at > _PRUNE_INTERVAL:
                    await self._prune()
                    pruned_at = loop.time()
                await self._read()
            except Exception as error:  # noqa: BLE001 - the task must neither die unseen nor take the service along
                self._fail(error)
            await self._sleep(POLL_INTERVAL * random.uniform(0.9, 1.0))  # noqa: S311 - jitter, no secret

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        if not isinstance(error, ServiceError):
            logger.error("Revocations could not be read, and will be again.", exc_info=error)
        elif not self._failing:
            logger.warning("Revocations can't be read now; those that are known stay in force: %s", error)
        self._failing = True

    async def _read(self) -> None:
        revoked = await self._store.revoked_after(self._place)
        self._place = revoked.place
        self._failing = False
        self._put_in_force(revoked.revocations)

    def _put_in_force(self, revocations: Sequence[Revocation]) -> None:
        """Whoever comes first ends the connections: the call that has recorded it, or the task that reads it."""
        for revocation in revocations:
            ended = self._revocations.add([revocation])
            for call in self._calls:
                if call.subject == revocation.subject:
                    call.ended += ended

    async def _prune(self) -> None:
        """Forget what is about tokens that have all expired.

        A token that was issued before a moment expires at most the longest lifetime after it.
        """
        if self._max_lifetime is None:
            return
        horizon = Moment(self._clock() - self._max_lifetime)
        await self._store.prune_revocations(horizon)
        self._revocations.forget(horizon)


def _check_subject(subject: str) -> None:
    if not 1 <= len(subject) <= LONGEST_SUBJECT:
        raise BadUserInput(f"Expected subject to have 1 to {LONGEST_SUBJECT} characters, but it has {len(subject)}.")
    # What the store's text can't hold.
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in subject):
        raise BadUserInput("Expected subject to be text without U+0000 and halves of surrogate pairs.")
