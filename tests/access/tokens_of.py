"""Tokens and keys for the tests of this folder: whatever an issuer, honest or not, might send."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt

from graphql_api.moment import SECOND, Moment

SECRET = "a-secret-of-more-than-32-bytes-for-tests"
OTHER_SECRET = "another-secret-of-more-than-32-bytes-too"

NOW = Moment(1_800_000_000 * SECOND)
"""What the tests' clock shows."""

IN_AN_HOUR = 1_800_003_600
"""In seconds, as a claim."""


def good_claims(**changed: Any) -> dict[str, Any]:
    """Claims that are accepted, with some changed; a value of ``...`` leaves the claim out."""
    claims = {"sub": "reader-1", "exp": IN_AN_HOUR, "school_id": "north", **changed}
    return {name: value for name, value in claims.items() if value is not ...}


def signed(payload: Any, key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None) -> str:
    """A token with any JSON value as its payload, NaN and lone surrogates included."""
    return jwt.api_jws.encode(json.dumps(payload).encode(), key, algorithm=algorithm, headers=headers)


def segment(value: bytes) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


HEADER = b'{"alg":"HS256"}'


def raw_token(header: bytes, payload: bytes, secret: str = SECRET) -> str:
    """A token of any bytes, with the HS256 signature that fits them."""
    unsigned = f"{segment(header)}.{segment(payload)}"
    return f"{unsigned}.{segment(hmac.new(secret.encode(), unsigned.encode(), hashlib.sha256).digest())}"
