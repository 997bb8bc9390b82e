"""Executing operations: documents in, results out, Strawberry inside."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import strawberry
from graphql import GraphQLError, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema, Undefined
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from graphql_api.access.principal import Visibility
from graphql_api.devices.service import DeviceService
from graphql_api.schema.context import RequestContext, SubscriptionContext
from graphql_api.schema.documents import Documents, Operation, PreparedDocument
from graphql_api.schema.frugal import FrugalExecution
from graphql_api.schema.guard import Guard
from graphql_api.schema.mutation import Mutation
from graphql_api.schema.query import Query
from graphql_api.schema.rendering import Rendering
from graphql_api.schema.result import Result, result_of
from graphql_api.schema.scalars import SCALARS
from graphql_api.schema.subscription import Subscription

__all__ = ["Executor"]


class _Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Do not log here: errors that callers cause are no news, and the others are logged where they are masked."""


class Executor:
    """The schema of the contract, and the way to run operations against it, within limits."""

    def __init__(self, guard: Guard | None = None) -> None:
        self.guard = guard or Guard()
        """What operations may ask for."""
        self._schema = _Schema(
            query=Query,
            mutation=Mutation,
            subscription=Subscription,
            config=StrawberryConfig(scalar_map=SCALARS),
            extensions=[PreparedDocument],
            execution_context_class=FrugalExecution,
        )
        # The graphql-core schema that Strawberry's is made of; its documentation names this
        # attribute as the way to it.
        core = self._schema._schema  # noqa: SLF001 - see above
        _leave_null_unsaid(core)
        self._documents = Documents(core, self.guard)

    def sdl(self) -> str:
        """The schema in GraphQL's schema definition language."""
        return self._schema.as_str().strip() + "\n"

    def prepare(self, query: str, operation_name: str | None) -> Operation:
        """The operation that a request asks for; raises as :meth:`Documents.prepare`."""
        return self._documents.prepare(query, operation_name)

    async def execute(self, operation: Operation, variables: Mapping[str, Any], context: RequestContext) -> Result:
        """Run a query or a mutation.

        Cancelling it does not undo a mutation that has begun.

        Raises:
            LimitExceeded: the variables are too large.
            OperationRefused: the variables don't fit.
        """
        self.guard.check_variables(variables)
        context.operation = operation
        context.guard = self.guard
        result = await self._schema.execute(
            operation.query,
            variable_values=dict(variables),
            context_value=context,
            operation_name=operation.name,
        )
        return result_of(result)

    def rendering(
        self,
        operation: Operation,
        variables: Mapping[str, Any],
        *,
        service: DeviceService,
        visibility: Visibility | None,
    ) -> Rendering:
        """An execution of a subscription, to be opened and closed by the caller; what it renders knows no user.

        That the variables are not too large was seen to before (:meth:`Guard.check_variables`).
        """

        async def start(context: SubscriptionContext) -> AsyncGenerator[Any, None]:
            return await self._schema.stream(
                operation.query,
                variable_values=dict(variables),
                context_value=context,
                operation_name=operation.name,
            )

        return Rendering(start, service=service, visibility=visibility, operation=operation, guard=self.guard)


def _leave_null_unsaid(schema: GraphQLSchema) -> None:
    """Take away the defaults that are null: Strawberry makes one of every ``= None``.

    The contract has none of them. What a client leaves out is then not handed to the resolver, whose own
    default is None.
    """
    for of_type in schema.type_map.values():
        optional: list[Any] = []
        if isinstance(of_type, GraphQLObjectType):
            optional = [argument for field in of_type.fields.values() for argument in field.args.values()]
        elif isinstance(of_type, GraphQLInputObjectType):
            optional = list(of_type.fields.values())
        for each in optional:
            if each.default_value is None:
                each.default_value = Undefined
