"""From an operation that is asked for to the group of those who ask for the same."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from typing import Any, Self

import orjson

from graphql_api.access.principal import Visibility
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.group import Renderer
from graphql_api.devices.watches import Item, Watch
from graphql_api.errors import ServiceError
from graphql_api.schema import FormattedError, Operation, OperationRefused, Rendering, internal_error, request_error

__all__ = ["Operations", "errors_of", "renderer_of", "sharing_key"]


def sharing_key(operation: Operation, variables: Mapping[str, Any], visibility: Visibility | None) -> Hashable:
    """Equal for those, and only those, who ask for the same and may see the same.

    Variables count as JSON, since in Python ``1 == True``; those that the operation does not declare don't count.
    """
    return (
        "graphql",
        visibility,
        operation.query,
        operation.name,
        orjson.dumps(_declared(operation, variables), option=orjson.OPT_SORT_KEYS),
    )


def renderer_of(
    delivery: Delivery, operation: Operation, variables: Mapping[str, Any], visibility: Visibility | None
) -> Callable[[], Awaitable[Renderer]]:
    """Opens the execution of a subscription, which depends on nothing but what is in the :func:`sharing_key`.

    Raises:
        LimitExceeded: the variables are too large. Those count too that the operation does not declare, so each
            caller's own are looked at, and nobody else's.
    """
    delivery.executor.guard.check_variables(variables)
    declared = _declared(operation, variables)

    async def open_rendering() -> Rendering:
        rendering = delivery.executor.rendering(operation, declared, service=delivery.service, visibility=visibility)
        try:
            await rendering.open()
        except BaseException:
            await rendering.close()
            raise
        return rendering

    async def open_renderer() -> Renderer:
        return _GraphQLRenderer(open_rendering, await open_rendering())

    return open_renderer


def _declared(operation: Operation, variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if name in operation.declared}


def errors_of(error: Exception) -> list[FormattedError]:
    """What a client is told of an operation that can't be begun, or has failed."""
    if isinstance(error, OperationRefused):
        return list(error.errors)
    if isinstance(error, ServiceError):
        return [{**request_error(error.code, str(error)), "extensions": error.extensions}]
    return [internal_error(error)]


class Operations:
    """Queries and mutations under way on WebSockets: an async context manager that owns their tasks."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    def start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Have it done. What it raises is logged by the loop, and ends nothing else."""
        task = asyncio.create_task(work, name="operation")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task


class _GraphQLRenderer:
    def __init__(self, open_rendering: Callable[[], Awaitable[Rendering]], rendering: Rendering) -> None:
        self._open_rendering = open_rendering
        self._rendering = rendering
        self._is_broken = False
        self.watch: Watch[Any] = rendering.watch

    async def render(self, item: Item[Any]) -> tuple[bytes, bool]:
        if self._is_broken:
            await self._rendering.close()
            # What it watches is of no interest: all that is told comes from the first one's watch.
            self._rendering = await self._open_rendering()
            self._is_broken = False
        try:
            result = await self._rendering.render(item.value)
        except BaseException:
            # There is nothing to go on with, and a group would be silent for ever.
            self._is_broken = True
            raise
        # A result with errors may come out right the next time.
        return result.encode(item.cursor), not result.errors

    async def close(self) -> None:
        await self._rendering.close()
