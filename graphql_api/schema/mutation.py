"""Mutations: the health checker's reports, and what administrators do."""

import strawberry

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH
from graphql_api.devices.model import Report
from graphql_api.errors import LimitExceeded
from graphql_api.moment import Moment
from graphql_api.refusals import Limit
from graphql_api.schema.context import RequestContext
from graphql_api.schema.enums import OnInvalid, Status
from graphql_api.schema.outputs import Device, PublishResult, Viewer

__all__ = ["DeviceStatusInput", "Mutation"]

Info = strawberry.Info[RequestContext, None]


@strawberry.input
class DeviceStatusInput:
    """What a health checker saw of one device."""

    device_id: strawberry.ID
    status: Status
    observed_at: Moment | None = strawberry.field(
        default=None,
        description="When the health checker made this observation. Reports are ordered by it: an older one than known "
        "is `stale`, the same one again is `unchanged`, so a repeated call does no harm where it is given. "
        "Default: now.",
    )
    last_seen: Moment | None = strawberry.field(
        default=None,
        description="When the device was last reachable. Default: observedAt, but for OFFLINE and UNKNOWN what was "
        "known before.",
    )

    def report(self) -> Report:
        """The domain's noun."""
        return Report(self.device_id, self.status, self.observed_at, self.last_seen)


@strawberry.type
class Mutation:
    """What can be done."""

    @strawberry.mutation(description="One report of the health checker.")
    async def publish_device_status(
        self,
        info: Info,
        input: DeviceStatusInput,  # noqa: A002 - the name in the contract
        school_id: strawberry.ID | None = None,
    ) -> PublishResult:
        """A round of one."""
        return await _publish(info.context, school_id, [input], OnInvalid.REJECT)

    @strawberry.mutation(description="One round of the health checker, recorded in one transaction.")
    async def publish_device_statuses(
        self,
        info: Info,
        inputs: list[DeviceStatusInput],
        school_id: strawberry.ID | None = None,
        on_invalid: OnInvalid = OnInvalid.REJECT,
    ) -> PublishResult:
        """All or nothing, but for invalid reports that may be skipped."""
        return await _publish(info.context, school_id, inputs, on_invalid)

    @strawberry.mutation(description="Needs devices:admin. Retired devices ignore reports until restored.")
    async def retire_devices(
        self, info: Info, device_ids: list[strawberry.ID], school_id: strawberry.ID | None = None
    ) -> list[Device]:
        """The devices as they now stand."""
        context = info.context
        context.admit_write(DEVICES_ADMIN)
        devices = await context.service.retire(context.visibility, school_id, device_ids)
        return [Device.of(device) for device in devices]

    @strawberry.mutation(description="Needs devices:admin. Restored devices are UNKNOWN until their next report.")
    async def restore_devices(
        self, info: Info, device_ids: list[strawberry.ID], school_id: strawberry.ID | None = None
    ) -> list[Device]:
        """The devices as they now stand."""
        context = info.context
        context.admit_write(DEVICES_ADMIN)
        devices = await context.service.restore(context.visibility, school_id, device_ids)
        return [Device.of(device) for device in devices]

    @strawberry.mutation(
        description="On a WebSocket: go on with a fresh token of the same subject. Running subscriptions go on, but "
        "those of a school that it does not allow end with FORBIDDEN. A token that is refused changes nothing."
    )
    async def renew_authorization(self, info: Info, token: str) -> Viewer:
        """The bearer of the new token."""
        return Viewer.of(await info.context.renew_authorization(token))

    @strawberry.mutation(
        description="Needs devices:admin. From now on the subject's tokens are refused that were issued before the "
        "moment (default: now) or don't say when, and the connections that they opened end within two seconds. Who may "
        "act for some schools only reaches tokens that name one of these. Returns how many connections ended at once: "
        "those of the process that answers; 0 too for a subject that is unknown, or out of reach."
    )
    async def revoke_tokens(self, info: Info, subject: strawberry.ID, issued_before: Moment | None = None) -> int:
        """How many connections ended at once."""
        context = info.context
        context.admit_write(DEVICES_ADMIN)
        try:
            return await context.service.revoke_tokens(context.visibility, subject, issued_before)
        except LimitExceeded:
            context.guard.refusals.count(Limit.REVOCATIONS)
            raise


async def _publish(
    context: RequestContext, school_id: str | None, inputs: list[DeviceStatusInput], on_invalid: OnInvalid
) -> PublishResult:
    context.admit_write(DEVICES_PUBLISH)
    school, recorded = await context.service.publish(
        context.visibility,
        school_id,
        [each.report() for each in inputs],
        skip_invalid=on_invalid is OnInvalid.SKIP,
    )
    return PublishResult.of(recorded, context.service.cursor(school, recorded.head))
