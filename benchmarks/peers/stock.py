"""A GraphQL subscriptions server as the documentation of Strawberry and of broadcaster has it: no store, no tokens."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum

import strawberry
import uvicorn
from broadcaster import Broadcast
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

broadcast = Broadcast("memory://")
known: dict[str, "Status"] = {}


@strawberry.enum
class Status(Enum):
    """How a device is doing."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"


@strawberry.input
class DeviceStatusInput:
    """One report."""

    device_id: strawberry.ID
    status: Status


@strawberry.type
class DeviceStatusEvent:
    """One change of a device's status."""

    device_id: strawberry.ID
    status: Status
    previous_status: Status | None
    last_seen: datetime
    timestamp: datetime


@strawberry.type
class PublishResult:
    """What a publish came to."""

    changed: int


async def _publish(inputs: list[DeviceStatusInput]) -> PublishResult:
    changed = 0
    for report in inputs:
        previous = known.get(report.device_id)
        if previous is report.status:
            continue
        known[report.device_id] = report.status
        changed += 1
        event = [report.device_id, report.status.value, previous and previous.value, datetime.now(UTC).isoformat()]
        await broadcast.publish("devices", json.dumps(event))
    return PublishResult(changed=changed)


def _event(message: str) -> DeviceStatusEvent:
    device_id, status, previous, moment = json.loads(message)
    timestamp = datetime.fromisoformat(moment)
    return DeviceStatusEvent(
        device_id=device_id,
        status=Status(status),
        previous_status=previous and Status(previous),
        last_seen=timestamp,
        timestamp=timestamp,
    )


@strawberry.type
class Query:
    """GraphQL wants one."""

    ok: bool = True


@strawberry.type
class Mutation:
    """What a health checker calls."""

    @strawberry.mutation
    async def publish_device_status(self, input: DeviceStatusInput) -> PublishResult:  # noqa: A002 - the contract's
        """One report."""
        return await _publish([input])

    @strawberry.mutation
    async def publish_device_statuses(self, inputs: list[DeviceStatusInput]) -> PublishResult:
        """One round."""
        return await _publish(inputs)


@strawberry.type
class Subscription:
    """What a screen listens to."""

    @strawberry.subscription
    async def device_status(
        self, device_ids: list[strawberry.ID] | None = None
    ) -> AsyncGenerator[DeviceStatusEvent, None]:
        """Every change."""
        async with broadcast.subscribe(channel="devices") as subscriber:
            # Its hints say that both may be None.
            async for event in subscriber:  # type: ignore[union-attr]
                change = _event(event.message)  # type: ignore[union-attr]
                if device_ids is None or change.device_id in device_ids:
                    yield change


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with broadcast:
        yield


def main() -> None:
    """Serve on a port of the system's choice."""
    schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)
    app = FastAPI(lifespan=_lifespan)
    app.include_router(GraphQLRouter(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL]), prefix="/graphql")
    uvicorn.run(app, host="127.0.0.1", port=0)


if __name__ == "__main__":
    main()
