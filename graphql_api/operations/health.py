"""Health: is the process alive, and can it do its work?"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from graphql_api.access.issuer_keys import IssuerKeys
from graphql_api.devices.news import News
from graphql_api.devices.revoking import Revoking
from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable

__all__ = ["Readiness", "check_readiness"]

_BROADCASTER_LOST = (
    "The broadcaster can't be reached and is being rebuilt: what other processes record arrives late,"
    " by comparison with the store."
)
_NO_KEYS = (
    "The keys of the tokens' issuer could not be fetched yet, or are too old: its tokens are answered with UNAVAILABLE."
)
_KEYS_STALE = (
    "The keys of the tokens' issuer could not be fetched the last time: those of before serve, new ones are not known."
)
_NOT_REVOKING = (
    "What has been revoked could not be read the last time: what is known stays in force, what other processes revoke"
    " is not heard of."
)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this process can do its work, and the reasons why not, or why worse than it should."""

    status: Literal["ready", "degraded", "unavailable"]
    reasons: list[str] = field(default_factory=list)

    @property
    def http_status(self) -> HTTPStatus:
        """What a balancer goes by."""
        return HTTPStatus.SERVICE_UNAVAILABLE if self.status == "unavailable" else HTTPStatus.OK


async def check_readiness(
    store: Store, news: News, revoking: Revoking, issuer_keys: IssuerKeys | None, *, own_keys: bool
) -> Readiness:
    """Ask what the work depends on.

    Args:
        store: without it nothing goes.
        news: without it all goes, later.
        revoking: hears of what other processes revoke.
        issuer_keys: the published ones, if any are.
        own_keys: whether there are keys besides those.
    """
    try:
        await store.ping()
    except Unavailable as error:
        return Readiness("unavailable", [str(error)])
    keys = issuer_keys.statistics() if issuer_keys else None
    if keys and not keys.keys and not own_keys:
        return Readiness("unavailable", [_NO_KEYS])
    reasons = []
    if not news.statistics().connected:
        reasons.append(_BROADCASTER_LOST)
    if revoking.statistics().failing:
        reasons.append(_NOT_REVOKING)
    if keys and not keys.keys:
        reasons.append(_NO_KEYS)
    elif keys and keys.failing:
        reasons.append(_KEYS_STALE)
    return Readiness("degraded" if reasons else "ready", reasons)
