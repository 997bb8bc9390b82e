"""One execution of a subscription, shared by all who ask for the same: what there is to be told in, results out."""

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, Executor, GraphQLError, create_source_event_stream, execute_subscription_event

from graphql_api.access.principal import Visibility
from graphql_api.devices.service import DeviceService
from graphql_api.devices.watches import Watch
from graphql_api.schema.context import SubscriptionContext
from graphql_api.schema.guard import Guard
from graphql_api.schema.problems import OperationRefused, field_error
from graphql_api.schema.result import Result, result_of

__all__ = ["Rendering"]


class Rendering:
    """Renders one item after the other; for one caller at a time.

    The resolver's stream is asked for the next item when there is one, and not before. So each result is known to
    belong to the item that was given for it. Whatever goes wrong in :meth:`open` or :meth:`render`, their cancellation
    too, leaves nothing to go on with but :meth:`close`.
    """

    def __init__(
        self,
        begin: Callable[[SubscriptionContext], Executor[Any] | list[GraphQLError]],
        *,
        service: DeviceService,
        visibility: Visibility | None,
        guard: Guard,
    ) -> None:
        self._begin = begin
        self._context = SubscriptionContext(service, visibility, guard, self._items)
        self._watch: Watch[Any] | None = None
        self._item: Any = None
        self._executor: Executor[Any] | None = None
        self._source: Any = None

    @property
    def watch(self) -> Watch[Any]:
        """What the resolver has chosen to watch; known once it is open."""
        if self._watch is None:
            raise RuntimeError("the rendering is not open")
        return self._watch

    async def open(self) -> None:
        """Begin: the resolver chooses, and nothing is rendered yet.

        Raises:
            OperationRefused: the variables don't fit, or the resolver refuses.
        """
        executor = self._begin(self._context)
        if isinstance(executor, list):
            raise OperationRefused([field_error(error) for error in executor])
        begun = create_source_event_stream(executor)
        source = await begun if isawaitable(begun) else begun
        if isinstance(source, ExecutionResult):
            raise OperationRefused([field_error(error) for error in source.errors or ()])
        self._executor, self._source = executor, source

    async def render(self, item: Any) -> Result:
        """The result that an item comes to.

        Raises:
            OperationRefused: it is none.
            StopAsyncIteration: the subscription has ended, which none does by itself.
        """
        if self._executor is None or self._source is None:
            raise RuntimeError("the rendering is not open")
        self._item = item
        event = await anext(self._source)
        result = execute_subscription_event(self._executor.build_per_event_executor(event))
        return result_of(await result if isawaitable(result) else result)

    async def close(self) -> None:
        """End the execution. May be called more than once, and whatever has become of it."""
        if self._source is not None:
            # What it was busy with is of no interest any more.
            with suppress(Exception):
                await self._source.aclose()

    def _items(self, watch: Watch[Any]) -> AsyncGenerator[Any, None]:
        self._watch = watch
        return self._given()

    async def _given(self) -> AsyncGenerator[Any, None]:
        while True:
            item, self._item = self._item, None
            yield item
