"""graphql-core's execution, without what it leaves behind."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Self, TypeGuard

import graphql
from graphql import OperationType

__all__ = ["FrugalExecutor"]

_Predicate = Callable[[Any], TypeGuard[Awaitable[Any]]]


class FrugalExecutor(graphql.Executor[None]):
    """Forgets, after each result, what helped to come to it, and closes the coroutines that it never began."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._made: list[Coroutine[Any, Any, Any]] = []
        # No field of a subscription is a coroutine's, and its events are to cost as little as they can.
        if self.operation.operation is not OperationType.SUBSCRIPTION:
            self.is_awaitable = _noting(self.is_awaitable, self._made)

    def build_per_event_executor(self, payload: Any) -> Self:
        """The executor of one event.

        graphql-core 3.3.2 lets all events of a subscription share one memo of selected fields, and keys it by lists
        that each event makes anew: some 5 KB a result, kept for as long as the subscription lasts.
        """
        executor = super().build_per_event_executor(payload)
        executor._relevant_sub_fields = {}  # noqa: SLF001 - there is no other way to it
        return executor  # type: ignore[return-value] # a copy of this one

    def execute_operation(self, serially: bool | None = None) -> Any:  # noqa: FBT001 - graphql-core's signature
        """The result, or an awaitable of it.

        graphql-core 3.3.2 makes the coroutines of fields that are resolved side by side, and starts them a turn of the
        event loop later. When it is cancelled in between, because the client has gone, it drops them, and Python warns
        of each one, that it was never awaited.
        """
        result = super().execute_operation(serially)
        return self._closing(result) if inspect.isawaitable(result) else result

    async def _closing(self, result: Awaitable[Any]) -> Any:
        try:
            return await result
        finally:
            for coroutine in self._made:
                if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                    coroutine.close()


def _noting(is_awaitable: _Predicate, made: list[Coroutine[Any, Any, Any]]) -> _Predicate:
    """The predicate by which graphql-core looks at every value, keeping the coroutines among them."""

    def noted(value: Any) -> TypeGuard[Awaitable[Any]]:
        awaitable = is_awaitable(value)
        if awaitable and inspect.iscoroutine(value):
            made.append(value)
        return awaitable

    return noted
