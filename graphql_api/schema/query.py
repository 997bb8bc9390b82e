"""Queries: answered from the store."""

import strawberry

from graphql_api.devices.model import DeviceFilter
from graphql_api.identifiers import identifier_problem
from graphql_api.moment import Moment
from graphql_api.schema.context import RequestContext
from graphql_api.schema.enums import Status
from graphql_api.schema.guard import Guard
from graphql_api.schema.outputs import Device, School, StatusSummary, Viewer
from graphql_api.schema.paging import (
    DeviceConnection,
    StatusChangeConnection,
    check_first,
    device_after,
    version_before,
)

__all__ = ["Query", "wanted_devices"]

Info = strawberry.Info[RequestContext, None]


def wanted_devices(guard: Guard, device_ids: list[strawberry.ID] | None, statuses: list[Status] | None) -> DeviceFilter:
    """The filter that the arguments name; an absent or null argument leaves nothing out.

    What can be no device's id is the id of no device, and is not asked of the store.

    Raises:
        LimitExceeded: there are too many ids.
    """
    guard.check_device_ids(device_ids)
    return DeviceFilter(
        None if device_ids is None else frozenset(each for each in device_ids if not identifier_problem("", each)),
        None if statuses is None else frozenset(statuses),
    )


@strawberry.type
class Query:
    """What can be looked up."""

    @strawberry.field
    async def viewer(self, info: Info) -> Viewer:
        """The bearer of the token."""
        return Viewer.of(info.context.principal)

    @strawberry.field(description="The schools of the token; for one good for every school, those that have reported.")
    async def schools(self, info: Info) -> list[School]:
        """Sorted by id."""
        context = info.context
        return [School(id=strawberry.ID(school)) for school in await context.service.schools(context.visibility)]

    @strawberry.field
    async def device(
        self, info: Info, device_id: strawberry.ID, school_id: strawberry.ID | None = None
    ) -> Device | None:
        """One device, retired or not."""
        context = info.context
        device = await context.service.device(context.visibility, school_id, device_id)
        return Device.of(device) if device else None

    @strawberry.field(description="Ordered by deviceId. RETIRED only when asked for by `statuses` or `deviceIds`.")
    async def devices(
        self,
        info: Info,
        school_id: strawberry.ID | None = None,
        device_ids: list[strawberry.ID] | None = None,
        statuses: list[Status] | None = None,
        first: int = 100,
        after: str | None = None,
    ) -> DeviceConnection:
        """A page, and the cursor of the moment it was read."""
        context = info.context
        school, page = await context.service.devices(
            context.visibility,
            school_id,
            wanted_devices(context.guard, device_ids, statuses),
            first=check_first(first),
            after=device_after(after),
        )
        return DeviceConnection.of(page, after=after, cursor=context.service.cursor(school, page.head))

    @strawberry.field(description="Newest first.")
    async def device_history(
        self,
        info: Info,
        device_id: strawberry.ID,
        school_id: strawberry.ID | None = None,
        since: Moment | None = None,
        first: int = 100,
        after: str | None = None,
    ) -> StatusChangeConnection:
        """A page of a device's changes; none of a device that isn't known."""
        context = info.context
        page = await context.service.history(
            context.visibility,
            school_id,
            device_id,
            since=since,
            first=check_first(first),
            before=version_before(after),
        )
        return StatusChangeConnection.of(page, after=after)

    @strawberry.field
    async def status_summary(self, info: Info, school_id: strawberry.ID | None = None) -> StatusSummary:
        """The counts now."""
        context = info.context
        school, summary = await context.service.summary(context.visibility, school_id)
        return StatusSummary.of(school, summary)
