"""What the log of serve shows."""

import logging

import pytest

from graphql_api.cli.logs import HideQueries

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "target",
    [
        f"/ws/device-status?token={TOKEN}",
        f"/ws/device-status?%74oken={TOKEN}",
        f"http://x/ws/device-status?token={TOKEN}",
        f"http%3A//x/ws/device-status?token={TOKEN}",
        f"/ws/device-status%3Ftoken={TOKEN}",
        f"/ws/{TOKEN}",
        TOKEN,
    ],
)
def test_no_way_of_writing_a_token_into_a_target_reaches_the_log(target):
    """A token in the query, in an absolute target, in the path or alone is cut out of the line."""
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, '%s - "WebSocket %s"', ("1.2.3.4:5", target), None)
    assert HideQueries().filter(record)
    line = record.getMessage()
    assert TOKEN not in line
    assert "c2lnbmF0dXJl" not in line
    assert line.startswith("1.2.3.4:5 - ")


def test_other_arguments_stay_as_they_are():
    """Numbers, addresses and plain paths are logged as they came."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s %s %d", ("10.0.0.1:80", "/graphql", 200), None)
    HideQueries().filter(record)
    assert record.getMessage() == "10.0.0.1:80 /graphql 200"
