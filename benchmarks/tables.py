"""The figures as tables, in Markdown: what each server does, with ratios, and how far the goals are met."""

from collections.abc import Callable, Sequence

from benchmarks.goals import GOALS, Goal
from benchmarks.measurement import Measurement, Results
from benchmarks.server import DEVICE_STATUS

__all__ = ["busy_table", "figure", "figures_table", "goals_table", "page"]

_BUSY_TEXT = (
    "Throughputs for each second that the server's process was on its core: what it costs, without what it waited for,"
    " and without what else the machine did."
)
_GOALS_TEXT = "What it ought to be; a ratio also for each second on the core, and met when both are:"

# Server and load are two who compute at a time; the rest is somebody else's.
_OWN_LOAD = 3.0

_FigureOf = Callable[[Measurement], float | None]

_NOTHING = "–"  # noqa: RUF001 - a dash, as typographers have it


def page(results: Results) -> str:
    """All there is to be said about a run."""
    machine = results.machine
    parts = [
        f"Measured on {results.taken_at[:10]}: {machine['processor']}, {machine['cores']} cores, {machine['kernel']},"
        f" Python {machine['python']}; server on one core, load on another one."
        + (" A quick run, whose figures say nothing." if results.quick else ""),
        *_about_load(results),
        figures_table(results),
        *_with_text(_BUSY_TEXT, busy_table(results)),
        *_with_text(_GOALS_TEXT, goals_table(results)),
        *results.left_out,
    ]
    return "\n\n".join(parts)


def figures_table(results: Results) -> str:
    """A row for each case, a column for each server, with this service's ratio to it."""
    return _by_server(results.measurements, lambda one: one.value)


def busy_table(results: Results) -> str:
    """As :func:`figures_table`, of throughputs for each second that the server was busy; nothing without any."""
    return _by_server([one for one in results.measurements if one.per_busy_second], lambda one: one.per_busy_second)


def goals_table(results: Results) -> str:
    """A row for each goal that was measured; nothing where none was."""
    rows = []
    for goal in GOALS:
        if (value := _value_of(goal, results, lambda one: one.value)) is None:
            continue
        busy = _value_of(goal, results, lambda one: one.per_busy_second) if goal.against else None
        bound = "at most" if goal.less_is_better else "at least"
        rows.append(
            [
                goal.case + _beside(goal),
                figure(value),
                figure(busy) if busy else "",
                f"{bound} {figure(goal.at_least)}",
                figure(goal.great) if goal.great else "",
                "yes" if goal.is_met(value) and (busy is None or goal.is_met(busy)) else "no",
            ]
        )
    return _table(["goal", "measured", "on the core", "wanted", "great", "met"], rows) if rows else ""


def figure(value: float) -> str:
    """Three digits that count, and all before the point."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _about_load(results: Results) -> list[str]:
    highest = max((one.load_average for one in results.measurements), default=0.0)
    if highest <= _OWN_LOAD:
        return []
    sentence = (
        f"The machine was not idle: its load average went up to {highest:.1f}, of which server and load are 2."
        " So figures are worse than they would be, and ratios less certain; who was busy the least suffers the most."
    )
    return [sentence]


def _with_text(text: str, table: str) -> list[str]:
    return [text, table] if table else []


def _by_server(measurements: Sequence[Measurement], figure_of: _FigureOf) -> str:
    if not measurements:
        return ""
    servers = list(dict.fromkeys(one.server for one in measurements))
    found = {one.key: one for one in measurements}
    rows = []
    for benchmark, case, unit in dict.fromkeys((one.benchmark, one.case, one.unit) for one in measurements):
        figures = [
            figure_of(one) if (one := found.get((benchmark, case, server))) else None
            for server in (DEVICE_STATUS, *servers)
        ]
        rows.append(
            [case, unit, *(_cell(each, figures[0], server) for each, server in zip(figures[1:], servers, strict=True))]
        )
    return _table(["", "unit", *servers], rows)


def _cell(value: float | None, own: float | None, server: str) -> str:
    if value is None:
        return _NOTHING
    if own is None or server == DEVICE_STATUS or not value:
        return figure(value)
    return f"{figure(value)} ({_ratio(own / value)})"


def _ratio(value: float) -> str:
    return f"{figure(value)}x"


def _value_of(goal: Goal, results: Results, figure_of: _FigureOf) -> float | None:
    own = results.find(goal.benchmark, goal.case, DEVICE_STATUS)
    value = figure_of(own) if own else None
    if goal.against is None and goal.against_case is None:
        return value
    other = results.find(goal.benchmark, goal.against_case or goal.case, goal.against or DEVICE_STATUS)
    against = figure_of(other) if other else None
    return value / against if value and against else None


def _beside(goal: Goal) -> str:
    if goal.against:
        return f": against {goal.against}"
    return f": against {goal.against_case}" if goal.against_case else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
