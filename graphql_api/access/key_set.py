"""What an issuer publishes as its keys: a JSON Web Key Set (RFC 7517, section 5) becomes verification keys. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import orjson

from graphql_api.access.keys import VerificationKey, bound_key

__all__ = ["KEYS_LIMIT", "KEY_SET_LIMIT", "KeySet", "parse_key_set"]

KEY_SET_LIMIT = 256 * 1024
"""Bytes of the biggest key set that is looked at."""

KEYS_LIMIT = 32
"""Keys of a set that are looked at. A token that names none is tried with all, so this bounds what one costs."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a set, in its order. Several may have one name: each is tried."""

    keys: tuple[VerificationKey, ...] = ()
    skipped: int = 0
    """Keys that serve no algorithm here: secrets, private keys, those for encryption, small or odd ones."""


def parse_key_set(document: bytes) -> KeySet:
    """The keys that a document holds. What is no key for us is skipped, as section 5 of RFC 7517 wants it.

    Secrets (``kty`` "oct") are always skipped: what is published is no secret. So are private keys.

    Raises:
        ValueError: it is no key set, has too many keys, or none that is usable; the sentence holds nothing of it.
    """
    if len(document) > KEY_SET_LIMIT:
        raise ValueError(f"expected at most {KEY_SET_LIMIT // 1024} KiB, but there was more")
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise ValueError("expected a JSON Web Key Set, but got what is no JSON") from None
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ValueError('expected an object with a list "keys", but got something else')  # noqa: TRY004 - of a text
    if len(entries) > KEYS_LIMIT:
        raise ValueError(f"expected at most {KEYS_LIMIT} keys, but got {len(entries)}")
    keys = tuple(key for entry in entries if (key := _usable(entry)) is not None)
    if not keys:
        raise ValueError(f"expected a key for signatures, but none of {len(entries)} keys is usable")
    return KeySet(keys, len(entries) - len(keys))


def _usable(entry: Any) -> VerificationKey | None:
    if not isinstance(entry, dict) or not _is_for_verifying(entry):
        return None
    key_id = entry.get("kid")
    if not isinstance(key_id, str | None):
        return None
    try:
        # By its type alone: its "alg" is compared with what that comes to, not believed.
        parsed = jwt.PyJWK({name: value for name, value in entry.items() if name != "alg"})
        key = bound_key(parsed.key, key_id)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    return key if entry.get("alg") in (None, key.algorithm) else None


def _is_for_verifying(entry: Mapping[str, Any]) -> bool:
    """RFC 7517, sections 4.2 and 4.3; and no private part (RFC 7518, section 6) has been published with it."""
    operations = entry.get("key_ops")
    return (
        entry.get("kty") in ("RSA", "EC", "OKP")
        and "d" not in entry
        and entry.get("use") in (None, "sig")
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )
