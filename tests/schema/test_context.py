"""What resolvers are given: the caller, or nobody."""

import pytest
from graphql import build_schema

from graphql_api.schema import OperationRefused

pytestmark = pytest.mark.anyio

SENTENCE = (
    "Expected a token, but none came with the call. "
    "Send it as `Authorization: Bearer ...`, or in the payload of connection_init."
)
FIELDS = {
    "viewer": "{ viewer { id } }",
    "schools": "{ schools { id } }",
    "device": '{ device(deviceId: "a") { id } }',
    "devices": "{ devices { totalCount } }",
    "deviceHistory": '{ deviceHistory(deviceId: "a") { edges { cursor } } }',
    "statusSummary": "{ statusSummary { total } }",
    "publishDeviceStatus": 'mutation { publishDeviceStatus(input: {deviceId: "a", status: ONLINE}) { changed } }',
    "publishDeviceStatuses": "mutation { publishDeviceStatuses(inputs: []) { changed } }",
    "retireDevices": "mutation { retireDevices(deviceIds: []) { id } }",
    "renewAuthorization": 'mutation { renewAuthorization(token: "x") { id } }',
    "revokeTokens": 'mutation { revokeTokens(subject: "x") }',
    "restoreDevices": "mutation { restoreDevices(deviceIds: []) { id } }",
}
SUBSCRIPTIONS = {
    "deviceStatus": "subscription { deviceStatus { status } }",
    "devices": "subscription { devices { complete } }",
    "statusSummary": "subscription { statusSummary { total } }",
}


@pytest.mark.parametrize("field", FIELDS)
async def test_no_field_answers_the_anonymous(caller, field):
    """Without a token every query and mutation is UNAUTHENTICATED, and says where the token goes."""
    error = await caller.anonymous().refusal(FIELDS[field])
    assert (error["message"], error["extensions"]) == (SENTENCE, {"code": "UNAUTHENTICATED"})
    assert error["path"] == [field]


@pytest.mark.parametrize("field", SUBSCRIPTIONS)
async def test_no_subscription_is_opened_for_the_anonymous(caller, field):
    """Without a token every subscription is UNAUTHENTICATED."""
    async with caller.anonymous().watch(SUBSCRIPTIONS[field]) as watched:
        with pytest.raises(OperationRefused) as caught:
            await watched.next()
    (error,) = caught.value.errors
    assert (error["message"], error["extensions"]) == (SENTENCE, {"code": "UNAUTHENTICATED"})


async def test_no_field_was_forgotten(caller):
    """The two tests above try every field of the schema."""
    schema = build_schema(caller.executor.sdl())
    assert set(FIELDS) == {*schema.query_type.fields, *schema.mutation_type.fields}
    assert set(SUBSCRIPTIONS) == set(schema.subscription_type.fields)


@pytest.mark.parametrize("query", ["{ __typename }", "{ __schema { queryType { name } } }"])
async def test_introspection_needs_no_token(caller, query):
    """Explorers may ask for the schema before they have a token."""
    assert await caller.anonymous().data(query)


async def test_the_viewer_is_the_bearer(caller):
    """Who the token is for, where it is good, and until when."""
    whole = "{ viewer { id subject schoolIds allSchools scopes expiresAt } }"
    assert await caller("2", "1", scopes=["devices:read"]).data(whole) == {
        "id": "tester",
        "subject": "tester",
        "schoolIds": ["1", "2"],
        "allSchools": False,
        "scopes": ["devices:read"],
        "expiresAt": "2026-11-23T09:00:00Z",
    }
    everywhere = await caller(all_schools=True).data(whole)
    assert (everywhere["schoolIds"], everywhere["allSchools"]) == ([], True)


async def test_summaries_of_all_schools_are_one_question(caller, monkeypatch):
    """However many schools a request sums up, the store is asked once."""
    asked = []
    store = type(caller.services.store)
    summaries = store.summaries

    async def counting(self, schools):
        asked.append(sorted(schools))
        return await summaries(self, schools)

    monkeypatch.setattr(store, "summaries", counting)
    await caller.publish(board="ONLINE")
    schools = await caller("1", "2", "3").data("{ schools { id summary { schoolId total } } }")
    assert [(school["id"], school["summary"]["total"]) for school in schools] == [("1", 1), ("2", 0), ("3", 0)]
    assert asked == [["1", "2", "3"]]
