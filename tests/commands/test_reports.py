import pytest

from graphql_api.cli.reports import UnusableReport, read_argument, read_lines

NOW = "2026-11-23T08:00:00Z"


def test_an_argument():
    """An argument is divided at its last equals sign."""
    report = read_argument("a=b=offline", NOW)
    assert report.input == {"deviceId": "a=b", "status": "OFFLINE", "observedAt": NOW}


@pytest.mark.parametrize("text", ["board-7", "=ONLINE", "board-7=", "board-7=on", "board-7=RETIRED", ""])
def test_what_is_no_argument(text):
    """An argument without a device or a status that can be reported is refused."""
    with pytest.raises(UnusableReport, match="expected"):
        read_argument(text, NOW)


def test_lines():
    """A line has what it says, and the moment of the call where it has none of its own."""
    reports, problems = read_lines(
        [
            '{"deviceId": "a", "status": "ONLINE"}',
            "  ",
            '{"deviceId": 7, "status": "online", "observedAt": "2026-01-01T00:00:00Z", "lastSeen": null}',
        ],
        NOW,
    )
    assert problems == []
    assert [report.where for report in reports] == ["line 1", "line 3"]
    assert [report.input for report in reports] == [
        {"deviceId": "a", "status": "ONLINE", "observedAt": NOW},
        {"deviceId": "7", "status": "ONLINE", "observedAt": "2026-01-01T00:00:00Z"},
    ]


@pytest.mark.parametrize(
    "line",
    [
        "board-7=ONLINE",
        "[]",
        "{",
        "[" * 100_000,
        '{"deviceId": "a"}',
        '{"status": "ONLINE"}',
        '{"deviceId": "", "status": "ONLINE"}',
        '{"deviceId": true, "status": "ONLINE"}',
        '{"deviceId": "a", "status": 1}',
        '{"deviceId": "a", "status": "RETIRED"}',
        '{"deviceId": "a", "status": "ONLINE", "observedat": "2026-01-01T00:00:00Z"}',
        '{"deviceId": "a", "status": "ONLINE", "observedAt": "2026-01-01T00:00:00"}',
        '{"deviceId": "a", "status": "ONLINE", "lastSeen": 1767225600}',
    ],
)
def test_what_is_no_line(line):
    """A line that is no report is told by its number, and the others are read."""
    reports, problems = read_lines([line, '{"deviceId": "a", "status": "ONLINE"}'], NOW)
    assert [report.where for report in reports] == ["line 2"]
    (problem,) = problems
    assert problem.startswith("line 1: ")
    assert len(problem) < 300
