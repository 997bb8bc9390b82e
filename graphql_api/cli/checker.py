"""The health checker of the demonstration: it publishes rounds through the mutation, like a real one."""

import asyncio
import logging
from random import Random

import httpx

from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.publisher import publish_round
from graphql_api.cli.simulation import SimulatedSchool
from graphql_api.cli.target import Target
from graphql_api.devices.model import Status
from graphql_api.moment import format_moment, now

__all__ = ["check_for_ever"]

logger = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two rounds."""


async def check_for_ever(target: Target, school: str) -> None:
    """Publish a round of the simulated school every two seconds until cancelled, whatever happens in between."""
    simulated = SimulatedSchool(Random())  # noqa: S311 (a play, no secret)
    while True:
        try:
            await _check(target, school, simulated)
        except CommandFailed as failed:
            logger.warning("The simulated health checker gave up (%s); another one takes over.", failed)
        except Exception:
            logger.exception("The simulated health checker died; another one takes over.")
        await asyncio.sleep(INTERVAL)


async def _check(target: Target, school: str, simulated: SimulatedSchool) -> None:
    # No proxy of the environment stands between a server and itself.
    async with httpx.AsyncClient(trust_env=False) as client:
        statuses = simulated.statuses()
        while True:
            await publish_round(client, target, _inputs(statuses), school=school, tell=logger.warning)
            await asyncio.sleep(INTERVAL)
            statuses = simulated.next_round()


def _inputs(statuses: dict[str, Status]) -> list[dict[str, str]]:
    observed_at = format_moment(now())
    return [
        {"deviceId": device, "status": status.value, "observedAt": observed_at} for device, status in statuses.items()
    ]
