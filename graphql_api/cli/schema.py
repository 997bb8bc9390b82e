"""``device-status schema``: the published contract, and whether it is the one that is served."""

import difflib
import sys
from pathlib import Path
from typing import Annotated

import typer

from graphql_api.cli.failure import CommandFailed

__all__ = ["schema"]

_FILE = Path("schema/schema.graphql")
_STDOUT = Path("-")

schema = typer.Typer(no_args_is_help=True, help="Write the GraphQL schema to a file, or compare a file with it.")


@schema.command()
def export(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; - is the standard output.")
    ] = _FILE,
) -> None:
    """Write the schema in GraphQL's schema definition language."""
    text = _sdl()
    if output == _STDOUT:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{output} can't be written: {error.strerror}.") from None
    typer.echo(f"Wrote {output}.")


@schema.command()
def check(
    file: Annotated[Path, typer.Option("--file", "-f", help="The file that should hold the schema.")] = _FILE,
) -> None:
    """Compare a file with the schema: exit code 1 and what differs, if anything does."""
    try:
        found = file.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{file} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} can't be read: it is no text in UTF-8.") from None
    served = _sdl()
    if found == served:
        typer.echo(f"{file} holds the schema that is served.")
        return
    lines = difflib.unified_diff(
        found.splitlines(keepends=True), served.splitlines(keepends=True), str(file), "the schema that is served"
    )
    for line in lines:
        typer.echo(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False)
    raise CommandFailed(f"{file} differs from the schema that is served; device-status schema export writes it anew.")


def _sdl() -> str:
    from graphql_api.schema import Executor  # late, as cli/program.py says

    return Executor().sdl()
