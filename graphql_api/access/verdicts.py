"""Tokens that were found good, so that who comes back with one costs no signature check. No I/O, no clock."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from graphql_api.access.principal import Principal
from graphql_api.moment import Moment

__all__ = ["VERDICTS_LIMIT", "Verdicts", "VerdictsStatistics"]

VERDICTS_LIMIT = 32_768
"""More than a process has connections: when all come back at once, each finds its own."""


@dataclass(frozen=True, slots=True)
class VerdictsStatistics:
    """How much the memory of good tokens is of use."""

    remembered: int
    hits: int
    """Tokens that were known, since the start."""
    misses: int
    """Tokens that had to be verified, since the start."""


class Verdicts:
    """Good tokens by their digests, the longest unused forgotten first.

    Only what does not change is remembered: that the signature is good, and what the claims come to. Refusals are
    not, since anybody can make up as many bad tokens as there is room for. Whether a token has expired is
    looked at each time, and whether it was revoked is the caller's business.
    """

    def __init__(self, limit: int = VERDICTS_LIMIT) -> None:
        self._limit = limit
        self._principals: OrderedDict[bytes, Principal] = OrderedDict()
        self._key_version = 0
        self._hits = self._misses = 0

    @staticmethod
    def digest(token: str) -> bytes:
        """What a token is known by: SHA-256, so that nobody finds another one with the same; and it is no token."""
        return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

    def get(self, digest: bytes, *, key_version: int, now: Moment) -> Principal | None:
        """Who calls, if that is known and still true: all is forgotten when the keys are others."""
        if key_version != self._key_version:
            self._principals.clear()
            self._key_version = key_version
        principal = self._principals.get(digest)
        if principal is None:
            self._misses += 1
            return None
        if now >= principal.expires_at:
            del self._principals[digest]
            self._misses += 1
            return None
        self._principals.move_to_end(digest)
        self._hits += 1
        return principal

    def put(self, digest: bytes, principal: Principal) -> None:
        """Remember a good token; it was verified with the keys that the last :meth:`get` was for."""
        self._principals[digest] = principal
        if len(self._principals) > self._limit:
            self._principals.popitem(last=False)

    def statistics(self) -> VerdictsStatistics:
        """A snapshot of the counts."""
        return VerdictsStatistics(len(self._principals), self._hits, self._misses)
