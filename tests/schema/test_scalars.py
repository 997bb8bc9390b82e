"""Moments and cursors as they come in and go out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.moment import Moment, from_datetime
from graphql_api.schema.scalars import SCALARS, Cursor
from tests.devices.conftest import DAWN
from tests.schema.conftest import PUBLISH

READ = SCALARS[Moment].parse_value
WRITE = SCALARS[Moment].serialize

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets))  # noqa: DTZ001 - bounds are naive
def test_every_moment_survives_the_round(value):
    """What is written of a moment is read as the same moment, whatever offset it came with."""
    moment = READ(value.isoformat())
    assert moment == from_datetime(value)
    assert READ(WRITE(moment)) == moment
    assert datetime.fromisoformat(WRITE(moment)) == value.astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z"),
        ("2026-11-23T08:00:00.000Z", "2026-11-23T08:00:00Z"),
        ("2026-11-23T08:00:00.125+01:00", "2026-11-23T07:00:00.125000Z"),
        ("2026-11-23 08:00-05:30", "2026-11-23T13:30:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_moments_are_written_in_utc(text, written):
    """ISO 8601 with any offset comes in; UTC with Z goes out."""
    assert WRITE(READ(text)) == written


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("2026-11-23T08:00:00", "expected a moment with an offset, like 2026-11-23T08:00:00Z, but got '2026-11-23T08"),
        ("2026-11-23", "expected a moment with an offset, like 2026-11-23T08:00:00Z, but got '2026-11-23T00:00:00'"),
        ("", "expected an ISO 8601 moment, like 2026-11-23T08:00:00Z, but got ''"),
        ("yesterday", "expected an ISO 8601 moment, like 2026-11-23T08:00:00Z, but got 'yesterday'"),
        ("2026-13-01T00:00:00Z", "expected an ISO 8601 moment, like 2026-11-23T08:00:00Z, but got '2026-13-01T"),
        ("10000-01-01T00:00:00Z", "expected an ISO 8601 moment, like 2026-11-23T08:00:00Z, but got '10000-01-01T"),
        ("0001-01-01T00:00:00+14:00", "expected a moment in the years 1 to 9999, but got '0001-01-01T00:00:00+14:00'"),
        ("9999-12-31T23:00:00-14:00", "expected a moment in the years 1 to 9999, but got '9999-12-31T23:00:00-14:00'"),
        (1795420800, "expected an ISO 8601 moment as a string, like 2026-11-23T08:00:00Z, but got 1795420800"),
        (1.5, "expected an ISO 8601 moment as a string, like 2026-11-23T08:00:00Z, but got 1.5"),
        (True, "expected an ISO 8601 moment as a string, like 2026-11-23T08:00:00Z, but got True"),
        (
            ["2026-11-23T08:00:00Z"],
            "expected an ISO 8601 moment as a string, like 2026-11-23T08:00:00Z, but got ['2026",
        ),
    ],
)
def test_other_values_are_no_moments(value, sentence):
    """What is no moment is refused with what was expected and what came."""
    with pytest.raises(GraphQLError) as caught:
        READ(value)
    assert caught.value.message.startswith(sentence)


def test_an_error_shows_a_bounded_part_of_the_value():
    """A long text is not sent back whole."""
    for value in ("x" * 10_000, ["x" * 10_000]):
        with pytest.raises(GraphQLError) as caught:
            READ(value)
        assert len(caught.value.message) < 200


def test_cursors_are_strings():
    """A cursor is passed on as it is, and nothing but a string is one."""
    cursor = SCALARS[Cursor]
    assert cursor.parse_value("abc") == "abc"
    with pytest.raises(GraphQLError, match="expected a cursor as a string, but got 3"):
        cursor.parse_value(3)


@pytest.mark.anyio
@pytest.mark.parametrize("value", ["2026-11-23T08:00:00", 1795420800, "soon", {"a": 1}])
async def test_a_wrong_moment_in_a_variable_is_bad_input(caller, value):
    """The error of the operation names the variable and keeps the sentence."""
    error = await caller.refusal(PUBLISH, inputs=[{"deviceId": "a", "status": "ONLINE", "observedAt": value}])
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert "$inputs" in error["message"]
    assert "2026-11-23T08:00:00Z, but got" in error["message"]


@pytest.mark.anyio
@pytest.mark.parametrize("literal", ['"2026-11-23T08:00:00"', "1795420800", '"soon"', "SOON"])
async def test_a_wrong_moment_in_the_document_is_refused(caller, literal):
    """A literal that is no moment is refused before anything runs."""
    error = await caller.refusal(f'{{ deviceHistory(deviceId: "a", since: {literal}) {{ edges {{ cursor }} }} }}')
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert "2026-11-23T08:00:00Z, but got" in error["message"]


@pytest.mark.anyio
async def test_moments_leave_as_iso_8601(caller):
    """A device's moments are written in UTC."""
    await caller.publish(board="ONLINE")
    device = await caller.data('{ device(deviceId: "board") { lastSeen changedAt reportedAt } }')
    assert set(device.values()) == {WRITE(DAWN)}
