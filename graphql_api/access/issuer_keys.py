"""The keys of an issuer that publishes them: fetched in the background, and again before they are needed."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Self

import httpx

from graphql_api.access.key_set import KEY_SET_LIMIT, KeySet, parse_key_set
from graphql_api.access.keys import KeyMaterial

__all__ = ["FETCH_TIMEOUT", "REFRESH_PAUSE", "IssuerKeys", "IssuerKeysStatistics", "open_fetch"]

logger = logging.getLogger(__name__)

FETCH_TIMEOUT = 5.0
"""Seconds that a fetch may take, from the name's look-up to the last byte."""

REFRESH_PAUSE = 15.0
"""Seconds after a fetch before a token with an unknown key causes another one: anybody can make up key ids."""

# Seconds before a failed fetch is repeated: doubled each time up to the longest, and jittered.
_FIRST_RETRY = 1.0
_LONGEST_RETRY = 60.0

Fetch = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class IssuerKeysStatistics:
    """How the issuer's keys are doing."""

    keys: int
    """Keys that tokens are verified with; 0 until they were fetched, and when they have become too old."""
    skipped: int
    """Keys of the set that serve no algorithm here."""
    fetches: int
    """Fetches begun, since the start."""
    failures: int
    """Fetches that failed, since the start."""
    age: float | None
    """Seconds since the keys were last fetched; None: never."""
    failing: bool
    """The last fetch failed: the keys are those of an earlier one, if any."""


class IssuerKeys:
    """One key set: an async context manager whose one task does all fetching, so that there is never more than one.

    Entering waits for the first fetch, and goes on without keys when it fails. From then on the keys are fetched every
    ``refresh_interval``, and for a token whose key is not known. While that fails the keys of before serve, up to
    ``stale_limit``; a set without a usable key counts as a failure.

    Args:
        fetch: gets the document; what it raises is a failure.
        refresh_interval: seconds between two fetches.
        stale_limit: seconds after the last success when the keys are given up.
        refresh_pause: seconds between a fetch and one that a token causes.
    """

    def __init__(
        self, fetch: Fetch, *, refresh_interval: float, stale_limit: float, refresh_pause: float = REFRESH_PAUSE
    ) -> None:
        self.version = 0
        """Another one as soon as the keys are others."""
        self._fetch = fetch
        self._refresh_interval = refresh_interval
        self._stale_limit = stale_limit
        self._refresh_pause = refresh_pause
        self._set = KeySet()
        self._fetched_at: float | None = None
        self._tried_at = -float("inf")
        self._fetches = self._failures = 0
        self._failing = False
        self._wanted = asyncio.Event()
        # Set while no fetch is under way, or about to be.
        self._idle = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(tasks.create_task(self._run(), name="issuer's keys").cancel)
            await self._idle.wait()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def materials(self, algorithm: str, key_id: str | None) -> Sequence[KeyMaterial]:
        """The keys that a token may be signed with, which names its key or doesn't."""
        return [
            key.material
            for key in self._set.keys
            if key.algorithm == algorithm and (key_id is None or key.key_id in (None, key_id))
        ]

    def names(self, key_id: str | None) -> bool:
        """Whether the set has a key of that name."""
        return key_id is not None and any(key.key_id == key_id for key in self._set.keys)

    async def refresh(self) -> None:
        """Wait until the keys have been fetched once more, or could not be; returns at once when they just were.

        However many callers wait, it is one fetch. Cancelling one of them disturbs nobody.
        """
        if self._idle.is_set():
            if asyncio.get_running_loop().time() - self._tried_at < self._refresh_pause:
                return
            self._idle.clear()
            self._wanted.set()
        await self._idle.wait()

    def statistics(self) -> IssuerKeysStatistics:
        """A snapshot of the counts."""
        return IssuerKeysStatistics(
            keys=len(self._set.keys),
            skipped=self._set.skipped,
            fetches=self._fetches,
            failures=self._failures,
            age=self._age(),
            failing=self._failing,
        )

    def _age(self) -> float | None:
        return None if self._fetched_at is None else asyncio.get_running_loop().time() - self._fetched_at

    async def _run(self) -> None:
        retry = _FIRST_RETRY
        while True:
            pause = self._refresh_interval
            if await self._update():
                retry = _FIRST_RETRY
            else:
                pause = min(retry, self._refresh_interval)
                retry = min(2 * retry, _LONGEST_RETRY)
            self._tried_at = asyncio.get_running_loop().time()
            self._wanted.clear()
            self._idle.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.8, 1.0)):  # noqa: S311 - jitter, no secret
                    await self._wanted.wait()
            self._idle.clear()

    async def _update(self) -> bool:
        self._fetches += 1
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                document = await self._fetch()
            self._take(parse_key_set(document))
        except Exception as error:  # noqa: BLE001 - whatever it is, the task must not die, and the old keys serve on
            self._failures += 1
            self._failing = True
            # By its kind alone: its text may hold the address.
            reason = str(error) if type(error) is ValueError else type(error).__name__
            logger.warning("The keys of the tokens' issuer could not be fetched, and will be again: %s", reason)
            self._give_up_the_old()
            return False
        return True

    def _take(self, found: KeySet) -> None:
        self._fetched_at = asyncio.get_running_loop().time()
        self._failing = False
        if found == self._set:
            return
        self._set = found
        self.version += 1
        logger.info("The tokens' issuer has %d usable keys, and %d others.", len(found.keys), found.skipped)

    def _give_up_the_old(self) -> None:
        age = self._age()
        if self._set.keys and age is not None and age > self._stale_limit:
            self._set = KeySet()
            self.version += 1
            logger.error("The keys of the tokens' issuer are too old to be used; its tokens are not accepted any more.")


@asynccontextmanager
async def open_fetch(url: str) -> AsyncIterator[Fetch]:
    """What fetches a document over HTTP, at most as much of it as is looked at; its connections are closed at the end.

    Redirects are not followed: the address that is configured is the one that is trusted. Called, it raises
    httpx.HTTPError, or ValueError for another status than 200 and for too much of a document.
    """
    # In a thread: it reads the certificates of all authorities, which takes a tenth of a second.
    async with await asyncio.to_thread(httpx.AsyncClient, timeout=FETCH_TIMEOUT) as client:
        yield partial(_fetch, client, url)


async def _fetch(client: httpx.AsyncClient, url: str) -> bytes:
    # Not compressed: a few bytes could become a gigabyte.
    headers = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
    body = bytearray()
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"expected status 200, but got {response.status_code}")
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > KEY_SET_LIMIT:
                raise ValueError(f"expected at most {KEY_SET_LIMIT // 1024} KiB, but there was more")
    return bytes(body)
