import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphql_api.cli import checker
from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.simulation import SimulatedSchool
from graphql_api.cli.target import Target
from graphql_api.devices.model import Status


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_a_plausible_school(random):
    """Of 60 devices most are fine at any time, every round changes something, and few devices at once."""
    school = SimulatedSchool(Random(random.random()))
    before = school.statuses()
    assert len(before) == 60
    for _ in range(50):
        after = school.next_round()
        changed = [device for device, status in after.items() if before[device] is not status]
        assert 1 <= len(changed) <= 20
        assert sum(status is Status.ONLINE for status in after.values()) >= 30
        assert Status.RETIRED not in after.values()
        before = after


@pytest.mark.logs_errors
@pytest.mark.anyio
@pytest.mark.parametrize("death", [CommandFailed("refused"), RuntimeError("a defect")])
async def test_a_checker_that_dies_is_replaced(death, monkeypatch, caplog):
    """Whatever ends the simulated checker is logged, and another one goes on publishing."""
    monkeypatch.setattr(checker, "INTERVAL", 0)
    published = asyncio.Queue()
    troubles = iter([None, death])

    async def publish_round(client, target, inputs, *, school, tell):
        published.put_nowait(len(inputs))
        if trouble := next(troubles, None):
            raise trouble

    monkeypatch.setattr(checker, "publish_round", publish_round)
    task = asyncio.create_task(checker.check_for_ever(Target("http://service/", "ws://service/", "token"), "1"))
    assert [await published.get() for _ in range(4)] == [60] * 4
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert "another one takes over" in caplog.text
