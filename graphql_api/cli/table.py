"""The table that ``watch`` draws. No I/O: a board in, something that rich can print out."""

from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from graphql_api.cli.board import Board, Row
from graphql_api.devices.model import Status
from graphql_api.moment import SECOND, Moment

__all__ = ["render"]

STYLES = {
    Status.ONLINE: "green",
    Status.DEGRADED: "yellow",
    Status.OFFLINE: "bold red",
    Status.MAINTENANCE: "blue",
    Status.UNKNOWN: "magenta",
    Status.RETIRED: "dim",
}

_AROUND = 7
"""Lines of the screen that are not rows: title, header and its rule, the line for the rest, counts, state, one free."""

_WIDE = 78
"""Columns that all there is to tell of a device needs."""

_RECENT = 5 * SECOND
"""How long a change stands out."""

_AWAY = frozenset({Status.OFFLINE, Status.UNKNOWN})
"""For the others, when they were last seen is old at once: reports that change no status are not broadcast."""

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def render(board: Board, now: Moment, state: str, *, alive: bool, size: tuple[int, int]) -> RenderableType:
    """As much of the board as a screen of that width and height holds, and what it all comes to."""
    width, height = size
    rows = board.rows()
    shown = rows[: max(1, height - _AROUND)]
    title = Text("Device Status", "bold")
    if board.school is not None:
        title.append(f"  school {board.school}", "not bold")
    table = _table(shown, now, wide=width >= _WIDE)
    rest = Text(_rest(rows[len(shown) :]), "dim")
    return Group(title, table, rest, _counts(board), Text(f"● {state}", "green" if alive else "bold red"))


def _table(rows: list[Row], now: Moment, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("device", no_wrap=True, min_width=12, overflow="ellipsis")
    table.add_column("status", no_wrap=True, min_width=13)
    table.add_column("changed", no_wrap=True, justify="right", min_width=10)
    if wide:
        table.add_column("at", no_wrap=True, min_width=8)
        table.add_column("before", no_wrap=True, min_width=11)
        table.add_column("last seen", no_wrap=True, justify="right", min_width=10)
    for row in rows:
        cells = [*_cells(row, now), *(_more_cells(row, now) if wide else ())]
        table.add_row(*cells)
    return table


def _cells(row: Row, now: Moment) -> tuple[Text, ...]:
    recent = now - row.changed_at < _RECENT
    return (
        Text(row.device_id, "bold" if recent else ""),
        Text(f"● {row.status}", STYLES[row.status]),
        Text(_ago(row.changed_at, now), "bold" if recent else "dim"),
    )


def _more_cells(row: Row, now: Moment) -> tuple[Text, ...]:
    return (
        Text(_clock(row.changed_at, now), "dim"),
        Text(row.previous or "", "dim"),
        Text(_ago(row.last_seen, now) if row.status in _AWAY else "", "dim"),
    )


def _counts(board: Board) -> Text:
    counts = board.counts()
    devices = sum(counts.values())
    text = Text(f"{devices} {'device' if devices == 1 else 'devices'}")
    for status, count in counts.items():
        text.append("  ").append(f"{count} {status}", STYLES[status])
    return text


def _rest(rows: list[Row]) -> str:
    if not rows:
        return ""
    statuses = {row.status for row in rows}
    return f"... and {len(rows)} more{f', all {rows[0].status}' if len(statuses) == 1 else ''}"


def _clock(moment: Moment, now: Moment) -> str:
    """The time of day here, or the day when that was another one."""
    then, today = (datetime.fromtimestamp(value / SECOND).astimezone() for value in (moment, now))
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d")


def _ago(moment: Moment, now: Moment) -> str:
    seconds = (now - moment) // SECOND
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "now"
