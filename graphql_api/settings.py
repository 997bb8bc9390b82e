"""What an operator sets: environment variables with the prefix ``DEVICE_STATUS_``.

:func:`load_settings` reads them once, at start. Whatever is wrong with them is told at once, one
sentence a line, and no sentence ever holds a secret. ``docs/settings.md`` holds the table that
:func:`settings_table` writes.
"""

import difflib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

__all__ = [
    "ALGORITHMS",
    "COMMAND_VARIABLES",
    "MINIMUM_SECRET_BYTES",
    "PREFIX",
    "Algorithm",
    "Settings",
    "SettingsError",
    "load_settings",
    "settings_table",
    "variable",
]

PREFIX = "DEVICE_STATUS_"

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
"""The signature algorithms that tokens may have: one for each type of key."""

MINIMUM_SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key is at least as long as the hash's output."""

COMMAND_VARIABLES = {
    "DEVICE_STATUS_URL": "The service that the commands `watch` and `publish` speak to; the service itself ignores it.",
    "DEVICE_STATUS_TOKEN": "The token that `watch` and `publish` send; the service itself ignores it.",
}
"""Variables with our prefix that belong to commands, each with its meaning: never a stray setting."""

_DAY = 86_400
_TEBIBYTE = 2**40

# A Kubernetes service called device-status, or device-status-anything, puts variables with our prefix into every
# pod of its namespace: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_KUBERNETES_NAME = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_KUBERNETES_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")

_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----.*?-----END (?P=label)-----", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}(?=://)")

_Parsed = TypeVar("_Parsed")


class SettingsError(Exception):
    """The service can't start as it is set up; ``problems`` holds a sentence for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def _shown(value: object) -> str:
    text = repr(str(value))
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 (a line's worth)


def _size(text: str) -> int:
    """In bytes. The system hands over what is no UTF-8 as surrogates (PEP 383)."""
    return len(text.encode("utf-8", "surrogateescape"))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _seconds(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    # The upper bound keeps every timer within what an event loop can schedule.
    if not 0 < number <= _DAY:
        raise ValueError(f"expected a number of seconds above 0 and at most {_DAY:,}, but got {_shown(value)}")
    return number


def _whole_number(unit: str) -> BeforeValidator:
    def parse(value: Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if not 1 <= number <= _TEBIBYTE:
            raise ValueError(f"expected a whole number of {unit} from 1 to {_TEBIBYTE:,}, but got {_shown(value)}")
        return number

    return BeforeValidator(parse)


def _create_or_reject(value: Any) -> Any:
    if value not in ("create", "reject"):
        raise ValueError(f"expected create or reject, but got {_shown(value)}")
    return value


def _algorithms(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    # Each once, in the order given.
    found = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not found or not set(found) <= set(ALGORITHMS):
        raise ValueError(f"expected one or several of {', '.join(ALGORITHMS)}, with commas, but got {_shown(value)}")
    return found


def _secrets(value: Any) -> tuple[str, ...]:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if "-----BEGIN" in text:
        raise ValueError(
            f"expected secrets, one per line, but got a key in PEM; a public key goes into {variable('jwt_public_key')}"
        )
    lengths = [_size(secret) for secret in found]
    if min(lengths, default=0) < MINIMUM_SECRET_BYTES:
        # Of a secret, only the length is told.
        raise ValueError(
            f"expected secrets of at least {MINIMUM_SECRET_BYTES} bytes, one per line,"
            f" but got a value of {min(lengths, default=0)} bytes"
        )
    return found


def _public_keys(value: Any) -> tuple[str, ...]:
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
            f" but got a value of {_size(text)} bytes with {len(found)} whole PEM blocks"
        )
    return found


def _from_file(parse: Callable[[Any], _Parsed]) -> BeforeValidator:
    def read(path: Any) -> _Parsed:
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            # The path isn't shown: it could be a secret that was put into the wrong variable.
            raise ValueError(
                "expected the path of a file that can be read,"
                f" but got one of {_size(str(path))} bytes: {error.strerror}"
            ) from None
        except UnicodeDecodeError:
            raise ValueError("expected the path of a text file in UTF-8, but got that of another file") from None
        return parse(text)

    return BeforeValidator(read)


def _scheme(url: str) -> str:
    """What may be told of a URL that could hold a password."""
    found = _SCHEME.match(url)
    return f"one that begins with {found.group()}:" if found else "a value without a scheme"


def _database_url(value: Any) -> str:
    url = str(value.get_secret_value() if isinstance(value, SecretStr) else value)
    expected = "expected a URL like sqlite:///device-status.db or postgresql://user:password@host/database"
    if url.startswith("sqlite:///"):
        # Every connection to a database in memory sees one of its own, and a restart would forget the log.
        if url.removeprefix("sqlite:///") in ("", ":memory:"):
            raise ValueError(f"{expected}, but got SQLite without a file")
    elif not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"{expected}, but got {_scheme(url)}")
    else:
        try:
            urlsplit(url).port  # noqa: B018 (reading it is the check)
        except ValueError:
            raise ValueError(f"{expected}, but got one whose host or port can't be read") from None
    return url


def _broadcast_url(value: Any) -> str:
    url = str(value.get_secret_value() if isinstance(value, SecretStr) else value)
    if url != "memory://":
        raise ValueError(f"expected memory://, but got {_scheme(url)}")
    return url


Seconds = Annotated[float, BeforeValidator(_seconds)]
Secrets = tuple[SecretStr, ...]
PublicKeys = tuple[str, ...]


class Settings(BaseSettings):
    """What the service is set up with. Shows no secrets, in whatever way it is printed.

    Constructed in code it takes what it is given and reads no environment variable, so that a test means
    what it says; :func:`load_settings` reads them.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=False
    )

    jwt_secret: Annotated[Secrets, NoDecode, BeforeValidator(_secrets)] = Field(
        default=(),
        description="Secrets that tokens are signed with (HS256), one per line, each of at least 32 bytes."
        " Several for rotation: a token signed with any of them is good.",
    )
    jwt_secret_file: Annotated[Secrets, NoDecode, _from_file(_secrets)] = Field(
        default=(), description="Path of a file with such secrets, instead of `DEVICE_STATUS_JWT_SECRET`."
    )
    jwt_public_key: Annotated[PublicKeys, NoDecode, BeforeValidator(_public_keys)] = Field(
        default=(),
        repr=False,
        description="Public keys of the tokens' issuer in PEM, one after the other: RSA from 2048 bits (RS256),"
        " EC P-256 (ES256), Ed25519 (EdDSA). Line breaks may be written as `\\n`.",
    )
    jwt_public_key_file: Annotated[PublicKeys, NoDecode, _from_file(_public_keys)] = Field(
        default=(),
        repr=False,
        description="Path of a file with such public keys, instead of `DEVICE_STATUS_JWT_PUBLIC_KEY`.",
    )
    jwt_algorithms: Annotated[tuple[Algorithm, ...], NoDecode, BeforeValidator(_algorithms)] = Field(
        default=ALGORITHMS,
        description="Signature algorithms that tokens may have, with commas. Of these, those are accepted that a"
        " configured key can serve.",
    )
    jwt_audience: str | None = Field(
        default=None, description="When set, a token must have it in its `aud` claim; else `aud` is not looked at."
    )
    jwt_issuer: str | None = Field(
        default=None, description="When set, a token must have it as its `iss` claim; else `iss` is not looked at."
    )
    jwt_school_claim: str | None = Field(
        default=None,
        description='The claim that names the schools: a string, an integer, or a list of those, where `["*"]` is'
        " every school. Not set: `school_id` (one school) or `school_ids` (a list).",
    )
    jwt_scope_claim: str = Field(
        default="scope",
        description="The claim with the scopes: separated by spaces, or a list. Absent: `devices:read`.",
    )
    database_url: Annotated[SecretStr, BeforeValidator(_database_url)] = Field(
        default=SecretStr("sqlite:///device-status.db"),
        description="Where devices and their changes are kept: an SQLite file, or `postgresql://` (`postgres://`).",
    )
    broadcast_url: Annotated[SecretStr, BeforeValidator(_broadcast_url)] = Field(
        default=SecretStr("memory://"),
        description="How processes hear of each other's changes: `memory://` is for one process.",
    )
    unknown_devices: Annotated[Literal["create", "reject"], BeforeValidator(_create_or_reject)] = Field(
        default="create", description="What a report about a device never seen before does: `create` it, or `reject`."
    )
    connection_init_timeout: Seconds = Field(
        default=10.0,
        description="Seconds a WebSocket client has to send `connection_init`, before it is closed (4408).",
    )
    keep_alive: Seconds = Field(
        default=15.0, description="Seconds between two signs of life that the service sends on every open connection."
    )
    message_limit: Annotated[int, _whole_number("bytes")] = Field(
        default=256 * 1024, description="Bytes of the biggest WebSocket message that is read (256 KiB)."
    )
    body_limit: Annotated[int, _whole_number("bytes")] = Field(
        default=2 * 1024 * 1024, description="Bytes of the biggest HTTP request body that is read (2 MiB)."
    )
    shutdown_timeout: Seconds = Field(
        default=5.0, description="Seconds that open connections have to end after a SIGTERM, before they are cut off."
    )
    feed_compare_interval: Seconds = Field(
        default=5.0,
        description="Seconds between two comparisons of the heads of all watched schools with the store:"
        " how late a change can be whose broadcast was lost.",
    )
    recent_changes_limit: Annotated[int, _whole_number("bytes")] = Field(
        default=64 * 1024 * 1024,
        description="Bytes of recent changes that a process keeps in memory, for subscribers that catch up (64 MiB).",
    )
    outbox_limit: Annotated[int, _whole_number("rounds")] = Field(
        default=10_000,
        description="Rounds of reports that may wait to be broadcast; beyond, new ones are read from the log instead.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic-settings' signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (as above)
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (as above)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (as above)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: the class docstring says why."""
        return (init_settings,)

    @field_validator("jwt_secret_file", "jwt_public_key_file")
    @classmethod
    def _either_or(cls, value: _Parsed, info: ValidationInfo) -> _Parsed:
        other = str(info.field_name).removesuffix("_file")
        if info.data.get(other):
            raise ValueError(f"expected either this variable or {variable(other)}, but got both")
        return value

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """The secrets, wherever they came from."""
        return self.jwt_secret or self.jwt_secret_file

    @property
    def public_keys(self) -> tuple[str, ...]:
        """The public keys in PEM, wherever they came from."""
        return self.jwt_public_key or self.jwt_public_key_file

    def require_keys(self) -> None:
        """See that tokens can be verified at all.

        Raises:
            SettingsError: neither a secret nor a public key is set.
        """
        if self.secrets or self.public_keys:
            return
        sentence = (
            f"Set {variable('jwt_secret')} (make one: python -c 'import secrets; print(secrets.token_urlsafe(48))')"
            f" or {variable('jwt_public_key')}, so that tokens can be verified; `device-status serve --demo` needs none"
        )
        raise SettingsError([sentence])


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that the environment holds; a blank variable counts as not set.

    Args:
        environ: the variables; ``os.environ`` by default.

    Raises:
        SettingsError: a value is wrong, a file can't be read, or a variable with the prefix is no setting.
    """
    variables = (os.environ if environ is None else environ).items()
    given = {name: value.strip() for name, value in variables if name.upper().startswith(PREFIX)}
    problems = list(_stray_variables(given))
    # Names match to the letter: pydantic-settings, left alone, would let device_status_keep_alive win by chance.
    own = {name: given[name] for name in map(variable, Settings.model_fields) if given.get(name)}
    problems += [
        f"{name}: expected text in UTF-8, but got {_size(value)} bytes that are none"
        for name, value in own.items()
        if not _is_text(value)
    ]
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in own.items() if _is_text(value)}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        problems += [f"{variable(str(found['loc'][0]))}: {found['ctx']['error']}" for found in error.errors()]
    if problems:
        # Raised out here, so that no exception that knows a secret hangs on to it.
        raise SettingsError(problems)
    return settings


def _stray_variables(given: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that was surely meant for us, but is no setting. Values are not shown."""
    known = {name.removeprefix(PREFIX) for name in (*map(variable, Settings.model_fields), *COMMAND_VARIABLES)}
    for name, value in sorted(given.items()):
        if (name.startswith(PREFIX) and name.removeprefix(PREFIX) in known) or _comes_from_kubernetes(name, value):
            continue
        close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1)
        hint = f"did you mean {PREFIX}{close[0]}?" if close else "docs/settings.md lists them all"
        yield f"{_shown(name)[1:-1]} is no setting; {hint}"


def _comes_from_kubernetes(name: str, value: str) -> bool:
    rest = name.removeprefix(PREFIX)
    if _KUBERNETES_NAME.fullmatch(rest):
        return True
    return rest.split("_")[-1] == "PORT" and _KUBERNETES_ADDRESS.match(value) is not None


def settings_table() -> str:
    """All variables as a Markdown table: name, default, meaning. Documentation holds it, and a test compares."""
    rows = [
        (variable(name), _written(field.default), field.description) for name, field in Settings.model_fields.items()
    ]
    rows += [(name, "", meaning) for name, meaning in COMMAND_VARIABLES.items()]
    lines = [
        f"| `{name}` | {f'`{default}`' if default else 'not set'} | {meaning} |" for name, default, meaning in rows
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *lines]) + "\n"


def _written(default: object) -> str:
    """A default as one would write it into the environment; empty when there is none."""
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, tuple):
        return ",".join(default)
    return f"{default:g}" if isinstance(default, float) else str(default)
