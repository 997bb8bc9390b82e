"""``device-status token``: a JSON Web Token, signed with the configured secret."""

import re
from typing import Annotated

import typer

from graphql_api.cli.failure import MISUSED, CommandFailed

__all__ = ["parse_ttl", "token"]

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TTL = re.compile(r"(\d{1,9}) ?([smhd]?)")


def token(
    school: Annotated[
        list[str], typer.Option(help='A school that the token is for; may be repeated. "*" is every school.')
    ],
    subject: Annotated[str, typer.Option(help="Who the token is for.")] = "device-status-cli",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What the token allows: devices:read, devices:publish, devices:admin. May be repeated.",
            show_default="devices:read",
        ),
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it is good: seconds, or like 30m, 12h, 7d.")] = "1h",
) -> None:
    """Print a token that a service with the same settings accepts.

    It is signed with the first secret of DEVICE_STATUS_JWT_SECRET.
    """
    # Imported late, as cli/program.py says.
    from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ
    from graphql_api.access.signing import sign_configured_token
    from graphql_api.cli.configured import read_settings, told_about_settings
    from graphql_api.moment import SECOND, Moment, now

    scopes = [DEVICES_READ] if scope is None else [name for text in scope for name in text.split()]
    seconds = parse_ttl(ttl)
    # Whole seconds make for a shorter token.
    second = Moment(now() // SECOND * SECOND)
    settings = read_settings()
    try:
        with told_about_settings():
            signed = sign_configured_token(
                settings, subject=subject, schools=school, scopes=scopes, ttl_seconds=seconds, now=second
            )
    except ValueError as error:
        raise CommandFailed(f"No token was made: {error}.", exit_code=MISUSED) from None
    known = {DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN}
    for name in scopes:
        if name not in known:
            typer.echo(f"{name!r} means nothing to this service; its scopes are {', '.join(sorted(known))}.", err=True)
    typer.echo(signed)


def parse_ttl(text: str) -> int:
    """Seconds.

    Raises:
        CommandFailed: the text is no time to live.
    """
    found = _TTL.fullmatch(text.strip())
    if not found or int(found[1]) == 0:
        raise CommandFailed(
            f"--ttl: expected seconds, or a time like 30m, 12h or 7d, but got {text!r}.", exit_code=MISUSED
        )
    return int(found[1]) * _UNITS[found[2]]
