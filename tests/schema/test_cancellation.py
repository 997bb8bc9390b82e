"""A query that nobody waits for any more ends wherever it is, and leaves nothing behind."""

import asyncio
import gc
import warnings

import pytest
from graphql import GraphQLObjectType, get_named_type, is_object_type

pytestmark = pytest.mark.anyio

# Fields that are resolved side by side, and so in each item of a list.
QUERY = """
{
  viewer { subject }
  schools { id summary { total } again: summary { total } }
  devices(schoolId: "1") { totalCount }
}
"""


async def cancelled_after(caller, turns: int) -> bool:
    """Whether a query was under way still, so many turns of the loop after its start, and has been cancelled there."""
    execution = asyncio.create_task(caller.run(QUERY))
    for _ in range(turns):
        await asyncio.sleep(0)
    if execution.cancel():
        await asyncio.wait([execution])
        return True
    assert (await execution).errors == ()
    return False


async def test_no_resolver_is_left_that_never_ran(caller):
    """Cancelled at whatever turn of the loop, also between a resolver's call and its start, a query warns of none."""
    both = caller("1", "2")
    for school in ("1", "2"):
        await both.publish(school, board="ONLINE")
    turns = 0
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        while await cancelled_after(both, turns):
            turns += 1
        gc.collect()
    assert turns > 5
    assert [str(warning.message) for warning in warned] == []


def asynchronous_fields(of_type: GraphQLObjectType) -> set[str]:
    """Those of the fields below a type whose resolvers are coroutines."""
    found, seen, waiting = set(), set(), [of_type]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for name, field in current.fields.items():
            if field.extensions["strawberry-definition"].is_async:
                found.add(f"{current.name}.{name}")
            below = get_named_type(field.type)
            if is_object_type(below) and below not in seen:
                waiting.append(below)
    return found


def test_no_field_of_an_event_is_a_coroutine(executor):
    """What executes events does without looking for coroutines: none of their fields is one, as some of queries are."""
    schema = executor._schema
    assert "School.summary" in asynchronous_fields(schema.query_type)
    assert asynchronous_fields(schema.subscription_type) == {
        f"Subscription.{name}" for name in schema.subscription_type.fields
    }
