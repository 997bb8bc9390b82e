"""Pages of devices and of their history."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_api.devices.model import Report, Status

pytestmark = pytest.mark.anyio

DEVICES = """
query ($school: ID, $first: Int! = 100, $after: String, $statuses: [Status!]) {
  devices(schoolId: $school, first: $first, after: $after, statuses: $statuses) {
    edges { cursor node { deviceId } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}
"""
HISTORY = """
query ($school: ID, $first: Int! = 100, $after: String, $since: DateTime) {
  deviceHistory(schoolId: $school, deviceId: "board", first: $first, after: $after, since: $since) {
    edges { cursor node { status previousStatus timestamp } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
NO_EDGE = "Expected `after` to be the cursor of an edge, but it is none."

# Whatever may be the id of a device: no control characters, and no halves of surrogate pairs.
identifiers = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=128)


async def walk(caller, query, **variables):
    """The pages from the first to the last, by ``after``."""
    pages = []
    after = None
    while not pages or pages[-1]["pageInfo"]["hasNextPage"]:
        page = await caller.data(query, after=after, **variables)
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        cursors = [edge["cursor"] for edge in page["edges"]]
        assert page["pageInfo"]["startCursor"] == (cursors[0] if cursors else None)
        assert page["pageInfo"]["endCursor"] == (cursors[-1] if cursors else None)
        after = page["pageInfo"]["endCursor"]
        pages.append(page)
    return pages


@given(ids=st.sets(identifiers, max_size=30), first=st.integers(1, 12))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_walking_the_pages_visits_each_device_once(caller, ids, first):
    """By ``after``, every device comes once, in the order of the ids, whatever the ids and the page size."""
    everywhere = caller(all_schools=True)
    school = uuid.uuid4().hex
    reports = [Report(device_id, Status.ONLINE) for device_id in ids]
    await caller.services.devices.publish(everywhere.principal.visibility, school, reports)
    pages = await walk(everywhere, DEVICES, school=school, first=first)
    assert [edge["node"]["deviceId"] for page in pages for edge in page["edges"]] == sorted(ids)
    assert {page["totalCount"] for page in pages} == {len(ids)}
    assert all(len(page["edges"]) == first for page in pages[:-1])


async def test_walking_the_history_visits_each_change_once(caller, clock):
    """By ``after``, every change comes once, the newest first."""
    statuses = ["ONLINE", "OFFLINE", "DEGRADED", "ONLINE", "UNKNOWN", "ONLINE", "MAINTENANCE"]
    for status in statuses:
        await caller.publish(board=status, reader=status)
        clock.advance(1)
    for first in (1, 2, 3, 7, 8):
        pages = await walk(caller, HISTORY, first=first)
        nodes = [edge["node"] for page in pages for edge in page["edges"]]
        assert [node["status"] for node in nodes] == statuses[::-1]
        assert [node["previousStatus"] for node in nodes] == [*statuses[-2::-1], None]
        assert [node["timestamp"] for node in nodes] == sorted((node["timestamp"] for node in nodes), reverse=True)


async def test_a_page_goes_on_where_the_last_one_ended(caller):
    """A device that appears before the place reached is not shown, and none is shown twice."""
    await caller.publish(b="ONLINE", d="ONLINE", f="ONLINE")
    page = await caller.data(DEVICES, first=2)
    await caller.publish(a="ONLINE", e="ONLINE")
    rest = await caller.data(DEVICES, after=page["pageInfo"]["endCursor"])
    assert [edge["node"]["deviceId"] for edge in rest["edges"]] == ["e", "f"]
    assert rest["totalCount"] == 5


async def test_history_since_ends_there(caller, clock):
    """``since`` leaves out what was recorded before it, and takes in what was recorded then."""
    times = []
    for status in ("ONLINE", "OFFLINE", "ONLINE"):
        await caller.publish(board=status)
        times.append((await caller.data(HISTORY, first=1))["edges"][0]["node"]["timestamp"])
        clock.advance(1)
    page = await caller.data(HISTORY, since=times[1])
    assert [edge["node"]["timestamp"] for edge in page["edges"]] == times[:0:-1]
    assert page["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize("query", [DEVICES, HISTORY])
async def test_first_zero_is_an_empty_page(caller, query):
    """No edges, and whether there are any."""
    page = await caller.data(query, first=0)
    assert (page["edges"], page["pageInfo"]["hasNextPage"]) == ([], False)
    await caller.publish(board="ONLINE")
    page = await caller.data(query, first=0)
    assert (page["edges"], page["pageInfo"]["hasNextPage"], page["pageInfo"]["endCursor"]) == ([], True, None)


async def test_five_hundred_is_the_largest_page(caller):
    """500 devices come in one page; with one more there is a next page."""
    await caller.publish(**{f"d{number:03}": "ONLINE" for number in range(501)})
    page = await caller.data(DEVICES, first=500)
    assert (len(page["edges"]), page["pageInfo"]["hasNextPage"]) == (500, True)


@pytest.mark.parametrize("query", [DEVICES, HISTORY])
@pytest.mark.parametrize("first", [501, -1, 2**31 - 1, -(2**31)])
async def test_other_sizes_are_bad_input(caller, query, first):
    """A page of more than 500, or of fewer than none, is refused with what came."""
    error = await caller.refusal(query, first=first)
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert error["message"] == f"Expected `first` to be 0 to 500, but got {first}. Ask for the next page."


@pytest.mark.parametrize("query", [DEVICES, HISTORY])
@pytest.mark.parametrize("after", ["", "!", "a", "gICA", "AA", "ä", "\ud800", "YWJj\n", "e" * 100_000])
async def test_what_is_no_cursor_is_bad_input(caller, query, after):
    """A malformed ``after`` is refused, whatever it looks like."""
    error = await caller.refusal(query, after=after)
    assert (error["message"], error["extensions"]) == (NO_EDGE, {"code": "BAD_USER_INPUT"})


@pytest.mark.parametrize("after", ["YQ", "LTE", "MS41", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "4paI", "wrI"])
async def test_a_device_is_no_place_in_a_history(caller, after):
    """A cursor that holds no version (a name, a negative number, too many digits) is refused."""
    error = await caller.refusal(HISTORY, after=after)
    assert (error["message"], error["extensions"]) == (NO_EDGE, {"code": "BAD_USER_INPUT"})
