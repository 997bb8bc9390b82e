"""Long work lets others come through."""

import asyncio

import pytest

from graphql_api.delivery import breath as module
from graphql_api.delivery.breath import Breath

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock(monkeypatch):
    """Seconds, as the work sees them."""
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


async def test_others_come_through_after_two_milliseconds(clock):
    """Work is due for a breath two milliseconds after its last one, and during it whoever is ready has a turn."""
    breath = Breath()
    clock[0] += 0.0019
    assert not breath.is_due
    clock[0] += 0.0002
    assert breath.is_due
    others = []
    asyncio.get_running_loop().call_soon(others.append, "ready")
    await breath.take()
    assert others == ["ready"]
    assert not breath.is_due


async def test_the_time_of_others_does_not_count(clock):
    """How long the others take is not the work's own time."""
    breath = Breath()

    def work_long():
        clock[0] += 1

    asyncio.get_running_loop().call_soon(work_long)
    await breath.take()
    assert not breath.is_due
