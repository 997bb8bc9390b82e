"""What the log of serve shows."""

import logging

import pytest

from graphql_api.cli.logs import HideQueries, HideTokens

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
        f"/ws/device-status/token%3D{TOKEN}",
        f"/ws/device-status%26token%3d{TOKEN}",
        TOKEN,
    ],
)
def test_no_way_of_writing_a_token_into_a_target_reaches_the_log(target):
    """A token in the query, in an absolute target, in the path or alone is cut out of the line."""
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, '%s - "WebSocket %s"', ("1.2.3.4:5", target), None)
    assert HideQueries().filter(record)
    line = HideTokens().format(record)
    assert TOKEN not in line
    assert "c2lnbmF0dXJl" not in line
    assert line.startswith("1.2.3.4:5 - ")


def test_other_arguments_stay_as_they_are():
    """Numbers, addresses and plain paths are logged as they came."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s %s %d", ("10.0.0.1:80", "/graphql", 200), None)
    HideQueries().filter(record)
    assert record.getMessage() == "10.0.0.1:80 /graphql 200"


@pytest.mark.parametrize(
    "token",
    [
        TOKEN,
        TOKEN.removesuffix("c2lnbmF0dXJl"),
        "eyAiYWxnIjogIkhTMjU2IiB9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "ewogICJhbGciOiAiSFMyNTYiCn0.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_no_token_in_a_traceback_or_a_message_reaches_the_log(token):
    """A token, however its header is spaced, is cut out of messages, arguments of any kind and tracebacks."""
    error = ValueError(f"could not read Bearer {token}")
    arguments = ({"authorization": token},)
    record = logging.LogRecord("x", logging.ERROR, "", 0, f"{token} %s", arguments, (ValueError, error, None))
    text = HideTokens("%(message)s").format(record)
    assert "ValueError: could not read Bearer ..." in text
    assert token not in text
    assert token.split(".")[0] not in text


def test_names_of_modules_stay_as_they_are():
    """What has dots and is no token is logged as it came."""
    names = "graphql_api.delivery.operations, 127.0.0.1, exyJ.a.b, very.extended.names"
    record = logging.LogRecord("x", logging.INFO, "", 0, names, (), None)
    assert HideTokens().format(record) == names
