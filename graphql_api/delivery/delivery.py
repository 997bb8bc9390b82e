"""What every endpoint needs to serve a client: handed from the composition root, shared by all."""

from dataclasses import dataclass, field

from graphql_api.access.principal import Principal
from graphql_api.access.tokens import TokenVerifier
from graphql_api.delivery.census import Census
from graphql_api.delivery.open_streams import OpenStreams
from graphql_api.delivery.patience import Patience
from graphql_api.devices.service import DeviceService
from graphql_api.moment import Clock, now
from graphql_api.schema import Executor

__all__ = ["Delivery"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The collaborators and limits of all endpoints. Times are seconds, sizes are bytes."""

    executor: Executor
    service: DeviceService
    verifier: TokenVerifier
    connection_init_timeout: float = 10.0
    keep_alive: float = 15.0
    body_limit: int = 2 * 1024 * 1024
    clock: Clock = now
    census: Census = field(default_factory=Census)
    streams: OpenStreams = field(default_factory=OpenStreams)
    patience: Patience = field(default_factory=lambda: Patience(60.0))

    def has_expired(self, principal: Principal) -> bool:
        """Whether nothing may be sent to this caller any more."""
        return self.clock() >= principal.expires_at

    def seconds_left(self, principal: Principal) -> float:
        """How long the caller's token is still good for."""
        return max(0.0, (principal.expires_at - self.clock()) / 1_000_000)
