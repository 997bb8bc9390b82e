"""What can be watched: a school's events, its list of devices, its summary.

A watch knows what its subscribers are to be told, and holds no subscriber: those who watch the same share one.
"""

from graphql_api.devices.watches.events import Event, EventKind, EventWatch
from graphql_api.devices.watches.listing import DeviceListUpdate, DeviceListWatch
from graphql_api.devices.watches.summaries import SummaryWatch
from graphql_api.devices.watches.watch import Fresh, Item, Standing, Step, Watch

__all__ = [
    "DeviceListUpdate",
    "DeviceListWatch",
    "Event",
    "EventKind",
    "EventWatch",
    "Fresh",
    "Item",
    "Standing",
    "Step",
    "SummaryWatch",
    "Watch",
]
