"""Whose pages may use the service from a browser. Rules without I/O.

A browser says in ``Origin`` whose page it is that asks (RFC 6454, section 7); whatever else sends requests leaves it
out, and is let in by its token alone. For HTTP the answers' CORS headers (Fetch standard, section 3.3) have the browser
itself refuse; a WebSocket knows no such headers, so the service does.
"""

from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Origins", "origin_of", "own_origin_of", "preflight_headers", "refusal_of"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEMES = {"ws": "http", "wss": "https"}
_ALLOWED_HEADERS = b"authorization, content-type, last-event-id"
_EXPOSED_HEADERS = b"retry-after, www-authenticate"
# Seconds that a browser may remember the answer to a preflight.
_REMEMBERED = b"600"

Headers = list[tuple[bytes, bytes]]


class Origins:
    """Which origins are let in: the service's own, and those that are allowed.

    Args:
        allowed: origins as settings hold them, ``null`` and ``*`` among them.
        public_url: the service's own origin; when it is None, what a request calls the service.
    """

    def __init__(self, allowed: Iterable[str] = (), public_url: str | None = None) -> None:
        self._allowed = frozenset(map(_normal, allowed))
        self._own = None if public_url is None else _normal(public_url)
        self._all = "*" in self._allowed

    def allow(self, origin: str | None, own: str) -> bool:
        """Whether a page of this origin may use the service, which the request calls ``own``."""
        return origin is None or self._is_own(origin, own) or self.are_listed(origin)

    def are_listed(self, origin: str) -> bool:
        """Whether it is one of those that were allowed."""
        return self._all or _normal(origin) in self._allowed

    def cors_headers(self, origin: str | None, own: str) -> Headers:
        """What an answer says to a browser whose page asks."""
        # A cache must not hand one origin's answer to another one.
        found = [(b"vary", b"Origin")] if self._allowed else []
        if origin is None or self._is_own(origin, own) or not self.are_listed(origin):
            return found
        allowed = origin.encode("latin-1", "replace")
        return [*found, (b"access-control-allow-origin", allowed), (b"access-control-expose-headers", _EXPOSED_HEADERS)]

    def _is_own(self, origin: str, own: str) -> bool:
        return _normal(origin) == (self._own or _normal(own)) != "null"


def preflight_headers() -> Headers:
    """What the answer to a preflight says besides."""
    return [
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"access-control-max-age", _REMEMBERED),
    ]


def refusal_of(origin: str) -> str:
    """What is told where an origin is refused; the setting comes first, since close reasons are short."""
    return f"origin-refused: DEVICE_STATUS_ALLOWED_ORIGINS doesn't list {origin if origin.isprintable() else 'it'}"


def origin_of(scope: MutableMapping[str, Any]) -> str | None:
    """The origin of the page that asks; several, which no browser sends, as one that nobody has."""
    values = _values(scope, b"origin")
    return ", ".join(values) if values else None


def own_origin_of(scope: MutableMapping[str, Any]) -> str:
    """The service's own origin as the request calls it."""
    scheme = _SCHEMES.get(scope["scheme"], scope["scheme"])
    return f"{scheme}://{', '.join(_values(scope, b'host'))}"


def _values(scope: MutableMapping[str, Any], name: bytes) -> Sequence[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _normal(origin: str) -> str:
    """In lower case, without its scheme's own port."""
    origin = origin.lower()
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return origin
    if port is not None and port == _DEFAULT_PORTS.get(parts.scheme):
        return origin.removesuffix(f":{port}")
    return origin
