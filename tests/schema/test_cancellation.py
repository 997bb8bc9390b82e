"""A query that nobody waits for any more ends wherever it is, and leaves nothing behind."""

import asyncio
import gc
import warnings

import pytest

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
