"""What the claims of a token mean. No I/O, no keys.

The rules stand in ``docs/settings.md`` and in RFC 7519, section 4.1. PyJWT's own checks of claims are
not used: they refuse an integer ``sub``, an integer ``jti``, and any ``aud`` while none is expected,
all of which existing issuers send.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from graphql_api.access.principal import DEVICES_READ, EVERY_SCHOOL, is_school_id
from graphql_api.errors import Unauthenticated
from graphql_api.moment import SECOND, Moment, from_datetime

__all__ = ["TokenProblem", "TokenRefused", "moment_of", "schools_of", "scopes_of", "subject_of", "text_of"]

_FIRST = from_datetime(datetime.min.replace(tzinfo=UTC))
_LAST = from_datetime(datetime.max.replace(tzinfo=UTC))

_FAR = 10**12
"""Seconds: more than 30,000 years from 1970, either way."""


class TokenProblem(StrEnum):
    """Why a token is refused: the word that a 4403 reason begins with."""

    MISSING = "token-missing"
    INVALID = "token-invalid"
    EXPIRED = "token-expired"
    REVOKED = "token-revoked"


class TokenRefused(Unauthenticated):
    """The token is not accepted. The sentence holds no text of the token, so it may be shown and logged.

    As text it is the reason of the 4403 close: at most 123 bytes.
    """

    def __init__(self, reason: TokenProblem, sentence: str) -> None:
        super().__init__(f"{reason}: {sentence}")
        self.reason = reason
        self.sentence = sentence

    @property
    def extensions(self) -> dict[str, Any]:
        """The code, and the reason's word."""
        return {"code": self.code, "reason": self.reason.value}


def _invalid(sentence: str) -> TokenRefused:
    return TokenRefused(TokenProblem.INVALID, sentence)


def text_of(value: Any) -> str | None:
    """A string, or an integer as one; None for anything else, a boolean and lone surrogates included."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value):
        return value
    return None


def moment_of(claims: Mapping[str, Any], name: str) -> Moment | None:
    """The moment of a claim in seconds; None without the claim. Beyond the years 1 to 9999 it is their end.

    Raises:
        TokenRefused: the claim is no number: a string, a boolean, null, NaN, infinite.
    """
    if name not in claims:
        return None
    value = claims[name]
    # Integers first: the biggest of them are no floats, and math.isfinite would raise OverflowError.
    is_number = (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )
    if not is_number:
        raise _invalid(f"{name} must be a number of seconds since 1970")
    # Bounded before it is multiplied (a float could overflow) and after (a float is not that exact).
    bounded = min(max(value, -_FAR), _FAR)
    return Moment(min(max(round(bounded * SECOND), _FIRST), _LAST))


def subject_of(claims: Mapping[str, Any]) -> str:
    """The ``sub`` claim as text.

    Raises:
        TokenRefused: it is missing, empty, or neither a string nor an integer.
    """
    subject = text_of(claims.get("sub"))
    if not subject:
        raise _invalid("sub is required: a string or an integer")
    return subject


def schools_of(claims: Mapping[str, Any], claim: str | None) -> tuple[frozenset[str], bool]:
    """The schools that a token names, and whether it allows every school (then none is named).

    Args:
        claims: of the token.
        claim: the one that names schools; None for ``school_id`` and ``school_ids``.

    Raises:
        TokenRefused: no school is named, or something that is no school.
    """
    named: set[str] = set()
    all_schools = False
    for name in (claim,) if claim else ("school_id", "school_ids"):
        if name not in claims:
            continue
        value = claims[name]
        if isinstance(value, list) != (name == "school_ids") and not claim:
            raise _invalid("school_id must be one school, school_ids a list of schools")
        entries = value if isinstance(value, list) else [value]
        if isinstance(value, list) and entries == [EVERY_SCHOOL]:
            all_schools = True
        else:
            named.update(_schools_in(entries))
    if not named and not all_schools:
        raise _invalid(f"it names no school: expected {'the school claim' if claim else 'school_id or school_ids'}")
    return (frozenset() if all_schools else frozenset(named)), all_schools


def _schools_in(entries: list[Any]) -> set[str]:
    schools = [text_of(entry) for entry in entries]
    if EVERY_SCHOOL in schools:
        raise _invalid('"*" stands alone in a list, and means every school')
    good = {school for school in schools if school is not None and is_school_id(school)}
    if not good or len(good) != len(set(schools)):
        raise _invalid("a school is a string of 1 to 128 characters, or an integer; a list has one at least")
    return good


def scopes_of(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """The scopes of a token, unknown ones too; without the claim, ``devices:read``.

    Raises:
        TokenRefused: the claim is neither text nor a list of texts.
    """
    if claim not in claims:
        return frozenset({DEVICES_READ})
    value = claims[claim]
    entries = value.split() if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) and text_of(entry) for entry in entries):
        raise _invalid("the scope claim must be scopes with spaces between, or a list of scopes")
    return frozenset(entries)
