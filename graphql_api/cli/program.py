"""The program: its commands, and how it ends.

A command's module imports what it works with inside of its function: the schema and the server take
a second or more to import, which ``device-status --help`` and ``watch`` need not wait for.
"""

import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from graphql_api.cli.check_config import check_config
from graphql_api.cli.failure import FAILED, CommandFailed
from graphql_api.cli.migrate import migrate
from graphql_api.cli.publish import publish
from graphql_api.cli.schema import schema
from graphql_api.cli.serve import serve
from graphql_api.cli.tokens import token
from graphql_api.cli.watch import watch

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Commands whose failures are sentences on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was given."""
        try:
            return super().invoke(ctx)
        except CommandFailed as failed:
            for sentence in failed.sentences:
                typer.echo(sentence, err=True)
            raise typer.Exit(failed.exit_code) from None


app = typer.Typer(
    name="device-status",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 (Typer's signature of a callback)
    if wanted:
        from importlib.metadata import version  # its import costs more than all of --help

        typer.echo(f"device-status {version('device-status-graphql')}")
        raise typer.Exit


@app.callback()
def _describe(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """Live device statuses for schools, over GraphQL subscriptions.

    Try it: `device-status serve --demo` serves a simulated school and prints what to do next.
    """


app.command()(serve)
app.command(no_args_is_help=True)(token)
app.command()(publish)
app.command()(watch)
app.add_typer(schema, name="schema")
app.command()(migrate)
app.command("check-config")(check_config)


def main() -> None:
    """Run the command that the command line holds."""
    # What Ctrl-C ends cleanly, SIGTERM and a closed terminal do too: a terminal gets its cursor back, a
    # folder is removed. Under nohup, SIGHUP is to be ignored.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(signal.Signals[name]) is not signal.SIG_IGN:
            signal.signal(signal.Signals[name], _as_ctrl_c)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        sys.exit(FAILED)


def _as_ctrl_c(_signal: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        # A shell has its background jobs ignore Ctrl-C; the other signals are meant for them all the same.
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _forget_output() -> None:
    # Who read our output has gone (`device-status schema export --output - | head`). Python would
    # flush once more at exit, and complain: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
