"""``device-status publish``: report statuses as a health checker does."""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from graphql_api.cli.failure import MISUSED, CommandFailed
from graphql_api.cli.reports import GivenReport, UnusableReport, read_argument, read_lines
from graphql_api.cli.target import DEFAULT_URL, Target, TokenOption, UrlOption, find_target
from graphql_api.moment import format_moment, now

__all__ = ["publish"]

_COUNTS = ("changed", "created", "unchanged", "stale", "ignored")


def publish(
    reports: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DEVICE=STATUS...",
            help="Devices and their statuses, like board-7=OFFLINE. With -, or without any, lines of JSON are read from"
            ' the standard input: {"deviceId": "board-7", "status": "OFFLINE"}, and observedAt, lastSeen.',
            show_default=False,
        ),
    ] = None,
    school: Annotated[
        str | None, typer.Option(help="The school; not needed when the token names just one.", show_default=False)
    ] = None,
    *,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Record the valid reports although others are invalid.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = "",
) -> None:
    """Report the statuses of devices.

    Each carries the moment of the call as observedAt, so that a call that may be lost can be sent again.

    More than 1,000 reports go out as several rounds.
    """
    target = find_target(url, token)
    given, problems = _read(reports or [])
    for problem in problems:
        typer.echo(problem, err=True)
    if problems and not skip_invalid:
        raise CommandFailed("Nothing was sent.", exit_code=MISUSED)
    if not given:
        raise CommandFailed("There is nothing to publish.", exit_code=MISUSED)
    total = asyncio.run(_publish(target, given, school, skip_invalid=skip_invalid))
    total["rejected"] += len(problems)
    typer.echo(_summary(total))


def _read(arguments: Sequence[str]) -> tuple[list[GivenReport], list[str]]:
    # One moment for all of the call.
    observed_at = format_moment(now())
    if "-" in arguments and len(arguments) > 1:
        raise CommandFailed("Give reports, or - for the standard input, but not both.", exit_code=MISUSED)
    if arguments and arguments != ["-"]:
        return _read_arguments(arguments, observed_at)
    if not arguments and sys.stdin.isatty():
        raise CommandFailed(
            "Give reports like board-7=OFFLINE, or lines of JSON on the standard input.", exit_code=MISUSED
        )
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # it is a text file
    return read_lines(sys.stdin, observed_at)


def _read_arguments(arguments: Sequence[str], observed_at: str) -> tuple[list[GivenReport], list[str]]:
    given: list[GivenReport] = []
    problems: list[str] = []
    for argument in arguments:
        try:
            given.append(read_argument(argument, observed_at))
        except UnusableReport as problem:
            problems.append(str(problem))
    return given, problems


async def _publish(
    target: Target, given: Sequence[GivenReport], school: str | None, *, skip_invalid: bool
) -> Counter[str]:
    """Send all rounds, tell what the service rejects, and hand back what came of the others."""
    # Imported late, as cli/program.py says.
    import httpx

    from graphql_api.cli.publisher import MOST_REPORTS, CallRefused, publish_round

    total: Counter[str] = Counter()
    async with httpx.AsyncClient() as client:
        for start in range(0, len(given), MOST_REPORTS):
            part = given[start : start + MOST_REPORTS]
            inputs = [report.input for report in part]
            try:
                result = await publish_round(
                    client, target, inputs, school=school, skip_invalid=skip_invalid, tell=_tell
                )
            except CommandFailed as failed:
                problems = failed.problems if isinstance(failed, CallRefused) else []
                lines = [_about(part, problem["index"], problem["reason"]) for problem in problems]
                recorded = [f"The {start:,} reports before were recorded."] if start else []
                raise CommandFailed(*lines, *failed.sentences, *recorded) from None
            total.update({name: result[name] for name in _COUNTS})
            total["rejected"] += len(result["rejected"])
            for one in result["rejected"]:
                _tell(_about(part, one["index"], one["message"]))
    return total


def _about(part: Sequence[GivenReport], index: int, reason: str) -> str:
    return f"{part[index].where} ({part[index].device_id}): {reason}"


def _summary(total: Counter[str]) -> str:
    parts = [f"{total['changed']} changed ({total['created']} new)", f"{total['unchanged']} unchanged"]
    parts += [f"{total[name]} {name}" for name in ("stale", "ignored", "rejected") if total[name]]
    return ", ".join(parts)


def _tell(sentence: str) -> None:
    typer.echo(sentence, err=True)
