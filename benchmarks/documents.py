"""What the load asks for: the same operations of every server."""

import json
from collections.abc import Sequence

from benchmarks.frames import client_frame
from benchmarks.subscriber import OPERATION_ID

__all__ = ["DEVICES", "EVENTS", "device_id", "publish_round", "publish_single", "subscribe_frame"]

EVENTS = """subscription Events($deviceIds: [ID!]) {
  deviceStatus(deviceIds: $deviceIds) { deviceId status previousStatus lastSeen timestamp }
}"""

DEVICES = "subscription Devices { devices { reset changed { id deviceId status changedAt } removed complete } }"

_SINGLE = """mutation Publish($input: DeviceStatusInput!) {
  publishDeviceStatus(input: $input) { changed }
}"""
_ROUND = """mutation Publish($inputs: [DeviceStatusInput!]!) {
  publishDeviceStatuses(inputs: $inputs) { changed }
}"""
_STATUSES = ("ONLINE", "OFFLINE")


def device_id(number: int) -> str:
    """Of one length for all, so that frames differ as little as the servers let them."""
    return f"device-{number:05}"


def publish_single(number: int, turn: int) -> bytes:
    """The body that reports one device; its status is another one each turn."""
    return _body(_SINGLE, {"input": {"deviceId": device_id(number), "status": _STATUSES[turn % 2]}})


def publish_round(size: int, turn: int) -> bytes:
    """The body that reports the first ``size`` devices, all with a status that is another one each turn."""
    status = _STATUSES[turn % 2]
    return _body(_ROUND, {"inputs": [{"deviceId": device_id(number), "status": status} for number in range(size)]})


def subscribe_frame(document: str, device_ids: Sequence[str] | None = None) -> bytes:
    """The frame of a ``subscribe`` message."""
    payload = {"query": document, "variables": {"deviceIds": device_ids} if device_ids else {}}
    message = {"type": "subscribe", "id": OPERATION_ID, "payload": payload}
    return client_frame(json.dumps(message).encode())


def _body(query: str, variables: object) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()
