"""A stock graphql-ws client renews its token in place."""

import pytest

from tests.clients.programs import RENEWING, watching
from tests.clients.screen import Login, Screen, publishing
from tests.faults.history import read_history

pytestmark = pytest.mark.anyio

FIRST_LIFETIME = 8
"""Seconds of the first token, of which the recipe lets four fifths go by."""


async def test_a_token_is_renewed_over_the_same_socket(node, server, settings, publisher):
    """Before it expires the client sends a fresh one, and goes on past the old expiry without a reconnect (G-14)."""
    login = Login(server, publisher)
    login.lifetime = FIRST_LIFETIME
    screen = Screen(login, RENEWING.first_tokens)
    async with watching(RENEWING, server, screen):
        async with publishing(publisher):
            await screen.until_served(with_state=True)
            login.lifetime = 3600
            await screen.until(lambda: screen.renewals == 1)
            server.clock.advance(FIRST_LIFETIME)
            for _ in range(3):
                await screen.until_served(with_state=True)
        history = await read_history(settings.database_url.get_secret_value(), "1")
        await screen.until_level_with(history, with_state=True)
    screen.check(history)
    assert screen.closed == []
    assert (screen.asked, screen.resets) == (RENEWING.first_tokens + 1, 1)
