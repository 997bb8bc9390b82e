"""What an operator sets: environment variables with the prefix ``DEVICE_STATUS_``.

:func:`load_settings` reads them once, at start. Whatever is wrong with them is told at once, one
sentence a line, and no sentence ever holds a secret. ``docs/settings.md`` holds the table that
:func:`settings_table` writes.
"""

import difflib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from graphql_api import setting_values as values
from graphql_api.limits import Limits
from graphql_api.setting_values import (
    ALGORITHMS,
    MINIMUM_SECRET_BYTES,
    PREFIX,
    Algorithm,
    Parsed,
    is_text,
    shown,
    size_of,
    variable,
)

__all__ = [
    "ALGORITHMS",
    "COMMAND_VARIABLES",
    "MINIMUM_SECRET_BYTES",
    "PREFIX",
    "Algorithm",
    "Settings",
    "SettingsError",
    "in_order",
    "load_settings",
    "settings_table",
    "variable",
    "written",
]

logger = logging.getLogger(__name__)

COMMAND_VARIABLES = {
    "DEVICE_STATUS_URL": "The service that the commands `watch` and `publish` speak to; the service itself ignores it.",
    "DEVICE_STATUS_TOKEN": "The token that `watch` and `publish` send; the service itself ignores it.",
}
"""Variables with our prefix that belong to commands, each with its meaning: never a stray setting."""

# A Kubernetes service called device-status, or device-status-anything, puts variables with our prefix into every
# pod of its namespace: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_KUBERNETES_NAME = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_KUBERNETES_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")


class SettingsError(Exception):
    """The service can't start as it is set up; ``problems`` holds a sentence for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


Seconds = Annotated[float, BeforeValidator(values.seconds)]
Secrets = tuple[SecretStr, ...]
PublicKeys = tuple[str, ...]


class Settings(Limits, BaseSettings):
    """What the service is set up with. Shows no secrets, in whatever way it is printed.

    Constructed in code it takes what it is given and reads no environment variable, so that a test means
    what it says; :func:`load_settings` reads them.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=False
    )

    jwt_secret: Annotated[Secrets, NoDecode, BeforeValidator(values.secrets)] = Field(
        default=(),
        description="Secrets that tokens are signed with (HS256), one per line, each of at least 32 bytes."
        " Several for rotation: a token signed with any of them is good.",
    )
    jwt_secret_file: Annotated[Secrets, NoDecode, values.from_file(values.secrets)] = Field(
        default=(), description="Path of a file with such secrets, instead of `DEVICE_STATUS_JWT_SECRET`."
    )
    jwt_public_key: Annotated[PublicKeys, NoDecode, BeforeValidator(values.public_keys)] = Field(
        default=(),
        repr=False,
        description="Public keys of the tokens' issuer in PEM, one after the other: RSA from 2048 bits (RS256),"
        " EC P-256 (ES256), Ed25519 (EdDSA). Line breaks may be written as `\\n`.",
    )
    jwt_public_key_file: Annotated[PublicKeys, NoDecode, values.from_file(values.public_keys)] = Field(
        default=(),
        repr=False,
        description="Path of a file with such public keys, instead of `DEVICE_STATUS_JWT_PUBLIC_KEY`.",
    )
    jwks_url: Annotated[str, BeforeValidator(values.key_set_url)] | None = Field(
        default=None,
        description="Address of the JSON Web Key Set that the tokens' issuer publishes, `https://`. Its keys (RS256,"
        " ES256, EdDSA) are good beside those set here.",
    )
    jwks_refresh: Seconds = Field(
        default=300.0,
        description="Seconds between two fetches of the key set. A token that names a key that is not known yet causes"
        " one more, every 15 seconds at most.",
    )
    jwks_stale_limit: Seconds = Field(
        default=86_400.0,
        description="Seconds that the keys of the set serve on while it can't be fetched; then they are given up.",
    )
    jwt_algorithms: Annotated[tuple[Algorithm, ...], NoDecode, BeforeValidator(values.algorithms)] = Field(
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
    jwt_max_lifetime: Annotated[float, BeforeValidator(values.days)] | None = Field(
        default=None,
        description="Days from a token's `iat` to its `exp` at most; one that lives longer, or does not say when it was"
        " issued, is refused. Revocations are then forgotten when the tokens they are about have expired. Not set: any"
        " token may live as long as it says, and revocations are kept for good.",
    )
    database_url: Annotated[SecretStr, BeforeValidator(values.database_url)] = Field(
        default=SecretStr("sqlite:///device-status.db"),
        description="Where devices and their changes are kept: an SQLite file, or `postgresql://` (`postgres://`).",
    )
    broadcast_url: Annotated[SecretStr, BeforeValidator(values.broadcast_url)] = Field(
        default=SecretStr("memory://"),
        description="How processes hear of each other's changes: `memory://` for one process; for several a `redis://`"
        " (`rediss://`) server, or `postgresql://` (`postgres://`).",
    )
    unknown_devices: Annotated[Literal["create", "reject"], BeforeValidator(values.create_or_reject)] = Field(
        default="create", description="What a report about a device never seen before does: `create` it, or `reject`."
    )
    connection_init_timeout: Seconds = Field(
        default=10.0,
        description="Seconds a WebSocket client has to send `connection_init`, before it is closed (4408).",
    )
    keep_alive: Seconds = Field(
        default=15.0, description="Seconds between two signs of life that the service sends on every open connection."
    )
    stalled_timeout: Seconds = Field(
        default=60.0,
        description="Seconds after which a client that takes no byte, although some are waiting for it, is let go"
        " (1013). One that takes something, however slowly, is not.",
    )
    message_limit: Annotated[int, values.whole_number("bytes")] = Field(
        default=256 * 1024, description="Bytes of the biggest WebSocket message that is read (256 KiB)."
    )
    body_limit: Annotated[int, values.whole_number("bytes")] = Field(
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
    recent_changes_limit: Annotated[int, values.whole_number("bytes")] = Field(
        default=64 * 1024 * 1024,
        description="Bytes of recent changes that a process keeps in memory, for subscribers that catch up (64 MiB).",
    )
    max_replay: Annotated[int, values.whole_number("changes")] = Field(
        default=10_000,
        description="Changes that a subscriber of events who comes back is sent one by one; who has missed more is"
        " sent a snapshot.",
    )
    max_groups: Annotated[int, values.whole_number("groups")] = Field(
        default=10_000,
        description="Different subscriptions of one school (other filters, fields or rights) that a process serves at a"
        " time; those who ask for the same and may see the same count once.",
    )
    rendered_limit: Annotated[int, values.whole_number("bytes")] = Field(
        default=16 * 1024 * 1024,
        description="Bytes of results that a process keeps for subscribers who are about to ask for the same (16 MiB).",
    )
    unfinished_limit: Annotated[int, values.whole_number("bytes")] = Field(
        default=64 * 1024 * 1024,
        description="Bytes kept for clients that stop reading in a snapshot; beyond, it begins anew (64 MiB).",
    )
    history_days: Annotated[float, BeforeValidator(values.days)] = Field(
        default=30.0,
        description="Days that the log of changes is kept: how long ago a client may have left and still be sent"
        " each change it missed, and how far back `deviceHistory` goes.",
    )
    stale_after: Seconds | None = Field(
        default=None,
        description="Seconds after which a device that nobody reports becomes `UNKNOWN`, unless it is in"
        " `MAINTENANCE` or `RETIRED`; counted from the service's own start at the earliest. Not set: never.",
    )
    outbox_limit: Annotated[int, values.whole_number("rounds")] = Field(
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
    def _either_or(cls, value: Parsed, info: ValidationInfo) -> Parsed:
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
            SettingsError: neither a secret nor a public key nor a key set is set.
        """
        if self.secrets or self.public_keys or self.jwks_url:
            return
        sentence = (
            f"Set {variable('jwt_secret')} (make one: python -c 'import secrets; print(secrets.token_urlsafe(48))')"
            f", {variable('jwt_public_key')} or {variable('jwks_url')}, so that tokens can be verified;"
            " `device-status serve --demo` needs none"
        )
        raise SettingsError([sentence])


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that the environment holds; a blank variable counts as not set.

    Args:
        environ: the variables; ``os.environ`` by default.

    Raises:
        SettingsError: a value is wrong, or a file can't be read.
    """
    variables = (os.environ if environ is None else environ).items()
    given = {name: value.strip() for name, value in variables if name.upper().startswith(PREFIX)}
    for stray in _stray_variables(given):
        # No reason not to start: it may belong to another version of the service.
        logger.warning("%s", stray)
    # Names match to the letter: pydantic-settings, left alone, would let device_status_keep_alive win by chance.
    own = {name: given[name] for name in map(variable, Settings.model_fields) if given.get(name)}
    problems = [
        f"{name}: expected text in UTF-8, but got {size_of(value)} bytes that are none"
        for name, value in own.items()
        if not is_text(value)
    ]
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in own.items() if is_text(value)}
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
        yield f"{shown(name)[1:-1]} is no setting; {hint}"


def _comes_from_kubernetes(name: str, value: str) -> bool:
    rest = name.removeprefix(PREFIX)
    if _KUBERNETES_NAME.fullmatch(rest):
        return True
    return rest.split("_")[-1] == "PORT" and _KUBERNETES_ADDRESS.match(value) is not None


def in_order() -> list[str]:
    """The fields of the settings, the limits last: pydantic has a parent's fields first."""
    return sorted(Settings.model_fields, key=lambda name: name in Limits.model_fields)


def settings_table() -> str:
    """All variables as a Markdown table: name, default, meaning. Documentation holds it, and a test compares."""
    fields = Settings.model_fields
    rows = [(variable(name), written(fields[name].default), fields[name].description) for name in in_order()]
    rows += [(name, "", meaning) for name, meaning in COMMAND_VARIABLES.items()]
    lines = [
        f"| `{name}` | {f'`{default}`' if default else 'not set'} | {meaning} |" for name, default, meaning in rows
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *lines]) + "\n"


def written(value: object) -> str:
    """A value as one would write it into the environment, secrets too; empty when there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
