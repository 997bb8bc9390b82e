"""Clients for the tests: as raw as the wire, so that every frame is seen."""

import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PUBLISH = """
mutation Publish($inputs: [DeviceStatusInput!]!, $schoolId: ID, $onInvalid: OnInvalid! = REJECT) {
  publishDeviceStatuses(inputs: $inputs, schoolId: $schoolId, onInvalid: $onInvalid) {
    changed created unchanged stale ignored rejected { index deviceId message } cursor
  }
}
"""
EVENTS = """
subscription Events($schoolId: ID, $deviceIds: [ID!], $statuses: [Status!], $snapshot: Boolean! = false) {
  deviceStatus(schoolId: $schoolId, deviceIds: $deviceIds, statuses: $statuses, snapshot: $snapshot) {
    kind deviceId schoolId status previousStatus timestamp cursor
  }
}
"""
DEVICES = """
subscription Devices($schoolId: ID, $deviceIds: [ID!], $statuses: [Status!]) {
  devices(schoolId: $schoolId, deviceIds: $deviceIds, statuses: $statuses) {
    reset changed { id deviceId status } removed complete
  }
}
"""
SUMMARY = """
subscription Summary($schoolId: ID) {
  statusSummary(schoolId: $schoolId) { schoolId total counts { status count } lastReportAt }
}
"""


class GraphQLError(Exception):
    """The response had errors and no data."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(json.dumps(errors))
        self.errors = errors

    @property
    def code(self) -> str:
        return self.errors[0]["extensions"]["code"]


def http_client() -> httpx.AsyncClient:
    """A client without TLS: loading the certificates would take longer than the test."""
    return httpx.AsyncClient(timeout=None, verify=False)


async def post(server, query: str, token: str | None = None, **variables: Any) -> dict[str, Any]:
    """The data of a query or mutation over HTTP."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with http_client() as client:
        response = await client.post(server.http, json={"query": query, "variables": variables}, headers=headers)
    body = response.json()
    if body.get("errors"):
        raise GraphQLError(body["errors"])
    return body["data"]


async def publish(server, token: str, school: str | None = None, /, **statuses: str) -> dict[str, Any]:
    """Publish one round: device id to status."""
    inputs = [{"deviceId": device_id, "status": status} for device_id, status in statuses.items()]
    data = await post(server, PUBLISH, token, inputs=inputs, schoolId=school)
    return data["publishDeviceStatuses"]


class Socket:
    """One graphql-transport-ws connection. Every message is seen, in order."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = (str(number) for number in itertools.count(1))

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, server, token: str | None = None, *, resume_from: Any = None, **options: Any
    ) -> AsyncIterator[Self]:
        """Connect, and with a token initialise."""
        options.setdefault("subprotocols", ["graphql-transport-ws"])
        # A failed test leaves messages unread, behind which no close frame would be seen.
        options.setdefault("close_timeout", 0.5)
        async with connect(options.pop("url", server.ws), **options) as connection:
            socket = cls(connection)
            if token is not None:
                payload = {"authorization": f"Bearer {token}"}
                if resume_from is not None:
                    payload["resumeFrom"] = resume_from
                await socket.send(type="connection_init", payload=payload)
                socket.ack = await socket.receive("connection_ack")
            yield socket

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self, expected: str | None = None) -> dict[str, Any]:
        """The very next message but for pings, which must be of the expected type."""
        message = json.loads(await self.connection.recv())
        while message["type"] == "ping" != expected:
            message = json.loads(await self.connection.recv())
        assert expected is None or message["type"] == expected, message
        return message

    async def subscribe(self, query: str, *, live: bool = True, resume_from: Any = None, **variables: Any) -> str:
        """Subscribe; with ``live``, wait for the checkpoint that says that it is."""
        operation_id = next(self._ids)
        payload = {"query": query, "variables": variables}
        if resume_from is not None:
            payload["extensions"] = {"resumeFrom": resume_from}
        await self.send(id=operation_id, type="subscribe", payload=payload)
        if live:
            ping = await self.receive("ping")
            assert list(ping["payload"]["cursors"]) == [operation_id]
        return operation_id

    async def next(self, operation_id: str) -> dict[str, Any]:
        """The payload of the very next message, which must be a result of this operation."""
        message = await self.receive("next")
        assert message["id"] == operation_id, message
        assert "errors" not in message["payload"], message
        return message["payload"]

    async def item(self, operation_id: str) -> dict[str, Any]:
        """The root field of the very next result."""
        (value,) = (await self.next(operation_id))["data"].values()
        return value

    async def barrier(self) -> None:
        """That nothing is on its way: the very next message is the answer to our ping."""
        mark = {"barrier": next(self._ids)}
        await self.send(type="ping", payload=mark)
        assert await self.receive("pong") == {"type": "pong", "payload": mark}

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close frame that must come next."""
        with pytest.raises(ConnectionClosed) as closed:
            await self.connection.recv()
        frame = closed.value.rcvd
        assert frame is not None, "closed without a close frame"
        return frame.code, frame.reason


class Stream:
    """One streamed answer over HTTP, read block by block."""

    def __init__(self, response: httpx.Response, separator: str) -> None:
        self.response = response
        self._separator = separator
        self._chunks = response.aiter_text()
        self._read = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, server, query: str, token: str | None, accept: str, separator: str, last_event_id=None, **variables: Any
    ) -> AsyncIterator[Self]:
        headers = {"accept": accept}
        if token:
            headers["authorization"] = f"Bearer {token}"
        if last_event_id:
            headers["last-event-id"] = last_event_id
        body = {"query": query, "variables": variables}
        async with (
            http_client() as client,
            client.stream("POST", server.http, json=body, headers=headers) as response,
        ):
            yield cls(response, separator)

    async def block(self) -> str | None:
        """The text up to the next separator, or None at the end of the body."""
        while self._separator not in self._read:
            try:
                self._read += await anext(self._chunks)
            except StopAsyncIteration:
                return None
        block, _, self._read = self._read.partition(self._separator)
        return block

    @property
    def rest(self) -> str:
        return self._read
