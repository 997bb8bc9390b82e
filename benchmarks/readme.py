"""Put the committed figures into the README: ``python -m benchmarks.readme``.

Between two marks of the README stands what :func:`section` makes of ``benchmarks/results/results.json``, and
``docs/fanout.svg`` is the picture of the same figures; a test compares both.
"""

import json
from pathlib import Path

from benchmarks.measurement import Results
from benchmarks.plot import plot
from benchmarks.tables import page

__all__ = ["BEGIN", "END", "PLOT", "README", "RESULTS", "filled", "main", "read_results", "section"]

_ROOT = Path(__file__).parent.parent
RESULTS = _ROOT / "benchmarks" / "results" / "results.json"
README = _ROOT / "README.md"
PLOT = _ROOT / "docs" / "fanout.svg"

BEGIN = "<!-- benchmarks: begin -->"
END = "<!-- benchmarks: end -->"


def read_results(path: Path = RESULTS) -> Results:
    """The figures of a file that ``python -m benchmarks --output`` wrote."""
    return Results.from_json(json.loads(path.read_text()))


def section(results: Results) -> str:
    """What stands between the marks."""
    return f"\n\n{page(results)}\n\n"


def filled(readme: str, results: Results) -> str:
    """The README with the figures between its marks.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the marks {BEGIN} and {END} in the README, but they are not there")
    return f"{before}{BEGIN}{section(results)}{END}{after}"


def main() -> None:
    """Fill the README, and draw the picture."""
    results = read_results()
    README.write_text(filled(README.read_text(), results))
    PLOT.write_text(plot(results))


if __name__ == "__main__":
    main()
