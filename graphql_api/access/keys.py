"""Keys that tokens are verified with, each bound to the one algorithm of its type.

The binding is what makes algorithm confusion impossible: a public key can't end up as the secret of
an HS256 signature, whatever a token's header says (RFC 8725, sections 2.1 and 3.1).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from graphql_api.settings import MINIMUM_SECRET_BYTES, Algorithm, Settings, SettingsError, variable

__all__ = ["MINIMUM_RSA_BITS", "KeyMaterial", "VerificationKey", "bound_key", "load_keys", "public_key", "secret_key"]

MINIMUM_RSA_BITS = 2048
"""RFC 7518, section 3.3."""

_EXPECTED = f"expected RSA of at least {MINIMUM_RSA_BITS} bits, EC P-256 or Ed25519"

KeyMaterial: TypeAlias = bytes | RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
"""A secret, or a public key that was parsed once."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the algorithm that it is for. Its text shows no secret."""

    algorithm: Algorithm
    material: KeyMaterial = field(repr=False)
    key_id: str | None = None
    """What tokens call it (``kid``); None: it may be any token's."""


def secret_key(secret: str) -> VerificationKey:
    """The key of an HS256 secret.

    Raises:
        ValueError: it is shorter than 32 bytes, or is a key of another kind; the sentence doesn't show it.
    """
    material = secret.encode()
    if len(material) < MINIMUM_SECRET_BYTES:
        raise ValueError(f"expected a secret of at least {MINIMUM_SECRET_BYTES} bytes, but got {len(material)}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material)
    except jwt.InvalidKeyError:
        raise ValueError("expected a secret, but got a public key, a certificate or a JWK") from None
    return VerificationKey("HS256", material)


def public_key(pem: str) -> VerificationKey:
    """The key that a PEM text holds.

    Raises:
        ValueError: it can't be read, or is of a type or size that no algorithm here takes.
    """
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{_EXPECTED}, but got a PEM block that is no public key") from None
    return bound_key(key)


def bound_key(key: object, key_id: str | None = None) -> VerificationKey:
    """A public key of the cryptography library, with the one algorithm that it is for.

    Raises:
        ValueError: it is of a type or size that no algorithm here takes: a private key, or a secret, too.
    """
    if isinstance(key, RSAPublicKey):
        if key.key_size < MINIMUM_RSA_BITS:
            raise ValueError(f"{_EXPECTED}, but got RSA of {key.key_size} bits")
        return VerificationKey("RS256", key, key_id)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerificationKey("ES256", key, key_id)
    if isinstance(key, Ed25519PublicKey):
        return VerificationKey("EdDSA", key, key_id)
    raise ValueError(f"{_EXPECTED}, but got another type of key or curve")


def load_keys(settings: Settings) -> tuple[VerificationKey, ...]:
    """The keys that the settings name and allow, in their order.

    Raises:
        SettingsError: there is none and no key set, one is unusable, or the allowed algorithms leave none to use.
    """
    settings.require_keys()
    problems: list[str] = []
    keys: list[VerificationKey] = []
    texts: list[tuple[str, Callable[[str], VerificationKey], str]] = []
    secrets = ("jwt_secret", "jwt_secret_file")
    texts += [(name, secret_key, secret.get_secret_value()) for name in secrets for secret in getattr(settings, name)]
    public_keys = ("jwt_public_key", "jwt_public_key_file")
    texts += [(name, public_key, pem) for name in public_keys for pem in getattr(settings, name)]
    for name, parse, text in texts:
        try:
            keys.append(parse(text))
        except ValueError as error:
            problems.append(f"{variable(name)}: {error}")
    allowed = tuple(key for key in keys if key.algorithm in settings.jwt_algorithms)
    if keys and not allowed:
        served = ", ".join(sorted({key.algorithm for key in keys}))
        problems.append(f"{variable('jwt_algorithms')}: expected at least one of {served}, which the keys are for")
    if problems:
        raise SettingsError(problems)
    return allowed
