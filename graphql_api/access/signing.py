"""Tokens of our own: for the command ``device-status token`` and the demonstration school."""

import math
from collections.abc import Collection
from typing import Any

import jwt

from graphql_api.access.keys import secret_key
from graphql_api.access.principal import EVERY_SCHOOL, is_school_id
from graphql_api.moment import SECOND, Moment

__all__ = ["sign_token"]


def sign_token(
    secret: str,
    *,
    subject: str,
    schools: Collection[str],
    scopes: Collection[str],
    ttl_seconds: float,
    now: Moment,
) -> str:
    """An HS256 token that is good from ``now`` for ``ttl_seconds`` (seconds, above 0).

    Args:
        secret: at least 32 bytes.
        subject: who the token is for; not empty.
        schools: at least one; ``["*"]`` is every school.
        scopes: none means that the token allows nothing, not ``devices:read``.
        ttl_seconds: to the microsecond.
        now: when the token is issued.

    Raises:
        ValueError: a token made of this would be refused; the sentence doesn't show the secret.
    """
    secret_key(secret)  # it refuses what is no good secret
    if not subject:
        raise ValueError("expected a subject, but got an empty one")
    if not (math.isfinite(ttl_seconds) and ttl_seconds > 0):
        raise ValueError(f"expected a time to live above 0 seconds, but got {ttl_seconds}")
    expires_at = now + round(ttl_seconds * SECOND)
    claims: dict[str, Any] = {
        "sub": subject,
        "iat": now // SECOND,
        # RFC 7519 allows fractions; whole seconds stay whole, as some readers want them.
        "exp": expires_at // SECOND if expires_at % SECOND == 0 else expires_at / SECOND,
        "scope": " ".join(scopes),
        **_school_claim(schools),
    }
    return jwt.encode(claims, secret, algorithm="HS256")


def _school_claim(schools: Collection[str]) -> dict[str, Any]:
    names = list(dict.fromkeys(schools))
    if names == [EVERY_SCHOOL]:
        return {"school_ids": names}
    if not names or not all(map(is_school_id, names)):
        raise ValueError(f'expected ids of schools, or "{EVERY_SCHOOL}" alone for every school, but got {names}')
    return {"school_id": names[0]} if len(names) == 1 else {"school_ids": names}
