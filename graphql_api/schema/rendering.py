"""One execution of a subscription, shared by all who ask for the same: what there is to be told in, results out."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from graphql_api.access.principal import Visibility
from graphql_api.devices.service import DeviceService
from graphql_api.devices.watches import Watch
from graphql_api.schema.context import SubscriptionContext
from graphql_api.schema.documents import Operation
from graphql_api.schema.guard import Guard
from graphql_api.schema.result import Result, result_of

__all__ = ["Rendering"]

_NOTHING = object()


class Rendering:
    """Renders one item after the other; for one caller at a time.

    Strawberry pulls: it asks its source for the next item when the next result is asked for, and not before. So each
    result is known to belong to the item that was given for it. Whatever goes wrong in :meth:`open` or
    :meth:`render`, their cancellation too, leaves nothing to go on with but :meth:`close`.
    """

    def __init__(
        self,
        start: Callable[[SubscriptionContext], Awaitable[AsyncGenerator[Any, None]]],
        *,
        service: DeviceService,
        visibility: Visibility | None,
        operation: Operation,
        guard: Guard,
    ) -> None:
        self._start = start
        self._context = SubscriptionContext(service, visibility, operation, guard, self._items)
        self._watch: Watch[Any] | None = None
        self._item: Any = _NOTHING
        self._given = asyncio.Event()
        self._asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream: AsyncGenerator[Any, None] | None = None
        self._first: asyncio.Task[Any] | None = None

    @property
    def watch(self) -> Watch[Any]:
        """What the resolver has chosen to watch; known once it is open."""
        if self._watch is None:
            raise RuntimeError("the rendering is not open")
        return self._watch

    async def open(self) -> None:
        """Begin: until the resolver has chosen, and waits for the first item.

        Raises:
            OperationRefused: the variables don't fit, or the resolver refuses.
        """
        self._stream = await self._start(self._context)
        # Strawberry calls the resolver when the first result is asked for, which is not there yet.
        self._first = asyncio.create_task(anext(self._stream), name="rendering")
        await asyncio.wait([self._first, self._asked], return_when=asyncio.FIRST_COMPLETED)
        if self._first.done():
            result_of(self._first.result())
            raise RuntimeError("the subscription has a result before there is anything to be told")

    async def render(self, item: Any) -> Result:
        """The result that an item comes to.

        Raises:
            OperationRefused: it is none.
            StopAsyncIteration: the subscription has ended, which none does by itself.
        """
        self._item = item
        self._given.set()
        if self._first is not None:
            result = await self._first
            self._first = None
        else:
            result = await anext(self._stream)  # type: ignore[arg-type] # it is open
        return result_of(result)

    async def close(self) -> None:
        """End the execution. May be called more than once, and whatever has become of it."""
        if self._first is not None:
            self._first.cancel()
            await asyncio.wait([self._first])
            self._first = None
        if self._stream is not None:
            # What it was busy with is of no interest any more.
            with suppress(Exception):
                await self._stream.aclose()

    async def _items(self, watch: Watch[Any]) -> AsyncGenerator[Any, None]:
        self._watch = watch
        while True:
            while self._item is _NOTHING:
                if not self._asked.done():
                    self._asked.set_result(None)
                await self._given.wait()
            item, self._item = self._item, _NOTHING
            self._given.clear()
            yield item
