"""Tokens of our own: for the command ``device-status token`` and the demonstration school."""

import math
from collections.abc import Collection
from typing import Any

import jwt

from graphql_api.access.keys import secret_key
from graphql_api.access.principal import EVERY_SCHOOL, is_school_id
from graphql_api.access.tokens import TokenRefused, TokenVerifier
from graphql_api.moment import SECOND, Moment
from graphql_api.settings import Settings, SettingsError, variable

__all__ = ["sign_configured_token", "sign_token"]


def sign_token(
    secret: str,
    *,
    subject: str,
    schools: Collection[str],
    scopes: Collection[str],
    ttl_seconds: float,
    now: Moment,
    audience: str | None = None,
    issuer: str | None = None,
    school_claim: str | None = None,
    scope_claim: str = "scope",
) -> str:
    """An HS256 token that is good from ``now`` for ``ttl_seconds`` (seconds, above 0).

    Args:
        secret: at least 32 bytes.
        subject: who the token is for; not empty.
        schools: at least one; ``["*"]`` is every school.
        scopes: none means that the token allows nothing, not ``devices:read``.
        ttl_seconds: to the microsecond.
        now: when the token is issued.
        audience: the ``aud`` claim, if any.
        issuer: the ``iss`` claim, if any.
        school_claim: the claim that names the schools; None: ``school_id`` or ``school_ids``.
        scope_claim: the claim with the scopes.

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
        scope_claim: " ".join(scopes),
        **_school_claim(schools, school_claim),
    }
    if audience is not None:
        claims["aud"] = audience
    if issuer is not None:
        claims["iss"] = issuer
    return jwt.encode(claims, secret, algorithm="HS256")


def sign_configured_token(
    settings: Settings,
    *,
    subject: str,
    schools: Collection[str],
    scopes: Collection[str],
    ttl_seconds: float,
    now: Moment,
) -> str:
    """A token that a service with these settings accepts, signed with the first secret; else as :func:`sign_token`.

    Raises:
        SettingsError: there is no secret to sign with, or the settings make tokens of ours impossible.
        ValueError: as :func:`sign_token`.
    """
    if not settings.secrets:
        raise SettingsError([_nothing_to_sign_with(settings)])
    token = sign_token(
        settings.secrets[0].get_secret_value(),
        subject=subject,
        schools=schools,
        scopes=scopes,
        ttl_seconds=ttl_seconds,
        now=now,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        school_claim=settings.jwt_school_claim,
        scope_claim=settings.jwt_scope_claim,
    )
    try:
        # HS256 may not be allowed, or a claim be named like another one: better told now than at the first use.
        TokenVerifier.from_settings(settings, clock=lambda: now).verify(token)
    except TokenRefused as refusal:
        raise SettingsError([f"With these settings the service would refuse its own token: {refusal}"]) from None
    return token


def _nothing_to_sign_with(settings: Settings) -> str:
    if settings.public_keys or settings.jwks_url:
        return (
            "Only public keys are configured, which verify tokens but can't sign them: let their issuer make the token,"
            f" or set {variable('jwt_secret')} as well"
        )
    return (
        f"Set {variable('jwt_secret')} to the secret of the service, so that the token can be signed"
        " (make one: python -c 'import secrets; print(secrets.token_urlsafe(48))')"
    )


def _school_claim(schools: Collection[str], claim: str | None) -> dict[str, Any]:
    names = list(dict.fromkeys(schools))
    if names == [EVERY_SCHOOL]:
        return {claim or "school_ids": names}
    if not names or not all(map(is_school_id, names)):
        raise ValueError(f'expected ids of schools, or "{EVERY_SCHOOL}" alone for every school, but got {names}')
    return {claim or "school_id": names[0]} if len(names) == 1 else {claim or "school_ids": names}
