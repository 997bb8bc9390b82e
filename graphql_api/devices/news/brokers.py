"""From a URL to the broker that carries the news, and to the broadcaster library's backend for it."""

from collections.abc import Callable
from dataclasses import dataclass

from broadcaster._backends.base import BroadcastBackend
from broadcaster._backends.memory import MemoryBackend

from graphql_api.devices.news.postgresql_broker import PAYLOAD_LIMIT, PostgreSQLBackend
from graphql_api.devices.news.redis_broker import RedisBackend

__all__ = ["Broker", "broker_of"]


@dataclass(frozen=True, slots=True)
class Broker:
    """What carries the news: ``make`` a backend for each connection; after a failure a new one is made."""

    make: Callable[[], BroadcastBackend]
    shared: bool
    """Whether it reaches other processes, and so can be out of reach itself."""
    message_limit: int | None = None
    """Bytes of the biggest message."""


def broker_of(url: str) -> Broker:
    """The broker that a URL names; it is not looked for yet.

    Raises:
        ValueError: none that is known.
    """
    match url.partition("://")[0]:
        case "memory":
            return Broker(lambda: MemoryBackend(url), shared=False)
        case "redis" | "rediss":
            return Broker(lambda: RedisBackend(url), shared=True)
        case "postgresql" | "postgres":
            return Broker(lambda: PostgreSQLBackend(url), shared=True, message_limit=PAYLOAD_LIMIT)
    raise ValueError("expected the URL of a broker: memory://, redis://, rediss://, postgresql:// or postgres://")
