"""How long a caller may be sent anything."""

import asyncio

import pytest

from graphql_api.access.claims import TokenProblem
from graphql_api.access.principal import EVERY_SCHOOL, Principal, Visibility
from graphql_api.access.revocations import Revocation, Revocations
from graphql_api.delivery.entitlement import Entitlement
from graphql_api.delivery.expiries import Expiries
from graphql_api.moment import SECOND, Moment, now

pytestmark = pytest.mark.anyio


class Parts:
    """What an entitlement is made of, with a clock that stands where a test puts it."""

    def __init__(self):
        self.moment = now()
        self.expiries = Expiries(lambda: self.moment)
        self.revocations = Revocations()
        self.ended = []

    def begin(self, ttl=10.0):
        visibility = Visibility(frozenset({"1"}), all_schools=False, scopes=frozenset())
        expires_at = Moment(self.moment + int(ttl * SECOND))
        principal = Principal("anna", visibility, expires_at, issued_at=self.moment)
        return Entitlement(
            self.expiries, self.revocations, principal, lambda refusal: self.ended.append(refusal.reason)
        )

    def revoke(self):
        self.revocations.add([Revocation("anna", EVERY_SCHOOL, Moment(self.moment + 1))])

    def nothing_is_left(self):
        return len(self.expiries) == self.revocations.statistics().watched == 0


@pytest.fixture
async def parts(anyio_backend):
    made = Parts()
    yield made
    made.expiries.close()


async def test_expiry_ends_it_once(parts):
    """From the moment of expiry on it is over, told once, and watched no more."""
    parts.begin()
    parts.moment = Moment(parts.moment + 10 * SECOND - 1)
    parts.expiries.expire()
    assert parts.ended == []
    parts.moment = Moment(parts.moment + 1)
    parts.expiries.expire()
    parts.revoke()
    assert parts.ended == [TokenProblem.EXPIRED]
    assert parts.nothing_is_left()


async def test_revocation_ends_it_once(parts):
    """With the revocation it is over at once, told once, and its expiry passes unnoticed."""
    parts.begin()
    parts.revoke()
    assert parts.ended == [TokenProblem.REVOKED]
    parts.moment = Moment(parts.moment + 60 * SECOND)
    parts.expiries.expire()
    assert parts.ended == [TokenProblem.REVOKED]
    assert parts.nothing_is_left()


async def test_a_token_that_was_revoked_before_it_began(parts):
    """One revoked while its connection was being made is over before anything is sent, and by itself as well."""
    parts.revoke()
    parts.moment = Moment(parts.moment - 60 * SECOND)
    parts.begin()
    parts.expiries.expire()
    assert parts.ended == [TokenProblem.REVOKED]
    parts.begin()
    while len(parts.ended) == 1:  # noqa: ASYNC110 - the timer is the event
        await asyncio.sleep(0)
    assert parts.nothing_is_left()


async def test_what_is_cancelled_is_not_told(parts):
    """After it was cancelled, which may be repeated, neither expiry nor revocation is told."""
    entitlement = parts.begin()
    entitlement.cancel()
    entitlement.cancel()
    parts.revoke()
    parts.moment = Moment(parts.moment + 60 * SECOND)
    parts.expiries.expire()
    assert parts.ended == []
    assert parts.nothing_is_left()
