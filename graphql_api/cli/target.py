"""The service that ``watch`` and ``publish`` speak to, and the token that they send."""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import typer

from graphql_api.cli.failure import MISUSED, CommandFailed

__all__ = ["DEFAULT_URL", "Target", "TokenOption", "UrlOption", "find_target"]

DEFAULT_URL = "http://127.0.0.1:8000/graphql"

UrlOption = Annotated[
    str,
    typer.Option("--url", envvar="DEVICE_STATUS_URL", help="The service's GraphQL endpoint: http(s):// or ws(s)://."),
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="DEVICE_STATUS_TOKEN",
        show_default=False,
        help="The token to send. The environment keeps it out of the list of processes.",
    ),
]

_PLAIN = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint under both of its names, and the token for it."""

    http: str
    ws: str
    token: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """What an Authorization header, or its place in connection_init, holds."""
        return f"Bearer {self.token}"


def find_target(url: str, token: str) -> Target:
    """What the options name.

    Raises:
        CommandFailed: the URL is none, or there is no token.
    """
    parts = _parts(url.strip())
    scheme = _PLAIN[parts.scheme]
    http = parts._replace(scheme=scheme, path=parts.path.rstrip("/") or "/graphql", fragment="")
    ws = http._replace(scheme=scheme.replace("http", "ws"))
    return Target(http.geturl(), ws.geturl(), _bare(token))


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PLAIN and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise CommandFailed(f"--url: expected a URL like {DEFAULT_URL}, but got {url!r}.", exit_code=MISUSED)
    return parts


def _bare(token: str) -> str:
    bare = token.strip().removeprefix("Bearer ").strip()
    if not bare:
        raise CommandFailed(
            "Give a token with --token or DEVICE_STATUS_TOKEN; `device-status token` makes one.", exit_code=MISUSED
        )
    if not bare.isascii() or not bare.isprintable() or " " in bare:
        # Not shown: it may be a real token with a slip.
        raise CommandFailed("--token: expected a JSON Web Token, but got other text.", exit_code=MISUSED)
    return bare
