"""The graphql-transport-ws endpoint: the protocol's rules (:mod:`.protocol`) with a socket and tasks."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from graphql import OperationType

from graphql_api.access.bearer import token_from_header, token_from_payload
from graphql_api.access.claims import TokenRefused
from graphql_api.access.principal import Principal
from graphql_api.delivery.census import Served
from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.connection import Completed, Reply, ServerConnection
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.outgoing import Send
from graphql_api.delivery.protocol import SUBPROTOCOL, ConnectionInit, ProtocolViolation, Subscribe, ping
from graphql_api.delivery.resume import kept, resume_point, resume_points
from graphql_api.delivery.session import CloseSocket, Receive, Scope, Session, header
from graphql_api.moment import format_moment
from graphql_api.schema import Operation, OperationRefused, RequestContext, SubscriptionContext, internal_error

__all__ = ["GraphQLSocket", "serve_graphql_socket"]


async def serve_graphql_socket(scope: Scope, receive: Receive, send: Send, delivery: Delivery) -> None:
    """Serve one WebSocket handshake at ``/graphql``."""
    with delivery.census.counting(Served.GRAPHQL_SOCKET):
        session = GraphQLSocket(scope, receive, send, delivery)
        # Without the subprotocol it is accepted all the same: a client that offered none sees no other refusal.
        await session.run(SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None)


@dataclass(slots=True)
class _Running:
    """An operation under way."""

    task: "asyncio.Task[None]"
    context: SubscriptionContext | None = None
    told: str | None = None
    """The cursor that the client was sent last."""


class GraphQLSocket(Session):
    """One client that speaks graphql-transport-ws."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, delivery: Delivery) -> None:
        super().__init__(scope, receive, send, delivery)
        self._protocol = ServerConnection()
        self._running: dict[Subscribe, _Running] = {}
        # From the connection_init, for the first subscribe with that id: a component that
        # subscribes later on the same socket starts afresh.
        self._resume_from: dict[str, str] = {}

    async def converse(self) -> None:
        """Take one message after the other; each operation runs in a task of its own."""
        if SUBPROTOCOL not in self.scope["subprotocols"]:
            raise CloseSocket(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE)
        while True:
            # Who does not read the answers is not listened to.
            await self.room()
            self._handle(await self.receive())

    def keep_alive_text(self) -> str | None:
        """A ping, with the cursors of all operations whose checkpoint the client has not got.

        Not before the ack: Python's gql takes whatever comes first for it.
        """
        if self.principal is None:
            return None
        cursors = {}
        for operation, running in self._running.items():
            checkpoint = running.context.checkpoint if running.context else None
            if checkpoint and checkpoint != running.told:
                cursors[operation.id] = running.told = checkpoint
        return ping({"cursors": cursors} if cursors else None)

    def _handle(self, message: str | bytes) -> None:
        try:
            event = self._protocol.receive(message)
        except ProtocolViolation as violation:
            raise CloseSocket(violation.code, violation.reason) from violation
        match event:
            case Reply():
                self.write(event.text)
            case ConnectionInit():
                self._initialise(event)
            case Subscribe():
                self._begin(event)
            case Completed():
                if running := self._running.pop(event.operation, None):
                    running.task.cancel()

    def _initialise(self, message: ConnectionInit) -> None:
        try:
            token = token_from_payload(message.payload) or token_from_header(header(self.scope, b"authorization"))
        except TokenRefused as refusal:
            raise CloseSocket.refused(refusal) from refusal
        principal = self.admit(token)
        self._resume_from = resume_points((message.payload or {}).get("resumeFrom"))
        self.write(
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
        # Taken by the first subscribe with that id, whatever becomes of it.
        of_socket = self._resume_from.pop(message.id, None)
        resume_from = kept(of_socket, resume_point(message.request.extensions.get("resumeFrom")))
        self._running[message] = _Running(self.start(self._operate(message, principal, resume_from)))

    async def _operate(self, message: Subscribe, principal: Principal, resume_from: Sequence[str]) -> None:
        try:
            with self.delivery.census.counting(Served.OPERATION):
                request = message.request
                operation = self.delivery.executor.prepare(request.query, request.operation_name)
                if operation.type is OperationType.SUBSCRIPTION:
                    await self._subscribe(message, operation, principal, resume_from)
                else:
                    await self._execute(message, operation, principal)
            ending = self._protocol.complete(message)
        except OperationRefused as refused:
            ending = self._protocol.error(message, refused.errors)
        except (CloseSocket, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - one operation's defect must not end the others of the socket
            ending = self._protocol.error(message, [internal_error(error)])
        finally:
            self._running.pop(message, None)
        self.write(ending)

    async def _execute(self, message: Subscribe, operation: Operation, principal: Principal) -> None:
        context = RequestContext(self.delivery.service, principal)
        result = await self.delivery.executor.execute(operation, message.request.variables, context)
        self.write(self._protocol.next(message, result.encode()))

    async def _subscribe(
        self, message: Subscribe, operation: Operation, principal: Principal, resume_from: Sequence[str]
    ) -> None:
        context = SubscriptionContext(
            self.delivery.service,
            principal.visibility,
            on_live=lambda: self._tell_live(message),
            resume_from=resume_from,
        )
        running = self._running[message]
        running.context = context
        results = self.delivery.executor.subscribe(operation, message.request.variables, context)
        try:
            async with aclosing(results):
                async for result in results:
                    await self.room()
                    cursor = context.cursor
                    running.told = cursor or running.told
                    self.write(self._protocol.next(message, result.encode(cursor)))
        finally:
            await context.close()

    def _tell_live(self, message: Subscribe) -> None:
        running = self._running.get(message)
        if running and running.context and (cursor := running.context.checkpoint):
            running.told = cursor
            self.write(ping({"cursors": {message.id: cursor}}))
