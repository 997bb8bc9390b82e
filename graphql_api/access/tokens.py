"""JSON Web Tokens (RFC 7519): from the text that a client sends to a principal. No I/O.

``docs/settings.md`` says which tokens are good. The order of the checks: size, form and
algorithm, signature, expiry, then everything else, revocation last; so that an expired token is told from a forged
one, and nothing that a token says counts before its signature does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import jwt

from graphql_api.access.claims import (
    TokenProblem,
    TokenRefused,
    moment_of,
    schools_of,
    scopes_of,
    subject_of,
    text_of,
)
from graphql_api.access.issuer_keys import IssuerKeys
from graphql_api.access.keys import KeyMaterial, VerificationKey, load_keys
from graphql_api.access.principal import Principal, Visibility
from graphql_api.access.revocations import Revocations
from graphql_api.access.verdicts import Verdicts, VerdictsStatistics
from graphql_api.errors import Unavailable
from graphql_api.moment import DAY, SECOND, Clock, Moment, now
from graphql_api.settings import ALGORITHMS, Algorithm, Settings

__all__ = ["TOKEN_LIMIT", "TokenProblem", "TokenRefused", "TokenVerifier", "UnknownKey"]

TOKEN_LIMIT = 16 * 1024
"""Characters of the biggest token that is looked at."""

_NOT_BEFORE_LEEWAY = 5 * SECOND
"""Clocks differ: a token may come from an issuer whose clock is ahead of ours."""

_FORGED: Final = "it is not signed with a key that this service knows"
_NO_KEYS: Final = "The keys of the tokens' issuer can't be fetched now. Repeat the call in a few seconds."
_SECRETS_ALGORITHM: Final = "HS256"
_MALFORMED: Final = "it is no JSON Web Token"

# Every claim is checked here, none by PyJWT: graphql_api/access/claims.py says why.
_SIGNATURE_ONLY: Final[jwt.types.Options] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}

# What PyJWT and the json module may raise for hostile tokens. Besides PyJWT's own errors: ValueError (lone
# surrogates, numbers of thousands of digits), RecursionError (nesting), TypeError and OverflowError (odd headers).
_PYJWT_ERRORS: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


class UnknownKey(TokenRefused):
    """The token is signed with none of the keys that are known; its issuer may have a new one."""

    def __init__(self) -> None:
        super().__init__(TokenProblem.INVALID, _FORGED)


class TokenVerifier:
    """Decides whether a token is good, and what it allows. Remembers good tokens; verifying has no other side effect.

    Args:
        keys: tried in turn, those only that are for the token's algorithm.
        issuer_keys: tried after those; a secret is never among them.
        revocations: looked at each time, for remembered tokens too.
        algorithms: the only ones accepted.
        audience: what ``aud`` must be or contain; None: ``aud`` is not looked at.
        issuer: what ``iss`` must be; None: ``iss`` is not looked at.
        school_claim: the claim that names schools; None: ``school_id`` or ``school_ids``.
        scope_claim: the claim with the scopes.
        max_lifetime: days from ``iat``, which is then required, to ``exp``; None: any.
        clock: tells what has expired.
    """

    def __init__(
        self,
        keys: Sequence[VerificationKey],
        *,
        issuer_keys: IssuerKeys | None = None,
        revocations: Revocations | None = None,
        algorithms: Sequence[Algorithm] = ALGORITHMS,
        audience: str | None = None,
        issuer: str | None = None,
        school_claim: str | None = None,
        scope_claim: str = "scope",
        max_lifetime: float | None = None,
        clock: Clock = now,
    ) -> None:
        self._materials: dict[str, list[KeyMaterial]] = {
            name: [key.material for key in keys if key.algorithm == name] for name in algorithms
        }
        self._issuer_keys = issuer_keys
        self._revocations = revocations or Revocations()
        self._audience = audience
        self._issuer = issuer
        self._school_claim = school_claim
        self._scope_claim = scope_claim
        self._max_lifetime = None if max_lifetime is None else int(max_lifetime * DAY)
        self._clock = clock
        self._verdicts = Verdicts()

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        issuer_keys: IssuerKeys | None = None,
        revocations: Revocations | None = None,
        clock: Clock = now,
    ) -> Self:
        """The verifier that the settings describe.

        Raises:
            SettingsError: no key is set, or one is unusable.
        """
        return cls(
            load_keys(settings),
            issuer_keys=issuer_keys,
            revocations=revocations,
            algorithms=settings.jwt_algorithms,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            school_claim=settings.jwt_school_claim,
            scope_claim=settings.jwt_scope_claim,
            max_lifetime=settings.jwt_max_lifetime,
            clock=clock,
        )

    def verify(self, token: str | None) -> Principal:
        """Who calls with this token.

        Raises:
            UnknownKey: :meth:`verify_with_new_keys` may know better.
            TokenRefused: it is missing (None), invalid, expired or revoked. Nothing else is ever raised.
        """
        if token is None:
            raise TokenRefused(TokenProblem.MISSING, "send one in connection_init, or as Authorization: Bearer")
        if len(token) > TOKEN_LIMIT:
            raise TokenRefused(TokenProblem.INVALID, f"it is over {TOKEN_LIMIT // 1024} KiB")
        digest = Verdicts.digest(token)
        key_version = self._issuer_keys.version if self._issuer_keys else 0
        principal = self._verdicts.get(digest, key_version=key_version, now=self._clock())
        if principal is None:
            principal = self._judge(token)
            self._verdicts.put(digest, principal)
        if self._revocations.refuse(principal):
            raise TokenRefused(TokenProblem.REVOKED, "get a new token and connect again")
        return principal

    async def verify_with_new_keys(self, token: str | None) -> Principal:
        """As :meth:`verify`, but an issuer's new key is waited for, seconds at most, where one may be fetched.

        Raises:
            TokenRefused: as :meth:`verify`.
            Unavailable: there are no keys of the issuer to verify it with.
        """
        try:
            return self.verify(token)
        except UnknownKey:
            if self._issuer_keys is None:
                raise
            await self._issuer_keys.refresh()
        try:
            return self.verify(token)
        except UnknownKey:
            if self._issuer_keys.statistics().keys:
                raise
            raise Unavailable(_NO_KEYS) from None

    def statistics(self) -> VerdictsStatistics:
        """How often a token was known."""
        return self._verdicts.statistics()

    def _judge(self, token: str) -> Principal:
        claims = self._signed_claims(token)
        expires_at = self._check_times(claims)
        self._check_audience_and_issuer(claims)
        schools, all_schools = schools_of(claims, self._school_claim)
        return Principal(
            subject=subject_of(claims),
            visibility=Visibility(schools, all_schools, scopes_of(claims, self._scope_claim)),
            expires_at=expires_at,
            # An issuer's clock may be ahead: a token from the future is no reason to refuse it.
            issued_at=moment_of(claims, "iat"),
            token_id=text_of(claims.get("jti")),
        )

    def _signed_claims(self, token: str) -> Mapping[str, Any]:
        """The claims, after the signature was checked with a key that is for the header's algorithm.

        Of the header, ``alg`` and ``kid`` choose among our keys; whatever else points to a key (``jku``, ``jwk``,
        ``x5u``, ``x5c``) is not looked at (RFC 8725, section 3.10).
        """
        try:
            header = jwt.get_unverified_header(token)
        except _PYJWT_ERRORS:
            raise TokenRefused(TokenProblem.INVALID, _MALFORMED) from None
        algorithm = header.get("alg")
        # Looked up in our own table: the header only chooses among what we allow.
        if not isinstance(algorithm, str) or not self._is_served(algorithm):
            raise TokenRefused(TokenProblem.INVALID, "its signature algorithm is not accepted here")
        # RFC 7515, section 4.1.11: who doesn't understand every extension must refuse; we understand none.
        if "crit" in header:
            raise TokenRefused(TokenProblem.INVALID, "its header demands an extension (crit)")
        key_id = header.get("kid")
        for material in self._candidates(algorithm, key_id):
            try:
                return jwt.decode(token, material, algorithms=[algorithm], options=_SIGNATURE_ONLY)
            except jwt.InvalidSignatureError:
                continue
            except _PYJWT_ERRORS:
                raise TokenRefused(TokenProblem.INVALID, _MALFORMED) from None
        if self._issuer_keys and algorithm != _SECRETS_ALGORITHM and not self._issuer_keys.names(key_id):
            raise UnknownKey
        raise TokenRefused(TokenProblem.INVALID, _FORGED)

    def _is_served(self, algorithm: str) -> bool:
        """Whether it is allowed, and there is a key for it, or may be one."""
        materials = self._materials.get(algorithm)
        return bool(materials) or (
            materials is not None and self._issuer_keys is not None and algorithm != _SECRETS_ALGORITHM
        )

    def _candidates(self, algorithm: str, key_id: str | None) -> Sequence[KeyMaterial]:
        own = self._materials[algorithm]
        return [*own, *self._issuer_keys.materials(algorithm, key_id)] if self._issuer_keys else own

    def _check_times(self, claims: Mapping[str, Any]) -> Moment:
        """When the token expires. Exact: no leeway, and expired from that very moment on."""
        current = self._clock()
        expires_at = moment_of(claims, "exp")
        if expires_at is None:
            raise TokenRefused(TokenProblem.INVALID, "exp is required")
        if current >= expires_at:
            raise TokenRefused(TokenProblem.EXPIRED, "get a new token and connect again")
        not_before = moment_of(claims, "nbf")
        if not_before is not None and current + _NOT_BEFORE_LEEWAY < not_before:
            raise TokenRefused(TokenProblem.INVALID, "it is not valid yet (nbf)")
        if self._max_lifetime is not None:
            issued_at = moment_of(claims, "iat")
            if issued_at is None or expires_at - issued_at > self._max_lifetime:
                raise TokenRefused(
                    TokenProblem.INVALID, "it lives too long: exp is too far behind iat, or iat is missing"
                )
        return expires_at

    def _check_audience_and_issuer(self, claims: Mapping[str, Any]) -> None:
        if self._audience is not None:
            audience = claims.get("aud")
            if self._audience not in (audience if isinstance(audience, list) else [audience]):
                raise TokenRefused(TokenProblem.INVALID, "it is meant for another audience (aud)")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise TokenRefused(TokenProblem.INVALID, "it comes from another issuer (iss)")
