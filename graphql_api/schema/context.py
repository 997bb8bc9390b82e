"""What resolvers are given: a request knows its caller, a subscription only what may be seen.

A subscription's context holds no user on purpose: what it yields must be the same for all who may
see the same, so that they can share one execution.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from strawberry.dataloader import DataLoader

from graphql_api.access.principal import Principal, Visibility, require_scope
from graphql_api.devices.model import Summary
from graphql_api.devices.service import DeviceService
from graphql_api.devices.watches import Watch
from graphql_api.errors import BadUserInput, Unauthenticated
from graphql_api.schema.guard import Guard

__all__ = ["RequestContext", "SubscriptionContext"]

_ANONYMOUS = (
    "Expected a token, but none came with the call. "
    "Send it as `Authorization: Bearer ...`, or in the payload of connection_init."
)
_NOTHING_TO_RENEW = (
    "Expected renewAuthorization on a WebSocket, whose token it renews, but it came by HTTP. "
    "There each request has its own token: send the new one as `Authorization: Bearer ...`."
)


@dataclass(slots=True)
class RequestContext:
    """Of one query or mutation."""

    service: DeviceService
    caller: Principal | None
    renew: Callable[[str], Awaitable[Principal]] | None = None
    """Goes on with another token on the connection that the call came by; None: it has no token of its own."""
    guard: Guard = field(init=False)
    """How much the operation may ask for; the executor puts it here."""
    _summaries: DataLoader[str, Summary] | None = field(default=None, init=False)

    @property
    def principal(self) -> Principal:
        """Who calls.

        Raises:
            Unauthenticated: no token came with the call.
        """
        if self.caller is None:
            raise Unauthenticated(_ANONYMOUS)
        return self.caller

    @property
    def visibility(self) -> Visibility:
        """What the caller may see and do. Raises as :attr:`principal`."""
        return self.principal.visibility

    def admit_write(self, scope: str) -> None:
        """Count something that the caller is about to have recorded, if it may at all: others can't use up its pace.

        Raises:
            Forbidden: the scope is missing; else as :attr:`principal`.
            RateLimited: the subject has had too much recorded lately.
        """
        require_scope(self.visibility, scope)
        self.guard.admit_publish(self.principal.subject)

    async def renew_authorization(self, token: str) -> Principal:
        """Who calls from now on.

        Raises:
            BadUserInput: there is no connection to go on with; else as the connection says, and :attr:`principal`.
        """
        _ = self.principal
        if self.renew is None:
            raise BadUserInput(_NOTHING_TO_RENEW)
        # What comes after it in the same mutation is done with the new one.
        self.caller = await self.renew(token)
        return self.caller

    async def summary(self, school: str) -> Summary:
        """A school's summary; all that one request asks for come in one query of the store."""
        if self._summaries is None:
            visibility = self.visibility

            async def load(schools: list[str]) -> list[Summary]:
                found = await self.service.summaries(visibility, schools)
                return [found[school] for school in schools]

            self._summaries = DataLoader(load_fn=load)
        return await self._summaries.load(school)


@dataclass(slots=True)
class SubscriptionContext:
    """Of one execution of a subscription, which all share who ask for the same and may see the same."""

    service: DeviceService
    caller_visibility: Visibility | None
    guard: Guard
    """As in :class:`RequestContext`."""
    items: Callable[[Watch[Any]], AsyncGenerator[Any, None]]
    """Told what the resolver has chosen to watch; iterates over what there is to be told of it."""

    @property
    def visibility(self) -> Visibility:
        """What the callers may see.

        Raises:
            Unauthenticated: no token came with the call.
        """
        if self.caller_visibility is None:
            raise Unauthenticated(_ANONYMOUS)
        return self.caller_visibility
