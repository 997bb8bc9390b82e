"""The benchmarks as they are started, on a real server, with 20 subscribers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.measurement import Results
from benchmarks.server import DEVICE_STATUS, environment

ROOT = Path(__file__).parent.parent.parent


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def test_a_quick_run_measures_and_checks(tmp_path):
    """A storm of 20 clients and the pauses of a fan-out to them end with figures, a table, and JSON."""
    output = tmp_path / "results.json"
    done = run("storm", "pauses", "--quick", "--output", str(output))
    assert done.returncode == 0, done.stderr
    results = Results.from_json(json.loads(output.read_text()))
    assert [one.benchmark for one in results.measurements] == ["storm", *["pauses"] * 4]
    assert {one.server for one in results.measurements} == {DEVICE_STATUS}
    assert all(one.value > 0 for one in results.measurements)
    assert results.quick
    assert "20 clients reconnect" in done.stdout


def test_an_unknown_benchmark_is_refused():
    """A slip of the pen does not run something else: the error names those that there are."""
    done = run("fan-out")
    assert done.returncode == 2
    assert "fanout" in done.stderr


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_documented(name):
    """The page on benchmarks has a row for each of them."""
    assert f"| `{name}` |" in (ROOT / "docs" / "benchmarks.md").read_text()
