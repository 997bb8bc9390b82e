"""What publishing, retiring and restoring answer, and for whom."""

import pytest

from tests.schema.conftest import PUBLISH

pytestmark = pytest.mark.anyio

ONE = """
mutation ($input: DeviceStatusInput!, $school: ID) {
  publishDeviceStatus(input: $input, schoolId: $school) { changed created unchanged stale ignored }
}
"""
RETIRE = "mutation ($ids: [ID!]!) { retireDevices(deviceIds: $ids) { deviceId status } }"
RESTORE = "mutation ($ids: [ID!]!) { restoreDevices(deviceIds: $ids) { deviceId status } }"
TOTAL = "{ devices { totalCount } }"

NEXT_WEEK = "2026-11-30T08:00:00Z"
ROUND = [
    {"deviceId": "good", "status": "ONLINE"},
    {"deviceId": "", "status": "ONLINE"},
    {"deviceId": "late", "status": "ONLINE", "observedAt": NEXT_WEEK},
    {"deviceId": "bell\a", "status": "ONLINE"},
    {"deviceId": "good", "status": "OFFLINE"},
    {"deviceId": "x" * 129, "status": "ONLINE"},
    {"deviceId": "old", "status": "RETIRED"},
    {"deviceId": "seen", "status": "ONLINE", "lastSeen": NEXT_WEEK},
]
PROBLEMS = {
    1: ("", "Expected deviceId to have 1 to 128 characters, but it is empty."),
    2: (
        "late",
        "observedAt must not be more than a minute after now (2026-11-23T08:00:00Z), but is 2026-11-30T08:00:00Z.",
    ),
    3: ("bell\a", "Expected deviceId to have no control characters, but it has U+0007."),
    4: ("good", "This device is already listed in this round, at index 0."),
    5: ("x" * 129, "Expected deviceId to have 1 to 128 characters, but it has 129."),
    6: ("old", "RETIRED can't be reported: only an administrator retires devices, with retireDevices."),
    7: (
        "seen",
        "lastSeen must not be more than a minute after now (2026-11-23T08:00:00Z), but is 2026-11-30T08:00:00Z.",
    ),
}


async def recorded(caller):
    return (await caller.data(TOTAL))["totalCount"]


async def test_a_round_is_counted(caller, clock):
    """First reports are changes and created; the same status again is unchanged."""
    first = await caller.publish(a="ONLINE", b="OFFLINE")
    clock.advance(1)
    second = await caller.publish(a="OFFLINE", b="OFFLINE", c="ONLINE")
    assert [first[key] for key in ("changed", "created", "unchanged")] == [2, 2, 0]
    assert [second[key] for key in ("changed", "created", "unchanged")] == [2, 1, 1]
    assert first["cursor"] != second["cursor"]


async def test_reject_lists_every_problem(caller):
    """An invalid round is refused whole, and the error names each index, device and reason."""
    error = await caller.refusal(PUBLISH, inputs=ROUND)
    assert error["message"] == "7 of 8 reports are invalid; nothing was recorded."
    assert error["extensions"] == {
        "code": "BAD_USER_INPUT",
        "problems": [
            {"index": index, "deviceId": device_id, "reason": reason} for index, (device_id, reason) in PROBLEMS.items()
        ],
    }
    assert await recorded(caller) == 0


async def test_skip_records_the_others(caller):
    """With SKIP the valid reports are recorded, and the result lists the others."""
    result = await caller.data(PUBLISH, inputs=ROUND, onInvalid="SKIP")
    assert (result["changed"], result["created"]) == (1, 1)
    assert result["rejected"] == [
        {"index": index, "deviceId": device_id, "message": reason} for index, (device_id, reason) in PROBLEMS.items()
    ]
    assert await recorded(caller) == 1


async def test_an_invalid_single_report_is_refused(caller):
    """The mutation for one report says what is wrong with it, too."""
    error = await caller.refusal(ONE, input=ROUND[2])
    assert error["message"] == "1 of 1 report is invalid; nothing was recorded."
    (problem,) = error["extensions"]["problems"]
    assert problem["reason"] == PROBLEMS[2][1]


async def test_an_observation_within_a_minute_is_taken(caller):
    """Clocks differ: up to a minute in the future is no error."""
    result = await caller.data(ONE, input={"deviceId": "a", "status": "ONLINE", "observedAt": "2026-11-23T08:01:00Z"})
    assert result["changed"] == 1


async def test_reports_are_ordered_by_their_observation(caller):
    """Older than known is stale, the same again is unchanged, equal with another status applies."""

    def report(status, time):
        return {"deviceId": "a", "status": status, "observedAt": f"2026-11-23T07:{time}:00Z"}

    outcomes = []
    for status, time in [("ONLINE", 30), ("ONLINE", 30), ("OFFLINE", 29), ("OFFLINE", 30), ("OFFLINE", 31)]:
        result = await caller.data(ONE, input=report(status, time))
        outcomes.append(next(key for key, count in result.items() if count))
    assert outcomes == ["changed", "unchanged", "stale", "changed", "unchanged"]


async def test_an_unknown_status_in_the_document_is_refused(caller):
    """A literal that is no status fails validation, and nothing is recorded."""
    error = await caller.refusal('mutation { publishDeviceStatus(input: {deviceId: "a", status: ON}) { changed } }')
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    assert "'ON' does not exist in 'Status' enum" in error["message"]


@pytest.mark.parametrize("status", ["ON", "online", "", 1, None, True, ["ONLINE", "ONLINE"]])
async def test_an_unknown_status_in_a_variable_is_bad_input(caller, status):
    """A variable that is no status is refused with its place in the list, and nothing is recorded."""
    inputs = [{"deviceId": "a", "status": "ONLINE"}, {"deviceId": "b", "status": status}]
    error = await caller.refusal(PUBLISH, inputs=inputs)
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert "at [1].status" in error["message"]
    assert await recorded(caller) == 0


async def test_a_report_without_its_fields_is_bad_input(caller):
    """Missing and unknown fields of an input are named."""
    error = await caller.refusal(ONE, input={"deviceId": "a"})
    assert (error["extensions"], "status" in error["message"]) == ({"code": "BAD_USER_INPUT"}, True)
    error = await caller.refusal(ONE, input={"deviceId": "a", "status": "ONLINE", "colour": "red"})
    assert (error["extensions"], "colour" in error["message"]) == ({"code": "BAD_USER_INPUT"}, True)


async def test_a_round_has_at_most_a_thousand_reports(caller):
    """1,001 reports are refused with the way out, 1,000 are recorded, none is a round too."""
    inputs = [{"deviceId": f"d{number}", "status": "ONLINE"} for number in range(1_001)]
    error = await caller.refusal(PUBLISH, inputs=inputs)
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert error["message"] == (
        "Expected at most 1000 reports in a round, but got 1001. Nothing was recorded; publish them in several rounds."
    )
    assert await recorded(caller) == 0
    assert (await caller.data(PUBLISH, inputs=inputs[1:]))["changed"] == 1_000
    assert (await caller.data(PUBLISH, inputs=[]))["changed"] == 0


async def test_a_read_only_token_does_not_publish(caller):
    """Publishing needs devices:publish, which devices:read and devices:admin do not imply."""
    reader = caller("1", scopes=["devices:read", "devices:admin"])
    for query, variables in ((PUBLISH, {"inputs": ROUND}), (ONE, {"input": ROUND[0]})):
        error = await reader.refusal(query, **variables)
        assert error["extensions"] == {"code": "FORBIDDEN"}
        assert error["message"] == "This needs a token with the scope devices:publish."
    assert await recorded(caller) == 0


@pytest.mark.parametrize("school", ["2", "", "*", "\0"])
async def test_publishing_for_another_school_is_forbidden(caller, school):
    """A school that is not the token's is FORBIDDEN, and nothing is recorded there."""
    error = await caller.refusal(PUBLISH, inputs=ROUND[:1], school=school)
    assert error["extensions"] == {"code": "FORBIDDEN"}
    assert await caller(all_schools=True).data("{ schools { id } }") == []


async def test_with_several_schools_the_school_is_said(caller):
    """Without schoolId a token of several schools is told to name one; with it the round goes there."""
    both = caller("1", "2")
    error = await both.refusal(PUBLISH, inputs=ROUND[:1])
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    await both.publish("2", board="ONLINE")
    assert await recorded(caller("2")) == 1
    assert await recorded(caller("1")) == 0


@pytest.mark.parametrize("school", ["", "*", "\0", "x" * 129])
async def test_a_token_for_every_school_makes_no_odd_ones(caller, school):
    """A school id that none can have is BAD_USER_INPUT even for those who may do everything."""
    error = await caller(all_schools=True).refusal(PUBLISH, inputs=ROUND[:1], school=school)
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_retired_devices_ignore_reports_until_restored(caller):
    """Retired, a device leaves the list and ignores reports; restored, it is UNKNOWN and takes them again."""
    await caller.publish(a="ONLINE", b="ONLINE")
    assert await caller.data(RETIRE, ids=["a", "a"]) == [{"deviceId": "a", "status": "RETIRED"}]
    assert await recorded(caller) == 1
    ignored = await caller.publish(a="OFFLINE", b="OFFLINE")
    assert (ignored["ignored"], ignored["changed"]) == (1, 1)
    assert await caller.data(RESTORE, ids=["b", "a"]) == [
        {"deviceId": "b", "status": "OFFLINE"},
        {"deviceId": "a", "status": "UNKNOWN"},
    ]
    assert (await caller.publish(a="OFFLINE"))["changed"] == 1


@pytest.mark.parametrize("mutation", [RETIRE, RESTORE])
async def test_administration_needs_its_scope(caller, mutation):
    """Retiring and restoring need devices:admin, which devices:publish does not imply."""
    error = await caller("1", scopes=["devices:read", "devices:publish"]).refusal(mutation, ids=[])
    assert error["extensions"] == {"code": "FORBIDDEN"}
    assert error["message"] == "This needs a token with the scope devices:admin."


@pytest.mark.parametrize("mutation", [RETIRE, RESTORE])
async def test_administration_is_all_or_nothing(caller, mutation):
    """An unknown device refuses the call, and the error lists each of them."""
    await caller.publish(a="ONLINE")
    error = await caller.refusal(mutation, ids=["a", "b", "c"])
    assert error["message"] == "Not known in this school: b, c. Nothing was done."
    reason = "This device is not known in this school."
    assert error["extensions"] == {
        "code": "BAD_USER_INPUT",
        "problems": [{"deviceId": "b", "reason": reason}, {"deviceId": "c", "reason": reason}],
    }
    assert await recorded(caller) == 1


@pytest.mark.parametrize("mutation", [RETIRE, RESTORE])
async def test_administration_has_the_limits_of_publishing(caller, mutation):
    """At most a thousand devices, each with an id that a device can have."""
    assert "at most 1000" in (await caller.refusal(mutation, ids=["a"] * 1_001))["message"]
    for device_id in ("", "\n", "x" * 129):
        error = await caller.refusal(mutation, ids=[device_id])
        assert (error["extensions"], "deviceIds" in error["message"]) == ({"code": "BAD_USER_INPUT"}, True)


async def test_several_mutations_of_one_call_run_in_order(caller):
    """GraphQL runs the fields of a mutation one after the other."""
    result = await caller.run(
        'mutation { one: publishDeviceStatus(input: {deviceId: "a", status: ONLINE}) { changed }'
        ' two: retireDevices(deviceIds: ["a"]) { status }'
        ' three: publishDeviceStatus(input: {deviceId: "a", status: OFFLINE}) { ignored } }'
    )
    assert result.errors == ()
    assert result.data == {"one": {"changed": 1}, "two": [{"status": "RETIRED"}], "three": {"ignored": 1}}
