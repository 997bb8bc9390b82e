"""What the values of settings may be: text in, values out, or a sentence that says what was expected and what came.

No sentence ever holds a secret, nor a URL or path that could be one.
"""

import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr

__all__ = [
    "ALGORITHMS",
    "MINIMUM_SECRET_BYTES",
    "PREFIX",
    "Algorithm",
    "Parsed",
    "algorithms",
    "broadcast_url",
    "create_or_reject",
    "database_url",
    "days",
    "from_file",
    "is_text",
    "key_set_url",
    "networks",
    "on_or_off",
    "origins",
    "per_second",
    "public_keys",
    "public_url",
    "seconds",
    "secrets",
    "shown",
    "size_of",
    "variable",
    "whole_number",
]

PREFIX = "DEVICE_STATUS_"

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
"""The signature algorithms that tokens may have: one for each type of key."""

MINIMUM_SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as the hash's output."""

_DAY = 86_400
_CENTURY = 36_500
_MILLION = 1_000_000
_TEBIBYTE = 2**40
_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----.*?-----END (?P=label)-----", re.DOTALL)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}(?=://)")

Parsed = TypeVar("Parsed")


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def shown(value: object) -> str:
    """A value as an error shows it: quoted, and cut to a line."""
    text = repr(str(value))
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 (a line's worth)


def size_of(text: str) -> int:
    """In bytes. The system hands over what is no UTF-8 as surrogates (PEP 383)."""
    return len(text.encode("utf-8", "surrogateescape"))


def is_text(text: str) -> bool:
    """Whether the text can be written in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def seconds(value: Any) -> float:
    """Seconds, above 0 and at most a day."""
    # The upper bound keeps every timer within what an event loop can schedule.
    return _number(value, "seconds", _DAY)


def days(value: Any) -> float:
    """Days, above 0 and at most a hundred years; fractions are fine."""
    return _number(value, "days", _CENTURY)


def per_second(value: Any) -> float:
    """How often in a second, above 0 and at most a million; fractions are fine."""
    return _number(value, "times a second", _MILLION)


def _number(value: Any, unit: str, most: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number <= most:
        raise ValueError(f"expected a number of {unit} above 0 and at most {most:,}, but got {shown(value)}")
    return number


def whole_number(unit: str) -> BeforeValidator:
    """Parses a whole number, at least 1; ``unit`` names what is counted."""

    def parse(value: Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if not 1 <= number <= _TEBIBYTE:
            raise ValueError(f"expected a whole number of {unit} from 1 to {_TEBIBYTE:,}, but got {shown(value)}")
        return number

    return BeforeValidator(parse)


def create_or_reject(value: Any) -> Any:
    """One of the two words."""
    if value not in ("create", "reject"):
        raise ValueError(f"expected create or reject, but got {shown(value)}")
    return value


def on_or_off(value: Any) -> bool:
    """One of the two words; in code, a truth value."""
    if isinstance(value, bool):
        return value
    if value not in ("on", "off"):
        raise ValueError(f"expected on or off, but got {shown(value)}")
    return bool(value == "on")


def _listed(value: Any) -> list[str]:
    """The items between commas, without space around them, each once."""
    items = value.split(",") if isinstance(value, str) else value
    return list(dict.fromkeys(item.strip() for item in items if item.strip()))


def origins(value: Any) -> tuple[str, ...]:
    """Origins as browsers write them (RFC 6454, section 6.1), with commas; ``null`` and ``*`` too."""
    found = []
    for item in _listed(value):
        origin = item.lower().removesuffix("/")
        if origin not in ("null", "*") and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"expected origins like https://app.example.org, with commas, but got {shown(item)}")
        found.append(origin)
    return tuple(found)


def public_url(value: Any) -> str | None:
    """An origin, or None."""
    if value is None:
        return None
    url = str(value).lower().removesuffix("/")
    if not _ORIGIN.fullmatch(url):
        raise ValueError(f"expected a URL like https://status.example.org, without a path, but got {shown(value)}")
    return url


def networks(value: Any) -> tuple[str, ...]:
    """Addresses and networks in CIDR notation, with commas."""
    found = _listed(value)
    for item in found:
        try:
            ipaddress.ip_network(item)
        except ValueError:
            raise ValueError(
                f"expected addresses like 10.0.0.7 and networks like 10.0.0.0/8, with commas, but got {shown(item)}"
            ) from None
    return tuple(found)


def algorithms(value: Any) -> tuple[str, ...]:
    """Names of algorithms with commas: each once, in the order given."""
    found = tuple(_listed(value))
    if not found or not set(found) <= set(ALGORITHMS):
        raise ValueError(f"expected one or several of {', '.join(ALGORITHMS)}, with commas, but got {shown(value)}")
    return found


def secrets(value: Any) -> tuple[str, ...]:
    """Secrets, one per line, each long enough."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if "-----BEGIN" in text:
        raise ValueError(
            f"expected secrets, one per line, but got a key in PEM; a public key goes into {variable('jwt_public_key')}"
        )
    lengths = [size_of(secret) for secret in found]
    if min(lengths, default=0) < MINIMUM_SECRET_BYTES:
        # Of a secret, only the length is told.
        raise ValueError(
            f"expected secrets of at least {MINIMUM_SECRET_BYTES} bytes, one per line,"
            f" but got a value of {min(lengths, default=0)} bytes"
        )
    return found


def public_keys(value: Any) -> tuple[str, ...]:
    """Public keys in PEM, one after the other."""
    # Files of environment variables know no line breaks: there, PEM is commonly written with a literal \n.
    text = str(value).replace("\\n", "\n")
    if "PRIVATE KEY-----" in text:
        raise ValueError(
            "expected public keys in PEM, but got a private key, which belongs to the tokens' issuer alone"
        )
    found = tuple(block.group() for block in _PEM.finditer(text))
    if not found or len(found) != text.count("-----BEGIN"):
        raise ValueError(
            "expected one or several public keys in PEM (-----BEGIN PUBLIC KEY-----),"
            f" but got a value of {size_of(text)} bytes with {len(found)} whole PEM blocks"
        )
    return found


def from_file(parse: Callable[[Any], Parsed]) -> BeforeValidator:
    """Parses the text of the file whose path is the value."""

    def read(path: Any) -> Parsed:
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            # The path isn't shown: it could be a secret that was put into the wrong variable.
            raise ValueError(
                "expected the path of a file that can be read,"
                f" but got one of {size_of(str(path))} bytes: {error.strerror}"
            ) from None
        except UnicodeDecodeError:
            raise ValueError("expected the path of a text file in UTF-8, but got that of another file") from None
        return parse(text)

    return BeforeValidator(read)


def _scheme(url: str) -> str:
    """What may be told of a URL that could hold a password."""
    found = _SCHEME.match(url)
    return f"one that begins with {found.group()}:" if found else "a value without a scheme"


def database_url(value: Any) -> str:
    """The URL of a SQLite file or of a PostgreSQL database."""
    url = str(value.get_secret_value() if isinstance(value, SecretStr) else value)
    expected = "expected a URL like sqlite:///device-status.db or postgresql://user:password@host/database"
    if url.startswith("sqlite:///"):
        # Every connection to a database in memory sees one of its own, and a restart would forget the log.
        if url.removeprefix("sqlite:///") in ("", ":memory:"):
            raise ValueError(f"{expected}, but got SQLite without a file")
    elif not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"{expected}, but got {_scheme(url)}")
    else:
        _check_address(url, expected)
    return url


def broadcast_url(value: Any) -> str:
    """The URL of a broker."""
    url = str(value.get_secret_value() if isinstance(value, SecretStr) else value)
    expected = "expected memory://, or a URL like redis://host:6379 or postgresql://user:password@host/database"
    if url == "memory://":
        return url
    if not url.startswith(("redis://", "rediss://", "postgresql://", "postgres://")):
        raise ValueError(f"{expected}, but got {_scheme(url)}")
    _check_address(url, expected)
    return url


def key_set_url(value: Any) -> str:
    """The address of a key set: over TLS, or on this machine, since whoever can change it can make tokens."""
    url = str(value)
    expected = "expected a URL like https://issuer.example.org/.well-known/jwks.json (http:// for this machine alone)"
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{expected}, but got {_scheme(url)}")
    _check_address(url, expected)
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError(f"{expected}, but got one without a host, or with a user or password")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError(f"{expected}, but got http:// for another machine")
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_address(url: str, expected: str) -> None:
    try:
        urlsplit(url).port  # noqa: B018 (reading it is the check)
    except ValueError:
        raise ValueError(f"{expected}, but got one whose host or port can't be read") from None
