"""Tokens expire under stock clients while rounds are published all the time: nothing is lost, nothing comes twice."""

import asyncio

import pytest

from tests.clients.programs import GRAPHQL_WS, watching
from tests.clients.screen import LIFETIME, PAUSE
from tests.wire.test_revocation import revoke

pytestmark = pytest.mark.anyio

EXPIRIES = 2


async def all_served(screens):
    """Wait until each client has been told something new."""
    await asyncio.gather(
        *(screen.until_served(with_state=recipe.has_state) for recipe, screen in screens.items()),
    )


async def assert_all_right(screens, stored):
    """Every event once, in order; state went on, and is what is stored."""
    for recipe, screen in screens.items():
        await screen.until_level_with(stored, with_state=recipe.has_state)
        screen.check(stored)
        assert screen.resets == recipe.has_state, f"{screen}: state was to go on, and not to begin anew"


async def test_expired_tokens_cost_nothing(recipes, server, publisher, history):
    """Each client notices, gets a new token and resumes, while rounds go on without a pause (G-6, G-11, G-12)."""
    async with watching(recipes, server, publisher) as screens:
        async with publisher.publishing(PAUSE):
            for expired in range(1, EXPIRIES + 1):
                await all_served(screens)
                server.clock.advance(LIFETIME + 1)
                for recipe, screen in screens.items():
                    await screen.until(lambda r=recipe, s=screen, n=expired: s.asked >= r.tokens_after(n))
            await all_served(screens)
        stored = await history()
        publisher.check(stored)
        await assert_all_right(screens, stored)
    for recipe, screen in screens.items():
        expected = [(4403, "token-expired")] * EXPIRIES if recipe.tells_closes else []
        assert [(code, reason.split(":")[0]) for code, reason in screen.closed] == expected


async def test_who_was_told_nothing_yet_resumes_too(recipes, server, publisher, history):
    """A client without an event before its token expired gets the very first one that was recorded since (G-4)."""
    await publisher.publish(publisher.other_statuses())
    known = len(publisher.expected)
    live = sum(recipe.subscriptions for recipe in recipes)
    async with watching(recipes, server, publisher) as screens:
        await server.until(lambda services: services.statistics().sharing.live == live)
        for recipe, screen in screens.items():
            await screen.until(lambda r=recipe, s=screen: bool(s.statuses) == r.has_state)
        server.clock.advance(LIFETIME + 1)
        async with publisher.publishing(PAUSE):
            await all_served(screens)
        await assert_all_right(screens, await history())
    for recipe, screen in screens.items():
        assert screen.events[0].version == known + 1
        assert screen.asked >= recipe.tokens_after(1)


async def test_a_revoked_token_is_told_for_good(node, server, publisher):
    """Where another token would not help, the graphql-ws client of the recipe gives up and says why (G-13)."""
    async with watching([GRAPHQL_WS], server, publisher) as screens:
        (screen,) = screens.values()
        async with publisher.publishing(PAUSE):
            await all_served(screens)
        assert await revoke(server, "tester") >= 1
        await screen.until(lambda: len(screen.ended) == GRAPHQL_WS.subscriptions)
    assert {reason.split(":")[0] for reason in screen.ended} == {"token-revoked"}
    assert screen.asked == GRAPHQL_WS.first_tokens
