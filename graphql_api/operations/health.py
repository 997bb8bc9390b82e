"""Health: is the process alive, and can it do its work?"""

from dataclasses import dataclass, field

from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable

__all__ = ["Readiness", "check_readiness"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this process can do its work, and the reasons why not."""

    ready: bool
    reasons: list[str] = field(default_factory=list)


async def check_readiness(store: Store) -> Readiness:
    """Ask what the work depends on."""
    try:
        await store.ping()
    except Unavailable as error:
        return Readiness(ready=False, reasons=[str(error)])
    return Readiness(ready=True)
