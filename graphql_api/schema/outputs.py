"""What queries, mutations and subscriptions answer with, made from the domain's nouns."""

import base64
from typing import Self

import strawberry

from graphql_api.access.principal import Principal
from graphql_api.devices import model, watches
from graphql_api.moment import Moment
from graphql_api.schema.context import RequestContext
from graphql_api.schema.enums import EventKind, Status
from graphql_api.schema.scalars import Cursor

__all__ = [
    "Device",
    "DeviceListUpdate",
    "DeviceStatusEvent",
    "PublishResult",
    "RejectedReport",
    "School",
    "StatusCount",
    "StatusSummary",
    "Viewer",
]


def _device_key(school: str, device_id: str) -> strawberry.ID:
    # No id holds a line feed, so the key is unique across schools.
    return strawberry.ID(base64.urlsafe_b64encode(f"{school}\n{device_id}".encode()).rstrip(b"=").decode())


@strawberry.type(description="A device and the last status known of it.")
class Device:
    """Made from :class:`graphql_api.devices.model.Device`."""

    id: strawberry.ID = strawberry.field(description="Opaque, unique across schools; what client caches key on.")
    device_id: strawberry.ID = strawberry.field(description="As the health checker names it; unique within the school.")
    school_id: strawberry.ID
    status: Status
    last_seen: Moment = strawberry.field(description="When the device was last reachable.")
    changed_at: Moment = strawberry.field(description="When the status last changed.")
    reported_at: Moment = strawberry.field(
        description="When the health checker last reported the device, whatever its status."
    )

    @classmethod
    def of(cls, device: model.Device) -> Self:
        """The output of a device."""
        return cls(
            id=_device_key(device.school, device.device_id),
            device_id=strawberry.ID(device.device_id),
            school_id=strawberry.ID(device.school),
            status=device.status,
            last_seen=device.last_seen,
            changed_at=device.changed_at,
            reported_at=device.reported_at,
        )


@strawberry.type(description="One change of a device's status.")
class DeviceStatusEvent:
    """Made from :class:`graphql_api.devices.watches.Event`; holds the event's own data and reads no store."""

    kind: EventKind
    device_id: strawberry.ID
    school_id: strawberry.ID
    status: Status
    previous_status: Status | None = strawberry.field(description="Null on a device's first report, and in a snapshot.")
    last_seen: Moment
    timestamp: Moment = strawberry.field(
        description="When the service recorded this status (never goes back within a school)."
    )
    cursor: Cursor | None = strawberry.field(
        description="Resume from here. Null on all but the last event of a snapshot: "
        "resuming inside one would lose its rest."
    )
    source: strawberry.Private[model.Device]

    @strawberry.field(description="The device as of this event, as the cacheable entity.")
    def device(self) -> Device:
        """Made only when it is selected."""
        return Device.of(self.source)

    @classmethod
    def of(cls, event: watches.Event) -> Self:
        """The output of an event."""
        device = event.device
        return cls(
            kind=event.kind,
            device_id=strawberry.ID(device.device_id),
            school_id=strawberry.ID(device.school),
            status=device.status,
            previous_status=event.previous,
            last_seen=device.last_seen,
            timestamp=device.changed_at,
            cursor=Cursor(event.cursor) if event.cursor else None,
            source=device,
        )


@strawberry.type(description="What differs in a list of devices since the update before.")
class DeviceListUpdate:
    """Made from :class:`graphql_api.devices.watches.DeviceListUpdate`."""

    reset: bool = strawberry.field(
        description="Forget what you had: a list begins. True on the first update, "
        "and again whenever a difference can't be told."
    )
    changed: list[Device] = strawberry.field(description="Devices as they now stand; at most 500 an update.")
    removed: list[strawberry.ID] = strawberry.field(description="Ids of devices that no longer match the arguments.")
    complete: bool = strawberry.field(description="False while more of a long list follows.")

    @classmethod
    def of(cls, update: watches.DeviceListUpdate) -> Self:
        """The output of an update."""
        return cls(
            reset=update.reset,
            changed=[Device.of(device) for device in update.changed],
            removed=[_device_key(update.school, device_id) for device_id in update.removed],
            complete=update.complete,
        )


@strawberry.type
class StatusCount:
    """How many devices of a school have one status."""

    status: Status
    count: int


@strawberry.type
class StatusSummary:
    """Made from :class:`graphql_api.devices.model.Summary`."""

    id: strawberry.ID
    school_id: strawberry.ID
    total: int = strawberry.field(description="All devices but the retired.")
    counts: list[StatusCount] = strawberry.field(description="One entry per status but RETIRED, zeros included.")
    last_report_at: Moment | None = strawberry.field(
        description="When the health checker last reported anything for this school: is it alive?"
    )

    @classmethod
    def of(cls, school: str, summary: model.Summary) -> Self:
        """The output of a school's summary."""
        counts = [
            StatusCount(status=status, count=summary.counts.get(status, 0))
            for status in model.Status
            if status is not model.Status.RETIRED
        ]
        return cls(
            id=strawberry.ID(school),
            school_id=strawberry.ID(school),
            total=sum(each.count for each in counts),
            counts=counts,
            last_report_at=summary.head.last_report_at,
        )


@strawberry.type
class School:
    """A school that the caller may see."""

    id: strawberry.ID

    @strawberry.field
    async def summary(self, info: strawberry.Info[RequestContext, None]) -> StatusSummary:
        """Asked of the store for all schools of the request at once."""
        return StatusSummary.of(self.id, await info.context.summary(self.id))


@strawberry.type(description="Who the bearer of the token is, and until when.")
class Viewer:
    """Made from :class:`graphql_api.access.principal.Principal`."""

    id: strawberry.ID
    subject: strawberry.ID
    school_ids: list[strawberry.ID]
    all_schools: bool = strawberry.field(description="The token is good for every school; `schoolIds` is then empty.")
    scopes: list[str]
    expires_at: Moment

    @classmethod
    def of(cls, principal: Principal) -> Self:
        """The output of a principal."""
        visibility = principal.visibility
        return cls(
            id=strawberry.ID(principal.subject),
            subject=strawberry.ID(principal.subject),
            school_ids=[strawberry.ID(school) for school in sorted(visibility.schools)],
            all_schools=visibility.all_schools,
            scopes=sorted(visibility.scopes),
            expires_at=principal.expires_at,
        )


@strawberry.type
class RejectedReport:
    """A report that was not recorded."""

    index: int
    device_id: strawberry.ID
    message: str


@strawberry.type
class PublishResult:
    """Made from :class:`graphql_api.devices.model.Recorded`."""

    changed: int = strawberry.field(
        description="Statuses that differed from the last one known, first reports included: recorded and broadcast."
    )
    created: int = strawberry.field(description="Of these, first reports of a device.")
    unchanged: int = strawberry.field(description="Same status as before: times moved on, nothing broadcast.")
    stale: int = strawberry.field(description="Observed before what is already known.")
    ignored: int = strawberry.field(description="Reports on retired devices.")
    rejected: list[RejectedReport]
    cursor: Cursor = strawberry.field(description="The school's stream after this call.")

    @classmethod
    def of(cls, recorded: model.Recorded, cursor: str) -> Self:
        """The output of a recorded round."""
        return cls(
            changed=recorded.changed,
            created=recorded.created,
            unchanged=recorded.unchanged,
            stale=recorded.stale,
            ignored=recorded.ignored,
            rejected=[
                RejectedReport(index=each.index, device_id=strawberry.ID(each.device_id), message=each.message)
                for each in recorded.rejected
            ],
            cursor=Cursor(cursor),
        )
