"""What is wrong with the database that the settings name, in sentences without its password."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from graphql_api.cli.failure import MISUSED, CommandFailed
from graphql_api.devices.engines import UnusableDatabaseError
from graphql_api.errors import Unavailable
from graphql_api.settings import Settings, variable

__all__ = ["shown_url", "told_about_database"]

_SECRET_PARAMETERS = frozenset({"password", "sslpassword", "passfile", "sslkey", "ssl_password", "ssl_keyfile"})
"""Parameters of a PostgreSQL or Redis URL that may hold a secret, or tell where one is."""


@contextmanager
def told_about_database(settings: Settings) -> Iterator[None]:
    """What is wrong with the database ends the command, with the cause and without the password."""
    url = settings.database_url.get_secret_value()
    name = variable("database_url")
    try:
        yield
    except UnusableDatabaseError as error:
        raise CommandFailed(f"{name}: {_told(str(error), url)}") from None
    except ValueError as error:
        raise CommandFailed(f"{name}: {_told(str(error), url)}", exit_code=MISUSED) from None
    except Unavailable as error:
        cause = error.__cause__ or error
        raise CommandFailed(f"{name}: {shown_url(url)} can't be reached: {_told(_text(cause), url)}") from None
    except SQLAlchemyError as error:
        raise CommandFailed(f"{name}: {shown_url(url)} can't be used: {_told(_text(error), url)}") from None


def shown_url(url: str) -> str:
    """A database's URL without its password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "a URL that can't be read"
    shown = {name: value for name, value in parsed.query.items() if name not in _SECRET_PARAMETERS}
    return parsed.set(query=shown).render_as_string(hide_password=True)


def _text(error: BaseException) -> str:
    # SQLAlchemy's own text goes on about statements and links.
    return str(error.orig) if isinstance(error, DBAPIError) and error.orig else str(error)


def _told(text: str, url: str) -> str:
    """What a driver says, in one line, and without the URL's secrets should it repeat them."""
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _secrets(url: str) -> list[str]:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return [url]
    found = [str(parsed.query[name]) for name in _SECRET_PARAMETERS if parsed.query.get(name)]
    return [*found, parsed.password] if parsed.password else found
