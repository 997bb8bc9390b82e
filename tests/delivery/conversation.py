"""What a client says, for the tests of the protocol and of the connection."""

import json
from typing import Any

from graphql_api.delivery.connection import ServerConnection
from graphql_api.delivery.protocol import Subscribe

INIT = '{"type":"connection_init"}'
QUERY = "subscription { deviceStatus { deviceId } }"


def subscribe(operation_id: Any = "1", **payload: Any) -> str:
    return json.dumps({"id": operation_id, "type": "subscribe", "payload": {"query": QUERY, **payload}})


def complete(operation_id: str = "1") -> str:
    return json.dumps({"id": operation_id, "type": "complete"})


def ready() -> ServerConnection:
    connection = ServerConnection()
    connection.receive(INIT)
    connection.acknowledge()
    return connection


def begun(connection: ServerConnection, operation_id: str = "1") -> Subscribe:
    operation = connection.receive(subscribe(operation_id))
    assert isinstance(operation, Subscribe)
    return operation
