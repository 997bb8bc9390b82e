"""Broadcasting that outlives its broker: connected, watched, made anew when it dies, its listeners taken along."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from broadcaster import Broadcast
from broadcaster._base import Subscriber, Unsubscribed

from graphql_api.devices.news.brokers import Broker
from graphql_api.devices.news.watched_backend import WatchedBackend

__all__ = ["Broadcasting"]

logger = logging.getLogger(__name__)

# Seconds before the next attempt to connect: doubled each time, up to the longest, and jittered, so that the
# processes of an installation do not all come back at once.
_FIRST_RETRY = 0.1
_LONGEST_RETRY = 5.0


class _Connection:
    """One life of the library's Broadcast. Once its backend is lost it stays so, and another is made."""

    def __init__(self, broker: Broker) -> None:
        self.backend = WatchedBackend(broker.make())
        self.broadcast = Broadcast(backend=self.backend)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        try:
            await self.broadcast.connect()
        except BaseException:
            # The library has no listener yet, and its own disconnect would trip over that.
            await self.backend.disconnect()
            raise
        try:
            yield
        finally:
            await self.broadcast.disconnect()

    async def subscribe(self, stack: AsyncExitStack, channel: str) -> Subscriber:
        try:
            return await stack.enter_async_context(self.broadcast.subscribe(channel))
        except KeyError as masked:
            # The library, cleaning up, trips over what it had not yet set up, and hides what went
            # wrong: the backend's error, or that this task was cancelled.
            raise masked.__context__ or masked from None


class _Place:
    """Where a listener reads; its subscription moves from a connection that is lost to the next."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._lock = asyncio.Lock()
        self._subscription = AsyncExitStack()
        self._subscriber: Subscriber | None = None
        self._subscribed = asyncio.Event()
        self._left = False

    async def move_to(self, connection: _Connection) -> None:
        """Subscribe there; when it is lost meanwhile, the place waits for the next."""
        async with self._lock:
            if self._left:
                return
            try:
                self._subscriber = await connection.subscribe(self._subscription, self._channel)
            except Exception as error:  # noqa: BLE001 (whoever watches the connection tells of it)
                connection.backend.give_up(error)
            else:
                self._subscribed.set()

    async def detach(self) -> None:
        """End the subscription. What has arrived is read all the same."""
        async with self._lock:
            self._subscribed.clear()
            await self._subscription.aclose()

    async def leave(self) -> None:
        """Detach for good."""
        self._left = True
        await self.detach()

    async def messages(self) -> AsyncIterator[str]:
        while True:
            await self._subscribed.wait()
            assert self._subscriber is not None  # noqa: S101 (what the event says)
            try:
                event = await self._subscriber.get()
            except Unsubscribed:
                continue
            yield event.message


class Broadcasting:
    """Publishes and listens for as long as it is entered, whatever becomes of the broker.

    While the broker is out of reach, publishing fails, listening waits, and what others publish is lost.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._connection: _Connection | None = None
        self._tried = asyncio.Event()
        self._places: dict[str, _Place] = {}
        # The library loses messages when two subscribe to one channel at once, or one leaves while
        # another comes: one at a time, for each channel. An entry goes with its last user.
        self._channels: dict[str, tuple[asyncio.Lock, int]] = {}
        self._rebuilt = asyncio.Condition()
        self._stack = AsyncExitStack()
        self.connected = False
        """Whether the broker is in reach, and every listener subscribed."""
        self.rebuilds = 0
        """How often it came into reach after it had been out of it."""

    async def __aenter__(self) -> Self:
        """Try to connect; enter, connected or not."""
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            keeper = tasks.create_task(self._keep_connected(), name="broadcaster")
            stack.callback(keeper.cancel)
            await self._tried.wait()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def channels(self) -> int:
        """How many channels somebody listens to, or waits to."""
        return len(self._channels)

    async def publish(self, channel: str, message: str) -> None:
        """Publish.

        Raises:
            ConnectionError: the broker is out of reach.
            Exception: the backend's error; the broker is out of reach from now on.
        """
        if self._connection is None:
            raise ConnectionError("the broker is out of reach")
        await self._connection.broadcast.publish(channel, message)

    @asynccontextmanager
    async def listen(self, channel: str) -> AsyncIterator[AsyncIterator[str]]:
        """Messages from now on, or from when the broker comes into reach; for one listener of a channel at a time."""
        async with self._alone(channel):
            place = self._places[channel] = _Place(channel)
            try:
                # Without a connection, the next one takes all places along that it finds.
                if self._connection:
                    await place.move_to(self._connection)
                yield place.messages()
            finally:
                del self._places[channel]
                await place.leave()

    def suspect(self) -> None:
        """Connect anew: the broker does not carry what it should."""
        if self._connection:
            self._connection.backend.give_up(ConnectionError("messages do not arrive"))

    async def until_rebuilt(self, rebuilds: int) -> None:
        """Wait until there have been more rebuilds than these: all listeners are subscribed again."""
        async with self._rebuilt:
            await self._rebuilt.wait_for(lambda: self.rebuilds > rebuilds)

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        retry = _FIRST_RETRY
        while True:
            began = loop.time()
            try:
                reason = await self._live()
            except Exception as error:  # noqa: BLE001 (whatever keeps it from connecting, it is tried again)
                reason = error
            if self.connected or not self._tried.is_set():
                logger.warning("The broadcaster is lost and will be rebuilt: %s: %s", type(reason).__name__, reason)
            self.connected = False
            self._tried.set()
            if loop.time() - began > _LONGEST_RETRY:
                retry = _FIRST_RETRY
            await asyncio.sleep(retry * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
            retry = min(2 * retry, _LONGEST_RETRY)

    async def _live(self) -> Exception:
        """One connection from its beginning to its end, whose reason is returned."""
        connection = _Connection(self._broker)
        async with connection.opened():
            # Those who come later see the connection, and subscribe themselves.
            places = list(self._places.values())
            self._connection = connection
            try:
                for place in places:
                    await place.move_to(connection)
                if not connection.backend.is_lost:
                    await self._begin()
                return await connection.backend.lost()
            finally:
                self._connection = None
                connection.backend.give_up(ConnectionAbortedError("closed"))
                for place in list(self._places.values()):
                    await place.detach()

    async def _begin(self) -> None:
        self.connected = True
        if not self._tried.is_set():
            self._tried.set()
            return
        async with self._rebuilt:
            self.rebuilds += 1
            self._rebuilt.notify_all()
        logger.info("The broadcaster is in reach again.")

    @asynccontextmanager
    async def _alone(self, channel: str) -> AsyncIterator[None]:
        lock, users = self._channels.get(channel, (asyncio.Lock(), 0))
        self._channels[channel] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._channels.pop(channel)
            if users > 1:
                self._channels[channel] = (lock, users - 1)
