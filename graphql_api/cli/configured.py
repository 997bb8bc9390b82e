"""The settings as a command needs them: what is wrong with them, in sentences."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from graphql_api.cli.failure import MISUSED, CommandFailed
from graphql_api.settings import Settings, SettingsError, load_settings

__all__ = ["read_settings", "told_about_settings"]


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
