"""The settings as a command needs them: what is wrong with them, in sentences."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from graphql_api.cli.failure import MISUSED, CommandFailed
from graphql_api.settings import Settings, SettingsError, load_settings, variable

__all__ = ["read_settings", "require_shared", "told_about_settings"]

logger = logging.getLogger(__name__)


@contextmanager
def told_about_settings() -> Iterator[None]:
    """What is wrong with the settings ends the command, a sentence for each problem."""
    try:
        yield
    except SettingsError as error:
        raise CommandFailed(*error.problems, exit_code=MISUSED) from None


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the environment.

    Raises:
        CommandFailed: they are wrong.
    """
    with told_about_settings():
        return load_settings(environ)


def require_shared(settings: Settings, workers: int) -> None:
    """See that so many workers can share what is configured; a mixture that helps nobody is a warning.

    Raises:
        CommandFailed: they can't.
    """
    database, broadcaster = variable("database_url"), variable("broadcast_url")
    has_file = settings.database_url.get_secret_value().startswith("sqlite:")
    is_alone = settings.broadcast_url.get_secret_value() == "memory://"
    if workers == 1:
        if has_file and not is_alone:
            logger.warning(
                "%s names a broadcaster for several processes, but %s an SQLite file, which is for one; set the latter"
                " to postgresql://user:password@host/database, or leave the former out",
                broadcaster,
                database,
            )
        return
    problems = []
    if has_file:
        problems.append(
            f"{database}: expected postgresql://user:password@host/database with --workers {workers}, but got an SQLite"
            " file, which is for one process"
        )
    if is_alone:
        problems.append(
            f"{broadcaster}: expected redis://host:6379, or the URL of the PostgreSQL database, with --workers"
            f" {workers}, but got memory://, over which no process hears of another's changes"
        )
    if os.name != "posix":
        problems.append(f"--workers {workers}: expected 1 on this system, where processes can't share a socket")
    if problems:
        raise CommandFailed(*problems, exit_code=MISUSED)
