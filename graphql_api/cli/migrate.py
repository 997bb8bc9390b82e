"""``device-status migrate``: bring the database to this version's tables."""

import typer

__all__ = ["migrate"]


def migrate() -> None:
    """Bring the database to this version's tables.

    It is the one of DEVICE_STATUS_DATABASE_URL. The service does it at start by itself.
    """
    # Imported late, as cli/program.py says.
    from graphql_api.cli.configured import read_settings
    from graphql_api.cli.database import shown_url, told_about_database
    from graphql_api.devices.database import migrate_database

    settings = read_settings()
    url = settings.database_url.get_secret_value()
    with told_about_database(settings):
        done = migrate_database(url)
    if done.before == done.after:
        typer.echo(f"{shown_url(url)} is at revision {done.after}: nothing was to be done.")
    else:
        typer.echo(f"{shown_url(url)} was brought from {done.before or 'an empty database'} to revision {done.after}.")
