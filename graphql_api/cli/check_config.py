"""``device-status check-config``: what the service would be set up with."""

import sys
from typing import Annotated

import typer

__all__ = ["check_config"]

_WIDE = 1_000
"""Columns of a table that nobody looks at: it is not cut off for a terminal that isn't there."""


def check_config(
    workers: Annotated[int, typer.Option(min=1, help="How many processes are to serve.")] = 1,
) -> None:
    """Show the settings that the service would start with, without any secret.

    They are read from the environment. Ends with exit code 2 when the service would refuse to start with them.
    """
    # Imported late, as cli/program.py says.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from graphql_api.access.keys import load_keys
    from graphql_api.cli.configured import read_settings, require_shared, told_about_settings
    from graphql_api.settings import in_order, variable

    settings = read_settings()
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", no_wrap=True)
    for field in in_order():
        given = field in settings.model_fields_set
        style = "" if given else "dim"
        table.add_row(
            Text(variable(field), style),
            Text(_shown(settings, field), style),
            Text("environment" if given else "default", style),
        )
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
    with told_about_settings():
        load_keys(settings)
    require_shared(settings, workers)


def _shown(settings: object, field: str) -> str:
    from graphql_api.cli.database import shown_url  # late, as above
    from graphql_api.settings import written

    value = getattr(settings, field)
    match field:
        case "jwt_secret" | "jwt_secret_file" | "jwt_public_key" | "jwt_public_key_file":
            return f"set ({len(value)} {'key' if len(value) == 1 else 'keys'})" if value else "not set"
        case "database_url":
            return shown_url(value.get_secret_value())
        case "broadcast_url":
            return shown_url(value.get_secret_value())
    return written(value) or "not set"
