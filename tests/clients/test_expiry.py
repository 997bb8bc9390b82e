"""Tokens expire under stock clients while rounds are published all the time: nothing is lost, nothing comes twice."""

import pytest

from tests.clients.programs import RECIPES, watching
from tests.clients.screen import LIFETIME, Login, Screen, publishing
from tests.faults.history import read_history

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
    assert {(code, reason.split(":")[0]) for code, reason in screen.closed} <= {(4403, "token-expired")}
