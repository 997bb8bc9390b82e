"""The plain JSON dialect at ``/ws/device-status``, for clients without GraphQL."""

from functools import partial
from typing import Any
from urllib.parse import parse_qs

import orjson

from graphql_api.access.bearer import token_from_header
from graphql_api.access.claims import TokenProblem, TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.delivery.census import Served
from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.handshake import Handshake, Receive, Scope
from graphql_api.delivery.operations import errors_of
from graphql_api.delivery.outlet import Send, SocketOutlet
from graphql_api.delivery.request import Malformed, read_json
from graphql_api.delivery.session import CloseSocket, Session, serve_socket
from graphql_api.delivery.sharing import Member
from graphql_api.devices.model import DeviceFilter, Head
from graphql_api.devices.watches import Event, EventKind, EventWatch, Item, Watch
from graphql_api.errors import Forbidden, ServiceError
from graphql_api.moment import format_moment

__all__ = ["PlainSocket", "serve_plain_socket"]

_PONG = b'{"type":"pong"}'
_PING = b'{"type":"ping"}'

# A client's text that is longer than this is no ping, and is not looked into.
_LONGEST_PING = 1_024


async def serve_plain_socket(scope: Scope, receive: Receive, send: Send, delivery: Delivery) -> None:
    """Serve one WebSocket handshake at ``/ws/device-status``."""
    await serve_socket(PlainSocket, scope, receive, send, delivery, None)


class _Updates(Member):
    """What a plain socket is there for."""

    __slots__ = ("socket",)

    def __init__(self, socket: "PlainSocket") -> None:
        super().__init__(socket.outlet, socket.outlet.plain_lane)
        self.socket = socket

    def on_admitted(self) -> None:
        """Greet the client: what is recorded from now on it will hear of."""
        self.socket.greet()

    def on_level(self, place: Head) -> None:
        """The dialect has no message for it."""

    def on_refused(self, error: Exception) -> None:
        """There is nothing else to do on this socket."""
        self.socket.close(CloseSocket(CloseCode.TRY_AGAIN_LATER, errors_of(error)[0]["message"]))


class PlainSocket(Session):
    """One client of the plain dialect: it is let in by the handshake alone."""

    __slots__ = ("_greeted", "_school", "_updates")

    served = Served.PLAIN_SOCKET

    def __init__(self, delivery: Delivery, outlet: SocketOutlet) -> None:
        super().__init__(delivery, outlet)
        self._updates: _Updates | None = None
        self._school = ""
        self._greeted = False

    def begin(self, handshake: Handshake) -> None:
        """Let the client in, and send it every change."""
        parameters = parse_qs(handshake.query.decode("latin-1"))
        self.admit(_token(handshake.authorization, parameters), partial(self._begin, parameters))

    def _begin(self, parameters: dict[str, list[str]], principal: Principal) -> None:
        watch = self._watch(principal, parameters)
        self._school = watch.school
        self._updates = _Updates(self)

        async def open_renderer() -> _PlainRenderer:
            return _PlainRenderer(watch)

        self.delivery.sharing.subscribe(
            ("plain", watch.school), open_renderer, self._updates, parameters.get("resume_from", ())
        )

    def greet(self) -> None:
        """The first message of all."""
        self._greeted = True
        self.send(
            _encode({"type": "connected", "message": "Connected to device status updates", "school_id": self._school})
        )

    def receive(self, message: str | bytes) -> None:
        """Answer pings; all else is let be."""
        if _is_ping(message):
            self.send(_PONG)

    def keep_alive(self) -> None:
        """A ping of ours, after the greeting; clients ignore or answer it as they like."""
        if self._greeted and self.outlet.writable:
            self.send(_PING)

    def on_drained(self) -> None:
        """Go on, if it is behind."""
        if self._updates and self._updates.audience:
            self._updates.audience.drained(self._updates)

    def stop(self) -> None:
        """Send no more updates."""
        if self._updates:
            self.delivery.sharing.unsubscribe(self._updates)

    def last_words(self, closing: CloseSocket) -> bytes | None:
        """Browsers show scripts the close code, but people rather read a message."""
        return _encode({"type": "error", "message": closing.reason})

    def _watch(self, principal: Principal, parameters: dict[str, list[str]]) -> EventWatch:
        try:
            return self.delivery.service.watch_events(
                principal.visibility, parameters.get("school_id", [None])[0], DeviceFilter(), snapshot=False
            )
        except Forbidden as error:
            raise CloseSocket.refused(TokenRefused(TokenProblem.INVALID, str(error))) from error
        except ServiceError as error:
            # The domain's sentences call the argument by its GraphQL name.
            raise CloseSocket(CloseCode.BAD_REQUEST, str(error).replace("schoolId", "school_id")) from error


class _PlainRenderer:
    """Events as the dialect writes them; the same for all who may see the school."""

    def __init__(self, watch: EventWatch) -> None:
        self._watch = watch

    @property
    def watch(self) -> Watch[Any]:
        return self._watch

    async def render(self, item: Item[Any]) -> tuple[bytes, bool]:
        return _update(item.value), True

    async def close(self) -> None:
        """Nothing is held."""


def _token(authorization: str | None, parameters: dict[str, list[str]]) -> str:
    try:
        token = token_from_header(authorization)
    except TokenRefused as refusal:
        raise CloseSocket.refused(refusal) from refusal
    token = token or parameters.get("token", [None])[0]
    if token is None:
        raise CloseSocket.refused(TokenRefused(TokenProblem.MISSING, "send an Authorization header, or ?token="))
    return token


def _is_ping(message: str | bytes) -> bool:
    if isinstance(message, bytes) or len(message) > _LONGEST_PING:
        return False
    try:
        value = read_json(message)
    except Malformed:
        return False
    return isinstance(value, dict) and value.get("type") == "ping"


def _update(event: Event) -> bytes:
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


def _encode(message: object) -> bytes:
    return orjson.dumps(message)
