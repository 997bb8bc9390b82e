"""Subscriptions: each chooses what to watch of the school, and says how what there is to be told looks.

A resolver chooses before it returns, so that errors come as errors of the field. What there is to be told comes
from whoever runs the execution (:class:`graphql_api.schema.rendering.Rendering`).
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import strawberry

from graphql_api.schema.context import SubscriptionContext
from graphql_api.schema.enums import Status
from graphql_api.schema.outputs import DeviceListUpdate, DeviceStatusEvent, StatusSummary
from graphql_api.schema.query import wanted_devices

__all__ = ["Subscription"]

Info = strawberry.Info[SubscriptionContext, None]

ItemT = TypeVar("ItemT")
OutputT = TypeVar("OutputT")


@strawberry.type
class Subscription:
    """What can be watched."""

    @strawberry.subscription(
        description="Events: every change, in order, each once. `statuses` lets an event through when the new or the "
        "previous status is listed."
    )
    async def device_status(
        self,
        info: Info,
        school_id: strawberry.ID | None = None,
        device_ids: list[strawberry.ID] | None = None,
        statuses: list[Status] | None = None,
        snapshot: bool = False,  # noqa: FBT001, FBT002 - an argument of the contract
    ) -> AsyncGenerator[DeviceStatusEvent, None]:
        """The school's events."""
        context = info.context
        watch = context.service.watch_events(
            context.visibility, school_id, wanted_devices(context.guard, device_ids, statuses), snapshot=snapshot
        )
        return _outputs(context.items(watch), DeviceStatusEvent.of)

    @strawberry.subscription(
        description="State: the devices as they stand, kept up to date. What came between two updates is folded into "
        "one."
    )
    async def devices(
        self,
        info: Info,
        school_id: strawberry.ID | None = None,
        device_ids: list[strawberry.ID] | None = None,
        statuses: list[Status] | None = None,
    ) -> AsyncGenerator[DeviceListUpdate, None]:
        """The school's list of devices."""
        context = info.context
        watch = context.service.watch_devices(
            context.visibility, school_id, wanted_devices(context.guard, device_ids, statuses)
        )
        return _outputs(context.items(watch), DeviceListUpdate.of)

    @strawberry.subscription(description="State: the counts, now and after every round that changes them.")
    async def status_summary(
        self, info: Info, school_id: strawberry.ID | None = None
    ) -> AsyncGenerator[StatusSummary, None]:
        """The school's summary."""
        context = info.context
        watch = context.service.watch_summary(context.visibility, school_id)
        return _outputs(context.items(watch), partial(StatusSummary.of, watch.school))


async def _outputs(
    items: AsyncGenerator[ItemT, None], output: Callable[[ItemT], OutputT]
) -> AsyncGenerator[OutputT, None]:
    async with aclosing(items):
        async for item in items:
            yield output(item)
