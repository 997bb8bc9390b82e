"""How long a caller may be sent anything: until the token expires, or is revoked."""

from collections.abc import Callable

from graphql_api.access.claims import TokenProblem, TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.access.revocations import Revocations
from graphql_api.delivery.expiries import Expiries
from graphql_api.moment import Moment

__all__ = ["Entitlement"]

_AT_ONCE = Moment(0)


class Entitlement:
    """Calls back once, with the reason, when the token is no good any more; of one revoked meanwhile, at once.

    Expiry is exact, as :class:`Expiries` says; a revocation counts as soon as this process hears of it.
    """

    __slots__ = ("_expiries", "_expiry", "_on_end", "_revocations", "principal")

    def __init__(
        self,
        expiries: Expiries,
        revocations: Revocations,
        principal: Principal,
        on_end: Callable[[TokenRefused], None],
    ) -> None:
        self.principal = principal
        self._expiries = expiries
        self._revocations = revocations
        self._on_end = on_end
        # Between verifying a token and this there may have been a wait.
        until = _AT_ONCE if revocations.refuse(principal) else principal.expires_at
        self._expiry = expiries.add(until, self._on_expired)
        revocations.watch(self)

    def cancel(self) -> None:
        """Don't call back. May be repeated."""
        self._expiries.remove(self._expiry)
        self._revocations.unwatch(self)

    def on_revoked(self) -> None:
        """As :class:`~graphql_api.access.revocations.Holder` says."""
        self._end(TokenProblem.REVOKED)

    def _on_expired(self) -> None:
        self._end(TokenProblem.REVOKED if self._revocations.refuse(self.principal) else TokenProblem.EXPIRED)

    def _end(self, problem: TokenProblem) -> None:
        self.cancel()
        self._on_end(TokenRefused(problem, "get a new token and connect again"))
