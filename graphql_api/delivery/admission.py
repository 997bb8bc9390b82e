"""Who may connect, and from where: connections counted by process, address and subject, and origins. No I/O."""

from collections.abc import Hashable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from graphql_api.limits import Limits
from graphql_api.refusals import Limit, Refusals

__all__ = ["Admission", "AdmissionStatistics", "Full", "Seat", "address_of"]

_IPV6_PREFIX = 64


class Full(Exception):
    """There is no room for another connection; the text says of what kind, for the client."""

    def __init__(self, limit: Limit, sentence: str) -> None:
        super().__init__(sentence)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class AdmissionStatistics:
    """Who is connected right now."""

    connections: int
    addresses: int
    subjects: int


class _Crowd:
    """Connections that have something in common."""

    __slots__ = ("key", "size")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.size = 0


class _Crowds:
    """Connections counted by what they have in common; nobody's count is kept."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._crowds: dict[Hashable, _Crowd] = {}

    def __len__(self) -> int:
        return len(self._crowds)

    def join(self, key: Hashable) -> _Crowd | None:
        """Count one in; None when there are as many as there may be."""
        crowd = self._crowds.get(key)
        if crowd is None:
            crowd = self._crowds[key] = _Crowd(key)
        elif crowd.size >= self.most:
            return None
        crowd.size += 1
        return crowd

    def leave(self, crowd: _Crowd) -> None:
        crowd.size -= 1
        if not crowd.size:
            del self._crowds[crowd.key]


class Seat:
    """One connection's place among all, until it leaves."""

    __slots__ = ("_address", "_admission", "_subject")

    def __init__(self, admission: "Admission", address: _Crowd | None) -> None:
        self._admission: Admission | None = admission
        self._address = address
        self._subject: _Crowd | None = None

    def belongs_to(self, subject: str) -> None:
        """It is known now whose connection it is. Whom it belongs to it belongs to for good.

        Raises:
            Full: the subject has as many as it may have.
        """
        if self._admission and self._subject is None:
            self._subject = self._admission.join_subject(subject)

    def leave(self) -> None:
        """Make room. May be repeated."""
        admission, self._admission = self._admission, None
        if admission:
            admission.leave(self._address, self._subject)


class Admission:
    """Lets connections in while there is room. Whoever is refused is counted."""

    def __init__(self, limits: Limits, refusals: Refusals) -> None:
        self._most = limits.max_connections
        self._refusals = refusals
        self._connections = 0
        self._addresses = _Crowds(limits.max_connections_per_address)
        self._subjects = _Crowds(limits.max_connections_per_subject)

    def enter(self, address: Hashable | None) -> Seat:
        """Let a connection in; ``address`` is that of :func:`address_of`, and None is nobody's.

        Raises:
            Full: there are as many as there may be, of this process or from this address.
        """
        if self._connections >= self._most:
            raise self._full(Limit.CONNECTIONS, f"the service has its {self._most} connections: come back later")
        crowd = None
        if address is not None and (crowd := self._addresses.join(address)) is None:
            raise self._full(
                Limit.CONNECTIONS_PER_ADDRESS,
                f"this address has its {self._addresses.most} connections: close one, or come back later",
            )
        self._connections += 1
        return Seat(self, crowd)

    def join_subject(self, subject: str) -> _Crowd:
        """For :class:`Seat`."""
        crowd = self._subjects.join(subject)
        if crowd is None:
            raise self._full(
                Limit.CONNECTIONS_PER_SUBJECT,
                f"this token's subject has its {self._subjects.most} connections: close one, or come back later",
            )
        return crowd

    def leave(self, address: _Crowd | None, subject: _Crowd | None) -> None:
        """For :class:`Seat`."""
        self._connections -= 1
        if address:
            self._addresses.leave(address)
        if subject:
            self._subjects.leave(subject)

    def statistics(self) -> AdmissionStatistics:
        """A snapshot."""
        return AdmissionStatistics(self._connections, len(self._addresses), len(self._subjects))

    def _full(self, limit: Limit, sentence: str) -> Full:
        self._refusals.count(limit)
        return Full(limit, sentence)


def address_of(scope: MutableMapping[str, Any]) -> str | None:
    """Where a connection comes from, as far as it can be told apart from others; None over a Unix socket.

    Who has one IPv6 address has at least the 2^64 of its network (RFC 6177, section 2), so the network counts.
    """
    client = scope.get("client")
    return _party_at(str(client[0])) if client and client[0] else None


@lru_cache(maxsize=4_096)
def _party_at(text: str) -> str:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        # What a trusted proxy has called it.
        return text
    if not isinstance(address, IPv6Address):
        return text
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _IPV6_PREFIX), strict=False))
