"""What a subscription pulls: a school's events, its list of devices, or its summary."""

from graphql_api.devices.streams.events import Event, EventKind, EventStream
from graphql_api.devices.streams.listing import DeviceListStream, DeviceListUpdate
from graphql_api.devices.streams.stream import Stream
from graphql_api.devices.streams.summaries import SummaryStream

__all__ = [
    "DeviceListStream",
    "DeviceListUpdate",
    "Event",
    "EventKind",
    "EventStream",
    "Stream",
    "SummaryStream",
]
