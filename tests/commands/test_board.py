import io

import pytest
from rich.console import Console

from graphql_api.cli.board import Board
from graphql_api.cli.table import render
from graphql_api.devices.model import Status
from graphql_api.moment import SECOND, Moment, parse_moment

CHANGED = "2026-11-23T08:00:00Z"


def event(device, status, previous=None):
    return {
        "schoolId": "1",
        "deviceId": device,
        "status": status,
        "previousStatus": previous,
        "timestamp": CHANGED,
        "lastSeen": CHANGED,
    }


def board_of(*events, statuses=()):
    board = Board(statuses)
    for one in events:
        board.apply(one)
    return board


def names(board):
    return [row.device_id for row in board.rows()]


def drawn(board, width=100, height=40, after=0):
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(
        render(board, Moment(parse_moment(CHANGED) + after * SECOND), "live", alive=True, size=(width, height))
    )
    return console.file.getvalue()


def test_troubles_first():
    """Devices in trouble stand first, and within a status 10 comes after 9."""
    board = board_of(
        event("b-10", "ONLINE"),
        event("b-9", "ONLINE"),
        event("x", "DEGRADED"),
        event("²", "ONLINE"),
        event("z", "OFFLINE"),
    )
    assert names(board) == ["z", "x", "b-9", "b-10", "²"]


def test_a_filter():
    """A device whose status is no longer one of those asked for goes."""
    board = board_of(event("a", "OFFLINE"), event("b", "OFFLINE"), statuses=[Status.OFFLINE])
    board.apply(event("a", "ONLINE", "OFFLINE"))
    assert names(board) == ["b"]


def test_retired_devices_go():
    """A retired device goes, unless it was asked for."""
    events = [event("a", "ONLINE"), event("a", "RETIRED", "ONLINE")]
    assert names(board_of(*events)) == []
    assert names(board_of(*events, statuses=[Status.RETIRED])) == ["a"]


def test_the_table():
    """The table shows each device, its status and since when, and counts them."""
    board = board_of(event("board-1", "ONLINE", "OFFLINE"), event("[red]board[/red]", "OFFLINE"))
    text = drawn(board, after=90)
    assert "[red]board[/red]" in text
    assert "1 min ago" in text
    assert "2 devices  1 OFFLINE  1 ONLINE" in text


@pytest.mark.parametrize("height", [10, 24])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_screen(width, height):
    """However small the screen, the table fits, and says how many devices it leaves out."""
    board = board_of(*(event(f"board-{number}", "ONLINE") for number in range(60)))
    lines = drawn(board, width, height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert f"... and {60 - height + 7} more, all ONLINE" in "\n".join(lines)


def test_an_empty_school():
    """A school without devices is shown as such."""
    assert "0 devices" in drawn(Board())
