"""What every endpoint needs to serve a client: handed from the composition root, shared by all."""

from asyncio import Task
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from graphql_api.access.principal import Principal
from graphql_api.access.revocations import Revocations
from graphql_api.access.tokens import TokenVerifier
from graphql_api.delivery.admission import Admission
from graphql_api.delivery.census import Census
from graphql_api.delivery.expiries import Expiries
from graphql_api.delivery.heartbeat import Heartbeat
from graphql_api.delivery.open_streams import OpenStreams
from graphql_api.delivery.origins import Origins
from graphql_api.delivery.pace import Pace
from graphql_api.delivery.patience import Patience
from graphql_api.delivery.sharing import Sharing
from graphql_api.devices.service import DeviceService
from graphql_api.limits import Limits
from graphql_api.moment import Clock
from graphql_api.refusals import Refusals
from graphql_api.schema import Executor

__all__ = ["Delivery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The collaborators and limits of all endpoints. Times are seconds, sizes are bytes."""

    executor: Executor
    service: DeviceService
    verifier: TokenVerifier
    revocations: Revocations
    sharing: Sharing
    expiries: Expiries
    heartbeat: Heartbeat
    patience: Patience
    start: Callable[[Coroutine[Any, Any, None]], "Task[None]"]
    """Has work done that ends with the service at the latest; it must let no exception out."""
    clock: Clock
    connection_init_timeout: float
    body_limit: int
    limits: Limits
    refusals: Refusals
    admission: Admission
    origins: Origins
    pace: Pace
    census: Census = field(default_factory=Census)
    streams: OpenStreams = field(default_factory=OpenStreams)

    def has_expired(self, principal: Principal) -> bool:
        """Whether nothing may be sent to this caller any more."""
        return self.clock() >= principal.expires_at

    def seconds_left(self, principal: Principal) -> float:
        """How long the caller's token is still good for."""
        return max(0.0, (principal.expires_at - self.clock()) / 1_000_000)
