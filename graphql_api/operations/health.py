"""Health: is the process alive, and can it do its work?"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from graphql_api.devices.news import News
from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable

__all__ = ["Readiness", "check_readiness"]

_BROADCASTER_LOST = (
    "The broadcaster can't be reached and is being rebuilt: what other processes record arrives late,"
    " by comparison with the store."
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


async def check_readiness(store: Store, news: News) -> Readiness:
    """Ask what the work depends on."""
    try:
        await store.ping()
    except Unavailable as error:
        return Readiness("unavailable", [str(error)])
    if not news.statistics().connected:
        return Readiness("degraded", [_BROADCASTER_LOST])
    return Readiness("ready")
