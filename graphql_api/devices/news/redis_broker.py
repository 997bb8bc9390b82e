"""Redis as a broker: a backend for the broadcaster library.

The library's own one reads in a task whose death nobody is told of, does not wait for a subscription to be in
force, and stops reading when the last channel goes while another one comes.
"""

import asyncio
import secrets
import socket
from typing import Any

from broadcaster._backends.base import BroadcastBackend
from broadcaster._base import Event
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

__all__ = ["RedisBackend"]

# Seconds, as in graphql_api/devices/engines.py; not every system has all of these.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}


class RedisBackend(BroadcastBackend):
    """Publishes and subscribes on connections of their own; :meth:`next_published` fails when its connection does."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            # redis-py would connect and subscribe again without a word, and what was published in between be lost.
            retry=Retry(NoBackoff(), 0),
            socket_keepalive=True,
            socket_keepalive_options={
                getattr(socket, name): value for name, value in _KEEP_ALIVE.items() if hasattr(socket, name)
            },
        )
        self._pubsub = self._redis.pubsub()
        self._confirmations: dict[str, asyncio.Future[None]] = {}

    async def connect(self) -> None:
        """Begin to listen, to a channel that nobody else knows: redis-py can't wait without one."""
        await self._redis.ping()  # type: ignore[misc] # redis-py's annotations are those of its synchronous half, too
        await self._pubsub.subscribe(f"ds:{secrets.token_hex(16)}")

    async def disconnect(self) -> None:
        """Close the connections."""
        await self._pubsub.aclose()  # type: ignore[no-untyped-call] # redis has no type for it
        await self._redis.aclose()

    async def subscribe(self, group: str) -> None:
        """Subscribe to a channel, and wait until that is in force."""
        confirmed = self._confirmations[group] = asyncio.get_running_loop().create_future()
        try:
            await self._pubsub.subscribe(group)
            await confirmed
        finally:
            del self._confirmations[group]

    async def unsubscribe(self, group: str) -> None:
        """Leave a channel."""
        await self._pubsub.unsubscribe(group)

    async def publish(self, channel: str, message: Any) -> None:
        """Tell all who have subscribed."""
        await self._redis.publish(channel, message)

    async def next_published(self) -> Event:
        """Wait for the next message."""
        while True:
            received = await self._pubsub.get_message(timeout=None)
            if received is None:
                continue
            channel = received["channel"].decode()
            if received["type"] == "message":
                return Event(channel, received["data"].decode(errors="replace"))
            confirmed = self._confirmations.get(channel)
            if received["type"] == "subscribe" and confirmed and not confirmed.done():
                confirmed.set_result(None)
