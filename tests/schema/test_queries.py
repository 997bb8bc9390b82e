"""What queries answer, and for whom."""

import pytest

pytestmark = pytest.mark.anyio

LISTED = """
query ($ids: [ID!], $statuses: [Status!]) {
  devices(deviceIds: $ids, statuses: $statuses) { edges { node { deviceId status } } totalCount }
}
"""
RETIRE = "mutation ($ids: [ID!]!) { retireDevices(deviceIds: $ids) { deviceId status } }"
SUMMARY = "query ($school: ID) { statusSummary(schoolId: $school) { %s } }"


async def listed(caller, ids=None, statuses=None):
    page = await caller.data(LISTED, ids=ids, statuses=statuses)
    assert page["totalCount"] == len(page["edges"])
    return [edge["node"]["deviceId"] for edge in page["edges"]]


@pytest.fixture
async def stocked(caller):
    """Devices of every kind, one of them retired."""
    await caller.publish(a="ONLINE", b="OFFLINE", c="ONLINE", d="DEGRADED", gone="ONLINE")
    await caller.data(RETIRE, ids=["gone"])
    return caller


async def test_lists_leave_the_retired_out(stocked):
    """Without arguments, every device but the retired."""
    assert await listed(stocked) == ["a", "b", "c", "d"]


async def test_lists_show_the_retired_when_asked_for_by_status(stocked):
    """``statuses`` brings exactly those, retired ones too."""
    assert await listed(stocked, statuses=["RETIRED"]) == ["gone"]
    assert await listed(stocked, statuses=["ONLINE", "RETIRED"]) == ["a", "c", "gone"]


async def test_lists_show_the_retired_when_asked_for_by_id(stocked):
    """``deviceIds`` brings exactly those, retired ones too, unless ``statuses`` leaves them out."""
    assert await listed(stocked, ids=["gone", "a"]) == ["a", "gone"]
    assert await listed(stocked, ids=["gone", "a"], statuses=["ONLINE"]) == ["a"]


async def test_empty_lists_of_arguments_list_nothing(stocked):
    """An empty list asks for nothing, null for everything."""
    assert await listed(stocked, ids=[]) == []
    assert await listed(stocked, statuses=[]) == []
    assert await listed(stocked, ids=None, statuses=None) == ["a", "b", "c", "d"]


async def test_ids_that_can_be_no_devices_are_no_devices(stocked):
    """An id that no device can have (empty, with control characters, too long) lists nothing, and is no error."""
    assert await listed(stocked, ids=["", "\0", "x" * 129, "a"]) == ["a"]
    for device_id in ("", "\0", "x" * 129, "unknown"):
        assert await stocked.data("query ($id: ID!) { device(deviceId: $id) { id } }", id=device_id) is None
        history = "query ($id: ID!) { deviceHistory(deviceId: $id) { edges { cursor } } }"
        assert await stocked.data(history, id=device_id) == {"edges": []}


async def test_one_device_is_found_retired_or_not(stocked):
    """``device`` finds a retired device, since it was asked for by id."""
    assert await stocked.data('{ device(deviceId: "gone") { status } }') == {"status": "RETIRED"}


async def test_ids_of_devices_differ_between_schools(caller):
    """``Device.id`` is unique across schools, while ``deviceId`` need not be."""
    both = caller("1", "2")
    await both.publish("1", board="ONLINE")
    await both.publish("2", board="ONLINE")
    query = 'query ($school: ID) { device(deviceId: "board", schoolId: $school) { id } }'
    one, other = [await both.data(query, school=school) for school in ("1", "2")]
    assert one != other


async def test_history_is_newest_first(caller, clock):
    """The last change comes first, each with the status before it."""
    for status in ("ONLINE", "OFFLINE", "OFFLINE", "ONLINE"):
        await caller.publish(board=status)
        clock.advance(60)
    history = await caller.data(
        '{ deviceHistory(deviceId: "board") { edges { node { status previousStatus timestamp } } } }'
    )
    assert [edge["node"] for edge in history["edges"]] == [
        {"status": "ONLINE", "previousStatus": "OFFLINE", "timestamp": "2026-11-23T08:03:00Z"},
        {"status": "OFFLINE", "previousStatus": "ONLINE", "timestamp": "2026-11-23T08:01:00Z"},
        {"status": "ONLINE", "previousStatus": None, "timestamp": "2026-11-23T08:00:00Z"},
    ]


async def test_a_summary_counts_all_but_the_retired(stocked):
    """One entry for each status but RETIRED, zeros included, and their sum."""
    assert await stocked.data(SUMMARY % "schoolId total counts { status count } lastReportAt") == {
        "schoolId": "1",
        "total": 4,
        "counts": [
            {"status": "ONLINE", "count": 2},
            {"status": "DEGRADED", "count": 1},
            {"status": "OFFLINE", "count": 1},
            {"status": "MAINTENANCE", "count": 0},
            {"status": "UNKNOWN", "count": 0},
        ],
        "lastReportAt": "2026-11-23T08:00:00Z",
    }


async def test_a_school_that_never_reported_has_an_empty_summary(caller):
    """No devices, and no last report."""
    assert await caller.data(SUMMARY % "total lastReportAt") == {"total": 0, "lastReportAt": None}


async def test_an_unchanged_round_moves_the_last_report(caller, clock):
    """A health checker that has nothing new to say is seen to be alive."""
    await caller.publish(board="ONLINE")
    clock.advance(60)
    await caller.publish(board="ONLINE")
    assert await caller.data(SUMMARY % "lastReportAt") == {"lastReportAt": "2026-11-23T08:01:00Z"}


async def test_a_token_for_every_school_sees_those_that_reported(caller):
    """Its schools are those that the store knows."""
    everywhere = caller(all_schools=True)
    assert await everywhere.data("{ schools { id } }") == []
    for school in ("north", "east"):
        await everywhere.publish(school, board="ONLINE")
    assert await everywhere.data("{ schools { id } }") == [{"id": "east"}, {"id": "north"}]
    assert await everywhere.data(SUMMARY % "total", school="north") == {"total": 1}


async def test_the_school_must_be_said_where_there_are_several(caller):
    """With several schools, or with every school, schoolId is required."""
    error = await caller("1", "2").refusal(SUMMARY % "total")
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert error["message"] == "schoolId is required: the token names 2 schools: “1”, “2”."
    error = await caller(all_schools=True).refusal(SUMMARY % "total")
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}


@pytest.mark.parametrize("school", ["2", "", "*", "\0", "x" * 200])
async def test_another_school_is_forbidden(caller, school):
    """A school that is not the token's is FORBIDDEN, whatever the argument looks like."""
    queries = (
        SUMMARY % "total",
        "query ($school: ID) { devices(schoolId: $school) { totalCount } }",
        'query ($school: ID) { device(schoolId: $school, deviceId: "a") { id } }',
        'query ($school: ID) { deviceHistory(schoolId: $school, deviceId: "a") { edges { cursor } } }',
    )
    for query in queries:
        assert (await caller.refusal(query, school=school))["extensions"] == {"code": "FORBIDDEN"}


async def test_reading_needs_its_scope(caller):
    """A token that may only publish reads nothing."""
    publisher = caller("1", scopes=["devices:publish"])
    for query in ("{ devices { totalCount } }", "{ statusSummary { total } }", "{ schools { id } }"):
        assert (await publisher.refusal(query))["message"] == "This needs a token with the scope devices:read."


async def test_a_list_says_where_a_subscription_may_go_on(caller):
    """The connection's cursor is that of the last round recorded."""
    published = await caller.publish(board="ONLINE")
    assert await caller.data("{ devices { cursor } }") == {"cursor": published["cursor"]}
