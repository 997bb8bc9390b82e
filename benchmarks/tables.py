"""The figures as tables, in Markdown: what each server does, with ratios, and how far the goals are met."""

from collections.abc import Sequence

from benchmarks.goals import GOALS, Goal
from benchmarks.measurement import Measurement, Results
from benchmarks.server import DEVICE_STATUS

__all__ = ["figure", "figures_table", "goals_table", "page"]

_NOTHING = "–"  # noqa: RUF001 - a dash, as typographers have it


def page(results: Results) -> str:
    """All there is to be said about a run."""
    machine = results.machine
    parts = [
        f"Measured on {results.taken_at[:10]}: {machine['processor']}, {machine['cores']} cores, {machine['kernel']},"
        f" Python {machine['python']}; server on one core, load on another one."
        + (" A quick run, whose figures say nothing." if results.quick else ""),
        figures_table(results),
        *([table] if (table := goals_table(results)) else []),
        *results.left_out,
    ]
    return "\n\n".join(parts)


def figures_table(results: Results) -> str:
    """A row for each case, a column for each server, with its ratio where it is not this service's own."""
    servers = list(dict.fromkeys(one.server for one in results.measurements))
    cases = dict.fromkeys((one.benchmark, one.case, one.unit) for one in results.measurements)
    found = {one.key: one for one in results.measurements}
    rows = []
    for benchmark, case, unit in cases:
        own = found.get((benchmark, case, DEVICE_STATUS))
        cells = [_cell(found.get((benchmark, case, server)), own) for server in servers]
        rows.append([case, unit, *cells])
    return _table(["", "unit", *servers], rows)


def goals_table(results: Results) -> str:
    """A row for each goal that was measured; nothing where none was."""
    rows = []
    for goal in GOALS:
        if (value := _value_of(goal, results)) is None:
            continue
        bound = "at most" if goal.less_is_better else "at least"
        rows.append(
            [
                goal.case + _beside(goal),
                figure(value),
                f"{bound} {figure(goal.at_least)}",
                figure(goal.great) if goal.great else "",
                "yes" if goal.is_met(value) else "no",
            ]
        )
    return _table(["goal", "measured", "wanted", "great", "met"], rows) if rows else ""


def figure(value: float) -> str:
    """Three digits that count, and all before the point."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cell(one: Measurement | None, own: Measurement | None) -> str:
    if one is None:
        return _NOTHING
    if own is None or one is own or not one.value:
        return figure(one.value)
    return f"{figure(one.value)} ({_ratio(own.value / one.value)})"


def _ratio(value: float) -> str:
    return f"{figure(value)}x"


def _value_of(goal: Goal, results: Results) -> float | None:
    value = results.value(goal.benchmark, goal.case, DEVICE_STATUS)
    if goal.against is None and goal.against_case is None:
        return value
    other = results.value(goal.benchmark, goal.against_case or goal.case, goal.against or DEVICE_STATUS)
    return None if value is None or not other else value / other


def _beside(goal: Goal) -> str:
    if goal.against:
        return f": against {goal.against}"
    return f": against {goal.against_case}" if goal.against_case else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
