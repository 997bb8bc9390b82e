"""The published operations are valid, and do what their comments say."""

from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent.parent.parent / "schema"
OPERATIONS = {path.stem: path.read_text() for path in sorted((FOLDER / "operations").glob("*.graphql"))}
SCHEMA = build_schema((FOLDER / "schema.graphql").read_text())

AT_EIGHT = "2026-11-23T08:00:00Z"


async def publish(caller, status="ONLINE", devices=("board", "reader")):
    inputs = [{"deviceId": device_id, "status": status, "observedAt": AT_EIGHT} for device_id in devices]
    return await caller.data(OPERATIONS["PublishRound"], inputs=inputs)


def test_the_set_is_complete():
    """There is an operation for each thing that a client does, and a test below for each."""
    assert set(OPERATIONS) == {
        "DeviceHistory",
        "ListDevices",
        "PublishRound",
        "RenewAuthorization",
        "RevokeTokens",
        "Summary",
        "WatchDevices",
        "WatchEvents",
        "WatchSummary",
    }


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_is_valid_and_named_as_its_file(name):
    """Each file holds one operation with its own name, valid against the published schema."""
    document = parse(OPERATIONS[name])
    assert validate(SCHEMA, document) == []
    (operation,) = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    assert operation.name.value == name


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_passes_on_every_argument(name):
    """No argument of the field is out of a client's reach, and each variable is called as its argument."""
    document = parse(OPERATIONS[name])
    operation = document.definitions[0]
    (field,) = operation.selection_set.selections
    root = SCHEMA.get_root_type(operation.operation)
    arguments = {argument.name.value: argument.value.name.value for argument in field.arguments}
    assert arguments == {argument: argument for argument in root.fields[field.name.value].args}


async def test_same_fragments_are_the_same():
    """A fragment in several files has one text, so that a code generator takes them all together."""
    texts = {}
    for document in map(parse, OPERATIONS.values()):
        for fragment in document.definitions[1:]:
            texts.setdefault(fragment.name.value, set()).add(str(fragment.to_dict()))
    assert {name: len(found) for name, found in texts.items()} == {"DeviceFields": 1, "SummaryFields": 1}


async def test_publish_round(caller):
    """A round is recorded, and repeating it does no harm."""
    result = await publish(caller)
    assert [result[key] for key in ("changed", "created", "unchanged", "rejected")] == [2, 2, 0, []]
    repeated = await publish(caller)
    assert [repeated[key] for key in ("changed", "unchanged")] == [0, 2]
    assert repeated["cursor"] == result["cursor"]


async def test_list_devices(caller):
    """Page after page, with nothing but the variable ``after`` changed."""
    await publish(caller)
    page = await caller.data(OPERATIONS["ListDevices"], first=1)
    rest = await caller.data(OPERATIONS["ListDevices"], first=1, after=page["pageInfo"]["endCursor"])
    assert page["totalCount"] == 2
    assert [each["edges"][0]["node"]["deviceId"] for each in (page, rest)] == ["board", "reader"]
    assert [each["pageInfo"]["hasNextPage"] for each in (page, rest)] == [True, False]


async def test_device_history(caller):
    """The last change comes first."""
    await publish(caller)
    await publish(caller, "OFFLINE")
    history = await caller.data(OPERATIONS["DeviceHistory"], deviceId="board", since=AT_EIGHT)
    assert [edge["node"]["status"] for edge in history["edges"]] == ["OFFLINE", "ONLINE"]


async def test_summary(caller):
    """The counts now."""
    await publish(caller)
    summary = await caller.data(OPERATIONS["Summary"])
    assert (summary["total"], summary["counts"][0]) == (2, {"status": "ONLINE", "count": 2})


async def test_renew_authorization(caller):
    """Where there is no socket whose token could be renewed, that is what the client is told."""
    error = await caller.refusal(OPERATIONS["RenewAuthorization"], token="x")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "WebSocket" in error["message"]


async def test_revoke_tokens(caller):
    """A subject's tokens are revoked up to a moment, and nobody's connection ends where none is open."""
    assert await caller.data(OPERATIONS["RevokeTokens"], subject="anna", issuedBefore=AT_EIGHT) == 0
    assert caller.services.statistics().revoking.known.revocations == 1


async def test_watch_events(caller):
    """Every change after the subscription began, each with its device; nothing of what was before."""
    await publish(caller)
    async with caller.watch(OPERATIONS["WatchEvents"]) as watched:
        await watched.live.wait()
        await publish(caller, "OFFLINE", ["board"])
        event = await watched.next()
        assert (event["kind"], event["status"], event["previousStatus"]) == ("CHANGE", "OFFLINE", "ONLINE")
        assert event["device"]["changedAt"] == event["timestamp"]
    assert caller.services.statistics().sharing.groups == 0


async def test_watch_events_after_a_snapshot(caller):
    """Each device as it stands, then every change; only the last event of the snapshot can be resumed from."""
    await publish(caller)
    async with caller.watch(OPERATIONS["WatchEvents"], snapshot=True) as watched:
        seen = []
        for _ in range(2):
            event = await watched.next()
            seen.append((event["kind"], event["deviceId"], watched.cursor is not None))
        assert seen == [("SNAPSHOT", "board", False), ("SNAPSHOT", "reader", True)]
        await publish(caller, "OFFLINE", ["board"])
        assert (await watched.next())["kind"] == "CHANGE"


async def test_watch_devices(caller):
    """The whole list, then what differs, then what has left it: by the ids that the list was keyed on."""
    await publish(caller)
    async with caller.watch(OPERATIONS["WatchDevices"]) as watched:
        whole = await watched.next()
        assert (whole["reset"], whole["complete"], len(whole["changed"])) == (True, True, 2)
        await publish(caller, "OFFLINE", ["board"])
        update = await watched.next()
        assert (update["reset"], update["removed"]) == (False, [])
        assert [device["status"] for device in update["changed"]] == ["OFFLINE"]
        await caller.data('mutation { retireDevices(deviceIds: ["board"]) { id } }')
        update = await watched.next()
        assert (update["changed"], update["removed"]) == ([], [whole["changed"][0]["id"]])


async def test_watch_summary(caller):
    """The counts now, and after a round that changes them."""
    async with caller.watch(OPERATIONS["WatchSummary"]) as watched:
        assert (await watched.next())["total"] == 0
        await publish(caller)
        assert (await watched.next())["total"] == 2
