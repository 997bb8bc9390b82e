"""What resolvers are given: a request knows its caller, a subscription only what may be seen.

A subscription's context holds no user on purpose: what it yields must be the same for all who may
see the same, so that they can share one execution.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from strawberry.dataloader import DataLoader

from graphql_api.access.principal import Principal, Visibility
from graphql_api.devices.model import Summary
from graphql_api.devices.service import DeviceService
from graphql_api.devices.streams import Stream
from graphql_api.errors import Unauthenticated
from graphql_api.schema.documents import Operation

__all__ = ["RequestContext", "SubscriptionContext"]

_ANONYMOUS = (
    "Expected a token, but none came with the call. "
    "Send it as `Authorization: Bearer ...`, or in the payload of connection_init."
)


@dataclass(slots=True)
class RequestContext:
    """Of one query or mutation."""

    service: DeviceService
    caller: Principal | None
    operation: Operation | None = None
    """What is executed; the executor puts it here, for Strawberry's extension to find."""
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
    """Of one subscription: it is made by, and closed by, whoever delivers the results."""

    service: DeviceService
    caller_visibility: Visibility | None
    on_live: Callable[[], None] | None = None
    """Called once, when there is nothing more to send for now; :attr:`checkpoint` is then set."""
    resume_from: Sequence[str] = ()
    """The cursors that the client has kept, of which the furthest counts."""
    stream: Stream[Any] | None = None
    operation: Operation | None = None
    """As in :class:`RequestContext`."""

    @property
    def visibility(self) -> Visibility:
        """What the caller may see.

        Raises:
            Unauthenticated: no token came with the call.
        """
        if self.caller_visibility is None:
            raise Unauthenticated(_ANONYMOUS)
        return self.caller_visibility

    @property
    def cursor(self) -> str | None:
        """Where to resume after the last result; None while that would lose something."""
        return self.stream.cursor if self.stream else None

    @property
    def checkpoint(self) -> str | None:
        """Where to resume while nothing is on its way; further on than the last result if changes were not wanted."""
        return self.stream.checkpoint if self.stream else None

    async def start(self, stream: Stream[Any]) -> None:
        """Open the stream that the resolver has chosen; :meth:`close` closes it, whatever happens."""
        self.stream = stream
        await stream.open(self.resume_from, self.on_live)

    async def close(self) -> None:
        """Leave the school's feed. Call it when no more results are wanted, in any case."""
        if self.stream:
            await self.stream.close()
