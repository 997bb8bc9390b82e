"""Where clients want to resume: what is kept of it, and for how long."""

import sys

import pytest

from graphql_api.delivery.resume import NOT_RECOVERED, ResumePoints, kept, resume_point
from graphql_api.devices.cursor import LONGEST_CURSOR, Cursor
from graphql_api.devices.model import Moment

CURSOR = Cursor("f4bcec7a026897b1", "1", 3, Moment(1_700_000_000_000_000)).encode()


def points(value, most=1_000):
    return ResumePoints.of(value, most)


def test_each_is_taken_once():
    """The cursor under an operation id is there for the first who asks, and for nobody else."""
    found = points({"1": CURSOR, "2": "nonsense"})
    assert [found.take(name) for name in ("1", "1", "2", "3")] == [CURSOR, None, "nonsense", None]


@pytest.mark.parametrize("value", [None, {}, [], "1", 1, True, {"1": None}])
def test_where_there_are_none_all_start_afresh(value):
    """What holds no cursor has nobody resume."""
    assert points(value).take("1") is None
    assert not points(value).is_cut


def test_beyond_the_bound_nobody_loses_anything_unnoticed():
    """Of too many the last are kept, and whoever has none of them counts as not recovered instead of as new."""
    found = points({str(number): CURSOR for number in range(5)}, most=3)
    assert found.is_cut
    assert [found.take(str(number)) for number in range(6)] == [NOT_RECOVERED] * 2 + [CURSOR] * 3 + [NOT_RECOVERED]
    assert not points({str(number): CURSOR for number in range(3)}, most=3).is_cut


@pytest.mark.parametrize("name", ["", "x" * 129, "é" * 65, "x" * 200_000])
def test_what_can_be_no_operation_is_not_kept(name):
    """An id that no operation can have takes no room, and none from others."""
    found = points({"1": CURSOR, name: CURSOR}, most=1)
    assert not found.is_cut
    assert found.take("1") == CURSOR
    assert found.take(name) is None


def test_the_longest_ids_are_kept():
    """An id of 128 bytes is one, whatever its characters."""
    for name in ("x" * 128, "é" * 64, "\U0001f600" * 32):
        assert points({name: CURSOR}).take(name) == CURSOR


@pytest.mark.parametrize("value", [7, True, [], {}, "x" * (LONGEST_CURSOR + 1), "é", CURSOR + "\U0001f600"])
def test_what_can_be_no_cursor_is_not_recovered(value):
    """Neither what is no text, nor what is longer than any cursor, nor what has other characters is kept as it came."""
    assert resume_point(value) is NOT_RECOVERED
    assert points({"1": value}).take("1") is NOT_RECOVERED


def test_the_longest_cursor_is_no_longer_than_that():
    """Whatever cursor this service gives out is kept: that of the longest id of a school too."""
    cursor = Cursor("f" * 16, "\U0001f600" * 128, 2**63 - 1, Moment(2**63 - 1)).encode()
    assert len(cursor) <= LONGEST_CURSOR
    assert resume_point(cursor) == cursor


def test_what_is_used_takes_no_room():
    """When all have been taken nothing is left, not even the table that they were in."""
    found = points({str(number): CURSOR for number in range(1_000)})
    for number in range(1_000):
        found.take(str(number))
    assert sys.getsizeof(found._cursors) == sys.getsizeof({})


def test_none_is_no_cursor():
    """Of several, those count that there are."""
    assert kept(None, CURSOR, None, NOT_RECOVERED) == (CURSOR, NOT_RECOVERED)
