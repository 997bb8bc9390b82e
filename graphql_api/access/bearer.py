"""Where a call carries its token. No I/O; that the payload's token wins over the header is its caller's rule."""

import re
from collections.abc import Mapping
from typing import Any

from graphql_api.access.tokens import TokenProblem, TokenRefused

__all__ = ["token_from_header", "token_from_payload"]

# RFC 6750, section 2.1; the scheme's case does not matter (RFC 9110, section 11.1).
_TOKEN = r"[A-Za-z0-9\-._~+/]+=*"  # noqa: S105 (a grammar, not a token)
_CREDENTIALS = re.compile(rf"[ \t]*bearer +(?P<token>{_TOKEN})[ \t]*", re.IGNORECASE)
_BARE = re.compile(rf"[ \t]*(?:bearer +)?(?P<token>{_TOKEN})[ \t]*", re.IGNORECASE)


def token_from_header(value: str | None) -> str | None:
    """The token of an ``Authorization`` header; None without the header.

    Raises:
        TokenRefused: the header is anything but ``Bearer`` and one token.
    """
    if value is None:
        return None
    return _matched(_CREDENTIALS, value, 'the Authorization header must be "Bearer" and one token')


def token_from_payload(payload: Mapping[str, Any] | None) -> str | None:
    """The token of a ``connection_init`` payload; None when it holds none.

    It is under ``authorization``, in any case, as ``Bearer ...``; or else under ``token``, with or without ``Bearer``.

    Raises:
        TokenRefused: one of these is there, but is no such text; or several differ in case and in value.
    """
    if payload is None:
        return None
    # Clients send null while nobody is logged in: that is no token, not a bad one.
    values = [value for key, value in payload.items() if key.lower() == "authorization" and value is not None]
    if values:
        tokens = {_matched(_CREDENTIALS, value, 'authorization must be "Bearer" and one token') for value in values}
        if len(tokens) > 1:
            raise TokenRefused(TokenProblem.INVALID, "the payload holds more than one authorization")
        return tokens.pop()
    if payload.get("token") is not None:
        return _matched(_BARE, payload["token"], "the payload's token must be one token, as text")
    return None


def _matched(pattern: re.Pattern[str], value: Any, sentence: str) -> str:
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise TokenRefused(TokenProblem.INVALID, sentence)
    return found.group("token")
