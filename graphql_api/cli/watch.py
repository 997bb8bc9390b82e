"""``device-status watch``: a school's devices, live."""

import asyncio
import sys
from typing import Annotated, Any

import typer

from graphql_api.cli.failure import MISUSED, CommandFailed
from graphql_api.cli.target import DEFAULT_URL, Target, TokenOption, UrlOption, find_target
from graphql_api.devices.model import Status

__all__ = ["watch"]


def watch(
    school: Annotated[
        str | None, typer.Option(help="The school; not needed when the token names just one.", show_default=False)
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Only this device; may be repeated.", show_default=False)
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only devices with this status, like OFFLINE; may be repeated.", show_default=False),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = "",
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as a line of JSON instead; a snapshot comes first.")
    ] = False,
) -> None:
    """Show the devices of a school as they change, until Ctrl-C.

    A connection that breaks is made again; a token that is refused ends the command.
    """
    target = find_target(url, token)
    statuses = [_status(text) for text in status or []]
    # Left out, not null: the arguments that are not asked for keep their defaults.
    asked = {"schoolId": school, "deviceIds": device, "statuses": [status.value for status in statuses]}
    variables = {name: value for name, value in asked.items() if value}
    asyncio.run(_watch(target, variables, statuses, as_json=as_json))


def _status(text: str) -> Status:
    try:
        return Status(text.upper())
    except ValueError:
        expected = ", ".join(Status)
        raise CommandFailed(f"--status: expected one of {expected}, but got {text!r}.", exit_code=MISUSED) from None


async def _watch(target: Target, variables: dict[str, Any], statuses: list[Status], *, as_json: bool) -> None:
    # Imported late, as cli/program.py says.
    from rich.console import Console

    from graphql_api.cli.board import Board
    from graphql_api.cli.subscriber import subscribe_for_ever
    from graphql_api.cli.views import JsonLines, LiveTable, TextLines

    if as_json:
        await subscribe_for_ever(target, variables, JsonLines())
        return
    console = Console()
    if not (console.is_terminal and sys.stdout.isatty()):
        await subscribe_for_ever(target, variables, TextLines(Board(statuses)))
        return
    table = LiveTable(Board(statuses), console)
    drawing = asyncio.create_task(table.keep_drawing())
    subscribing = asyncio.create_task(subscribe_for_ever(target, variables, table))
    try:
        await asyncio.wait({drawing, subscribing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        drawing.cancel()
        subscribing.cancel()
        results = await asyncio.gather(drawing, subscribing, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
