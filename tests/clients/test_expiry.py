"""Tokens expire under stock clients while rounds are published all the time: nothing is lost, nothing comes twice."""

import pytest

from tests.clients.programs import EVENTS, RECIPES, STATE, watching
from tests.clients.screen import LIFETIME, Login, Screen, publishing
from tests.faults.history import read_history
from tests.wire.test_revocation import revoke

pytestmark = pytest.mark.anyio

EXPIRIES = 2


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
async def test_an_expired_token_costs_nothing(request, recipe, server, settings, publisher):
    """The client notices, gets a new token and resumes: every event once, in order, and state as stored (G-6, G-12)."""
    if recipe.needs_node:
        request.getfixturevalue("node")
    screen = Screen(Login(server, publisher), recipe.first_tokens)
    async with watching(recipe, server, screen):
        async with publishing(publisher):
            for expired in range(1, EXPIRIES + 1):
                await screen.until_served(with_state=recipe.has_state)
                server.clock.advance(LIFETIME + 1)
                await screen.until(lambda wanted=expired: screen.asked >= recipe.tokens_after(wanted))
            await screen.until_served(with_state=recipe.has_state)
        history = await read_history(settings.database_url.get_secret_value(), "1")
        publisher.check(history)
        await screen.until_level_with(history, with_state=recipe.has_state)
    screen.check(history)
    assert screen.resets == recipe.has_state, "state was to go on, and not to begin anew"
    expected = [(4403, "token-expired")] * EXPIRIES if recipe.tells_closes else []
    assert [(code, reason.split(":")[0]) for code, reason in screen.closed] == expected


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe.has_checkpoints], ids=str)
async def test_one_that_was_told_nothing_resumes_too(request, recipe, server, settings, publisher):
    """A client that had no event before its token expired gets the first one that was recorded meanwhile (G-4)."""
    if recipe.needs_node:
        request.getfixturevalue("node")
    await publisher.publish(publisher.other_statuses())
    known = len(publisher.expected)
    screen = Screen(Login(server, publisher), recipe.first_tokens)
    async with watching(recipe, server, screen):
        await server.until(lambda services: services.statistics().sharing.live == len((EVENTS, STATE)))
        await screen.until(lambda: bool(screen.statuses))
        server.clock.advance(LIFETIME + 1)
        async with publishing(publisher):
            await screen.until_served(with_state=True)
        history = await read_history(settings.database_url.get_secret_value(), "1")
        await screen.until_level_with(history, with_state=True)
    screen.check(history)
    assert screen.events[0].version == known + 1
    assert screen.asked >= recipe.tokens_after(1)
    assert screen.resets == 1


async def test_a_revoked_token_is_told_for_good(node, server, publisher):
    """Where another token would not help, the graphql-ws client of the recipe gives up and says why (G-13)."""
    recipe = RECIPES[0]
    screen = Screen(Login(server, publisher), recipe.first_tokens)
    async with watching(recipe, server, screen):
        async with publishing(publisher):
            await screen.until_served(with_state=True)
        assert await revoke(server, "tester") >= 1
        await screen.until(lambda: len(screen.ended) == len((EVENTS, STATE)))
    assert [reason.split(":")[0] for reason in screen.ended] == ["token-revoked"] * len((EVENTS, STATE))
