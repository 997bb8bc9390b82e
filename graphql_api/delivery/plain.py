"""The plain JSON dialect at ``/ws/device-status``, for clients without GraphQL."""

from collections.abc import Sequence
from urllib.parse import parse_qs

import orjson

from graphql_api.access.bearer import token_from_header
from graphql_api.access.claims import TokenProblem, TokenRefused
from graphql_api.delivery.census import Served
from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.outgoing import Send
from graphql_api.delivery.request import Malformed, read_json
from graphql_api.delivery.session import CloseSocket, Receive, Scope, Session, header
from graphql_api.devices.model import DeviceFilter
from graphql_api.devices.streams import Event, EventKind, EventStream
from graphql_api.errors import Forbidden, ServiceError
from graphql_api.moment import format_moment

__all__ = ["PlainSocket", "serve_plain_socket"]

_PONG = '{"type":"pong"}'
_PING = '{"type":"ping"}'

# A client's text that is longer than this is no ping, and is not looked into.
_LONGEST_PING = 1_024


async def serve_plain_socket(scope: Scope, receive: Receive, send: Send, delivery: Delivery) -> None:
    """Serve one WebSocket handshake at ``/ws/device-status``."""
    with delivery.census.counting(Served.PLAIN_SOCKET):
        await PlainSocket(scope, receive, send, delivery).run(None)


class PlainSocket(Session):
    """One client of the plain dialect: it is let in by the handshake alone."""

    _greeted = False

    async def converse(self) -> None:
        """Let the client in, send it every change, and answer its pings."""
        parameters = parse_qs(self.scope["query_string"].decode("latin-1"))
        stream = self._watch(parameters)
        self.start(self._deliver(stream, parameters.get("resume_from", ())))
        while True:
            await self.room()
            if _is_ping(await self.receive()):
                self.write(_PONG)

    def keep_alive_text(self) -> str | None:
        """A ping of ours, after the greeting; clients ignore or answer it as they like."""
        return _PING if self._greeted else None

    def last_words(self, closing: CloseSocket) -> str | None:
        """Browsers show scripts the close code, but people rather read a message."""
        return _encode({"type": "error", "message": closing.reason})

    def _watch(self, parameters: dict[str, list[str]]) -> EventStream:
        try:
            token = token_from_header(header(self.scope, b"authorization"))
        except TokenRefused as refusal:
            raise CloseSocket.refused(refusal) from refusal
        token = token or parameters.get("token", [None])[0]
        if token is None:
            raise CloseSocket.refused(TokenRefused(TokenProblem.MISSING, "send an Authorization header, or ?token="))
        principal = self.admit(token)
        try:
            return self.delivery.service.watch_events(
                principal.visibility, parameters.get("school_id", [None])[0], DeviceFilter(), snapshot=False
            )
        except Forbidden as error:
            raise CloseSocket.refused(TokenRefused(TokenProblem.INVALID, str(error))) from error
        except ServiceError as error:
            # The domain's sentences call the argument by its GraphQL name.
            raise CloseSocket(CloseCode.BAD_REQUEST, str(error).replace("schoolId", "school_id")) from error

    async def _deliver(self, stream: EventStream, resume_from: Sequence[str]) -> None:
        try:
            await stream.open(resume_from)
            self.write(
                _encode(
                    {
                        "type": "connected",
                        "message": "Connected to device status updates",
                        "school_id": stream.school,
                    }
                )
            )
            self._greeted = True
            async for event in stream.items():
                await self.room()
                self.write(_update(event))
        finally:
            await stream.close()


def _is_ping(message: str | bytes) -> bool:
    if isinstance(message, bytes) or len(message) > _LONGEST_PING:
        return False
    try:
        value = read_json(message)
    except Malformed:
        return False
    return isinstance(value, dict) and value.get("type") == "ping"


def _update(event: Event) -> str:
    device = event.device
    update: dict[str, object] = {
        "type": "device_status_update",
        "device_id": device.device_id,
        "status": device.status,
        "last_seen": format_moment(device.last_seen),
        "timestamp": format_moment(device.changed_at),
        "cursor": event.cursor,
    }
    if event.kind is EventKind.SNAPSHOT:
        update["snapshot"] = True
    return _encode(update)


def _encode(message: object) -> str:
    return orjson.dumps(message).decode()
