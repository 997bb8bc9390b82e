"""From samples to the tables and the picture that are shown."""

import dataclasses
import json
from xml.etree import ElementTree as ET

import pytest

from benchmarks import fanout
from benchmarks.effort import FULL
from benchmarks.goals import GOALS
from benchmarks.measurement import Results, measured
from benchmarks.peers.running import GRAPHQL_WS, RAW, STOCK
from benchmarks.plot import plot
from benchmarks.readme import PLOT, README, RESULTS, filled, read_results
from benchmarks.server import DEVICE_STATUS
from benchmarks.tables import busy_table, figure, figures_table, goals_table, page

SINGLE = fanout.case(fanout.SINGLE_EVENTS, FULL.crowds[0])


def results(*measurements, left_out=()):
    machine = {"processor": "a processor", "cores": "2", "kernel": "Linux 6", "python": "3.11"}
    return Results("2026-11-26T05:00:00+00:00", machine, False, measurements, tuple(left_out))


def single(server, *samples):
    return measured("fanout", SINGLE, server, "deliveries/s", samples)


FOUR = results(
    single(DEVICE_STATUS, 150_000, 100_000, 140_000),
    single(RAW, 200_000),
    single(STOCK, 5_000),
    single(GRAPHQL_WS, 40_000),
    left_out=["Something is left out."],
)


def test_the_figure_is_the_median_of_the_samples():
    """An outlier does not move the figure, and all samples are kept."""
    one = single(DEVICE_STATUS, 1, 3, 1_000)
    assert (one.value, one.samples) == (3, (1, 3, 1_000))


def test_others_are_shown_with_our_ratio_to_them():
    """A row holds each server's figure, and how many times it this service does."""
    assert figures_table(FOUR).splitlines()[2] == (
        f"| {SINGLE} | deliveries/s | 140,000 | 200,000 (0.7x) | 5,000 (28x) | 40,000 (3.5x) |"
    )


def test_a_server_without_the_figure_has_a_dash():
    """What was measured of one server alone leaves the others' cells empty."""
    table = figures_table(results(single(DEVICE_STATUS, 1), measured("memory", "of memory", STOCK, "KB", [60])))
    assert [line.count("–") for line in table.splitlines()] == [0, 0, 1, 1]  # noqa: RUF001 - the table's own


def test_goals_are_compared_with_the_ratios():
    """Each goal of a ratio says what was measured, and whether it is met; goals without figures are left out."""
    rows = [line.split(" | ")[1:] for line in goals_table(FOUR).splitlines()[2:]]
    assert rows == [
        ["0.7", "", "at least 0.6", "0.75", "yes |"],
        ["28", "", "at least 25", "", "yes |"],
        ["3.5", "", "at least 4", "", "no |"],
    ]


def test_throughputs_are_told_for_each_busy_second_too():
    """A server that was on its core for half of the time counts double there; other units are not throughputs."""
    own = measured("fanout", SINGLE, DEVICE_STATUS, "deliveries/s", [100], server_cpu=[0.5])
    other = measured("fanout", SINGLE, RAW, "deliveries/s", [300], server_cpu=[1.0])
    wait = measured("latency", "of waiting", DEVICE_STATUS, "ms", [3], server_cpu=[0.5])
    assert busy_table(results(own, other, wait)).splitlines()[2:] == [
        f"| {SINGLE} | deliveries/s | 200 | 300 (0.667x) |"
    ]
    assert " | 0.333 | 0.667 | at least 0.6 | 0.75 | no |" in goals_table(results(own, other))


@pytest.mark.parametrize(("load_average", "told"), [(2.0, False), (7.5, True)])
def test_a_busy_machine_is_told(load_average, told):
    """When more than server and load was going on, the page says so."""
    busy = dataclasses.replace(single(RAW, 1), load_average=load_average)
    assert ("not idle" in page(results(busy))) is told


def test_less_may_be_better():
    """A goal that is a bound from above is met by what is under it."""
    goal = next(goal for goal in GOALS if goal.benchmark == "memory")
    assert (goal.is_met(23.9), goal.is_met(24.1)) == (True, False)


@pytest.mark.parametrize(
    ("value", "text"), [(3_570_123.4, "3,570,123"), (123.4, "123"), (12.34, "12.3"), (0.567, "0.567"), (0.0, "0")]
)
def test_figures_have_three_digits(value, text):
    """Digits that mean nothing are not shown."""
    assert figure(value) == text


def test_what_is_left_out_is_said():
    """The page ends with the sentences about what could not be measured."""
    assert page(FOUR).endswith("\n\nSomething is left out.")


def test_results_survive_json():
    """What is read back from JSON equals what was written."""
    assert Results.from_json(json.loads(json.dumps(FOUR.to_json()))) == FOUR


def test_the_picture_has_a_bar_for_each_server():
    """The SVG is well-formed, and a bar ten times as long in figures is one step longer on its scale."""
    picture = ET.fromstring(plot(results(single(RAW, 10_000), single(STOCK, 1_000), single(GRAPHQL_WS, 100))))
    bars = [float(bar.get("width")) for bar in picture.iter("{http://www.w3.org/2000/svg}rect") if bar.get("y")]
    assert bars[0] == pytest.approx(2 * bars[1], abs=1)
    assert bars[2] == 1


def test_without_a_fan_out_there_is_no_picture():
    """Where nothing was measured, nothing is drawn."""
    assert plot(results()) == ""


def test_the_readme_must_have_its_marks():
    """A README without them is not silently left as it is."""
    with pytest.raises(ValueError, match="benchmarks: begin"):
        filled("nothing", FOUR)


def test_the_readme_shows_the_committed_figures():
    """README and picture are what ``python -m benchmarks.readme`` makes of the committed results."""
    committed = read_results(RESULTS)
    assert filled(README.read_text(), committed) == README.read_text()
    assert plot(committed) == PLOT.read_text()
