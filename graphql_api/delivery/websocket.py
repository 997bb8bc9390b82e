"""The graphql-transport-ws endpoint: the protocol's rules (:mod:`.connection`) with a socket and operations."""

import asyncio
from collections.abc import Sequence

from graphql import OperationType

from graphql_api.access.bearer import token_from_header, token_from_payload
from graphql_api.access.claims import TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.delivery.census import Served
from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.connection import Completed, Reply, ServerConnection
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.frames import escaped
from graphql_api.delivery.handshake import Handshake, Receive, Scope
from graphql_api.delivery.operations import errors_of, renderer_of, sharing_key
from graphql_api.delivery.outlet import Send, SocketOutlet
from graphql_api.delivery.protocol import SUBPROTOCOL, ConnectionInit, ProtocolViolation, Subscribe, ping
from graphql_api.delivery.request import GraphQLRequest
from graphql_api.delivery.resume import RESUME_POINTS_LIMIT, ResumePoints, kept, resume_point
from graphql_api.delivery.session import CloseSocket, Session, serve_socket
from graphql_api.delivery.sharing import Member
from graphql_api.devices.model import Head
from graphql_api.errors import Forbidden, Unavailable
from graphql_api.moment import format_moment
from graphql_api.rates import Bucket
from graphql_api.refusals import Limit
from graphql_api.schema import Operation, RequestContext

__all__ = ["GraphQLSocket", "serve_graphql_socket"]


async def serve_graphql_socket(scope: Scope, receive: Receive, send: Send, delivery: Delivery) -> None:
    """Serve one WebSocket handshake at ``/graphql``."""
    # Without the subprotocol it is accepted all the same: a client that offered none sees no other refusal.
    offered = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
    await serve_socket(GraphQLSocket, scope, receive, send, delivery, offered)


class _Subscription(Member):
    """A subscription of one socket."""

    __slots__ = ("_is_live", "message", "socket")

    def __init__(self, socket: "GraphQLSocket", message: Subscribe) -> None:
        prefix = escaped(message.id)
        super().__init__(socket.outlet, socket.outlet.lane(len(prefix)), prefix)
        self.socket = socket
        self.message = message
        self._is_live = False

    def on_admitted(self) -> None:
        """While it was opened the token may have been renewed."""
        self.socket.review(self.message, self)

    def on_level(self, place: Head) -> None:
        """As soon as it is live the client gets a cursor: a quiet one is resumable too."""
        if not self._is_live:
            self._is_live = True
            self.socket.tell({self.message.id: self._cursor(place)})

    def on_refused(self, error: Exception) -> None:
        """The operation is over."""
        self.socket.end(self.message, error)

    def checkpoint(self) -> str | None:
        """The cursor of where it stands, where that is further than its client knows."""
        group = self.group
        place = self.audience.checkpoint(self) if self.audience else None
        if group is None or place is None or place.version <= max(self.told, group.sent):
            return None
        return self._cursor(place)

    def _cursor(self, place: Head) -> str:
        self.told = place.version
        if self.group is None:
            raise RuntimeError("a subscription without a group stands nowhere")
        return self.group.cursor(place)


class GraphQLSocket(Session):
    """One client that speaks graphql-transport-ws."""

    __slots__ = ("_bucket", "_header_token", "_protocol", "_resume_from", "_running")

    served = Served.GRAPHQL_SOCKET

    def __init__(self, delivery: Delivery, outlet: SocketOutlet) -> None:
        super().__init__(delivery, outlet)
        self._protocol = ServerConnection()
        self._running: dict[Subscribe, _Subscription | asyncio.Task[None]] = {}
        # From the connection_init, for the first subscribe with that id: a component that
        # subscribes later on the same socket starts afresh, unless there were more than are kept.
        self._resume_from = ResumePoints()
        self._header_token: str | None = None
        self._bucket = Bucket()

    def begin(self, handshake: Handshake) -> None:
        """See that the protocol is ours; its messages begin with the client's."""
        if SUBPROTOCOL not in handshake.subprotocols:
            raise CloseSocket(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE)
        self._header_token = handshake.authorization

    def receive(self, message: str | bytes) -> None:
        """Take one message; each operation goes on by itself."""
        try:
            event = self._protocol.receive(message)
        except ProtocolViolation as violation:
            raise CloseSocket(violation.code, violation.reason) from violation
        match event:
            case Reply():
                self.send(event.text)
            case ConnectionInit():
                self._initialise(event)
            case Subscribe():
                self._begin(event)
            case Completed():
                self._stop(event.operation)

    def keep_alive(self) -> None:
        """A ping, with the cursors of all operations that have moved on.

        Not before the ack: Python's gql takes whatever comes first for it. Nor while the client takes nothing: it is
        looked after by our patience.
        """
        if self.principal is None or not self.outlet.writable:
            return
        cursors = {}
        for message, running in self._running.items():
            if isinstance(running, _Subscription) and (cursor := running.checkpoint()):
                cursors[message.id] = cursor
        self.send(ping({"cursors": cursors} if cursors else None))

    def on_drained(self) -> None:
        """Who was behind goes on."""
        for running in list(self._running.values()):
            if isinstance(running, _Subscription) and running.audience:
                running.audience.drained(running)

    def stop(self) -> None:
        """End all operations."""
        for message in self._protocol.close():
            self._stop(message)

    def tell(self, cursors: dict[str, str]) -> None:
        """Send cursors without results."""
        self.send(ping({"cursors": cursors}))

    def end(self, message: Subscribe, error: Exception | None = None) -> None:
        """An operation is over, with an error or without."""
        if isinstance(self._running.pop(message, None), _Subscription):
            self.delivery.census.leave(Served.OPERATION)
        if error is None:
            self.send(self._protocol.complete(message))
        else:
            self.send(self._protocol.error(message, errors_of(error)))

    def review(self, message: Subscribe, subscription: _Subscription) -> None:
        """End a subscription of what the caller may not read any more; one that is being opened is looked at then."""
        if self.principal is None or subscription.group is None:
            return
        try:
            self.delivery.service.readable(self.principal.visibility, subscription.group.watch.school)
        except Forbidden as error:
            self.delivery.sharing.unsubscribe(subscription)
            self.end(message, error)

    def _initialise(self, message: ConnectionInit) -> None:
        try:
            token = token_from_payload(message.payload) or token_from_header(self._header_token)
        except TokenRefused as refusal:
            raise CloseSocket.refused(refusal) from refusal
        self._header_token = None
        most = max(RESUME_POINTS_LIMIT, self.delivery.limits.max_subscriptions_per_connection)
        self._resume_from = ResumePoints.of((message.payload or {}).get("resumeFrom"), most)
        if self._resume_from.is_cut:
            self.delivery.refusals.count(Limit.RESUME_POINTS)
        self.admit(token, self._acknowledge)

    def _acknowledge(self, principal: Principal) -> None:
        self.send(
            self._protocol.acknowledge(
                {
                    "schools": ["*"] if principal.visibility.all_schools else sorted(principal.visibility.schools),
                    "expiresAt": format_moment(principal.expires_at),
                }
            )
        )

    def _begin(self, message: Subscribe) -> None:
        principal = self.principal
        if principal is None:
            raise CloseSocket(CloseCode.UNAUTHORIZED)
        request = message.take_request()
        # Taken by the first subscribe with that id, whatever becomes of it.
        of_socket = self._resume_from.take(message.id)
        try:
            self.delivery.pace.begin_on_socket(self._bucket)
            operation = self.delivery.executor.prepare(request.query, request.operation_name)
            if operation.type is OperationType.SUBSCRIPTION:
                self._check_room()
                resume_from = kept(of_socket, resume_point(request.extensions.get("resumeFrom")))
                self._subscribe(message, operation, request, principal, resume_from)
            else:
                work = self._execute(message, operation, request, principal)
                self._running[message] = self.delivery.start(work)
        except Exception as error:  # noqa: BLE001 - one operation's defect must not end the others of the socket
            self.end(message, error)

    def _check_room(self) -> None:
        most = self.delivery.limits.max_subscriptions_per_connection
        if len(self._running) < most:
            return
        if sum(isinstance(running, _Subscription) for running in self._running.values()) >= most:
            sentence = (
                f"Expected at most {most} subscriptions on one connection. Complete one, or open another connection."
            )
            raise self.delivery.refusals.exceeded(Limit.SUBSCRIPTIONS, sentence)

    def _subscribe(
        self,
        message: Subscribe,
        operation: Operation,
        request: GraphQLRequest,
        principal: Principal,
        resume_from: Sequence[str],
    ) -> None:
        subscription = self._running[message] = _Subscription(self, message)
        self.delivery.census.enter(Served.OPERATION)
        visibility = principal.visibility
        self.delivery.sharing.subscribe(
            sharing_key(operation, request.variables, visibility),
            renderer_of(self.delivery, operation, request.variables, visibility),
            subscription,
            resume_from,
        )

    async def _execute(
        self, message: Subscribe, operation: Operation, request: GraphQLRequest, principal: Principal
    ) -> None:
        with self.delivery.census.counting(Served.OPERATION):
            try:
                context = RequestContext(self.delivery.service, principal, renew=self._renew)
                result = await self.delivery.executor.execute(operation, request.variables, context)
                self.send(self._protocol.next(message, result.encode()))
            except Exception as error:  # noqa: BLE001 - as above
                self.end(message, error)
            else:
                self.end(message)

    async def _renew(self, token: str) -> Principal:
        """Go on with another token of the same subject; what it does not allow ends, all else goes on.

        Raises:
            TokenRefused: the token is no good. The socket lives on with the one it has, as after all others.
            Forbidden: it is somebody else's.
            Unavailable: it can't be verified now.
        """
        principal = await self.delivery.verifier.verify_with_new_keys(token_from_payload({"token": token}))
        if self.principal is None or self.closed:
            raise Unavailable("The socket is closing. Connect again with the new token.")
        if principal.subject != self.principal.subject:
            raise Forbidden("The new token is another subject's. Open another connection for it.")
        self.entitle(principal)
        for message, running in list(self._running.items()):
            if isinstance(running, _Subscription):
                self.review(message, running)
        return principal

    def _stop(self, message: Subscribe) -> None:
        running = self._running.pop(message, None)
        if isinstance(running, _Subscription):
            self.delivery.sharing.unsubscribe(running)
            self.delivery.census.leave(Served.OPERATION)
        elif running is not None:
            running.cancel()
