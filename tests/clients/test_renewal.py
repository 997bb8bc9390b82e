"""A stock graphql-ws client renews its token in place."""

import pytest

from tests.clients.programs import RENEWING, watching
from tests.clients.screen import PAUSE

pytestmark = pytest.mark.anyio

FIRST_LIFETIME = 5
"""Seconds of the first token, of which the recipe lets four fifths go by."""


async def test_a_token_is_renewed_over_the_same_socket(node, server, publisher, history):
    """Before it expires the client sends a fresh one, and goes on past the old expiry without a reconnect (G-14)."""
    async with watching([RENEWING], server, publisher) as screens:
        (screen,) = screens.values()
        lifetime, screen.login.lifetime = screen.login.lifetime, FIRST_LIFETIME
        async with publisher.publishing(PAUSE):
            await screen.until_served(with_state=True)
            screen.login.lifetime = lifetime
            await screen.until(lambda: screen.renewals == 1)
            server.clock.advance(FIRST_LIFETIME)
            for _ in range(3):
                await screen.until_served(with_state=True)
        stored = await history()
        await screen.until_level_with(stored, with_state=True)
    screen.check(stored)
    assert screen.closed == []
    assert (screen.asked, screen.resets) == (RENEWING.first_tokens + 1, 1)
