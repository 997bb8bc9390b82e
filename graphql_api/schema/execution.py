"""Executing operations: documents in, results out; Strawberry's resolvers, graphql-core's execution."""

from collections.abc import Mapping
from inspect import isawaitable
from typing import Any

import strawberry
from graphql import Executor as GraphQLExecutor
from graphql import GraphQLError, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema, Undefined, execute
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.config import StrawberryConfig

from graphql_api.access.principal import Visibility
from graphql_api.devices.service import DeviceService
from graphql_api.schema.context import RequestContext, SubscriptionContext
from graphql_api.schema.documents import Documents, Operation
from graphql_api.schema.frugal import FrugalExecutor
from graphql_api.schema.guard import Guard
from graphql_api.schema.mutation import Mutation
from graphql_api.schema.query import Query
from graphql_api.schema.rendering import Rendering
from graphql_api.schema.result import Result, result_of
from graphql_api.schema.scalars import SCALARS
from graphql_api.schema.subscription import Subscription

__all__ = ["Executor"]


class Executor:
    """The schema of the contract, and the way to run operations against it, within limits."""

    def __init__(self, guard: Guard | None = None) -> None:
        self.guard = guard or Guard()
        """What operations may ask for."""
        self._strawberry = strawberry.Schema(
            query=Query, mutation=Mutation, subscription=Subscription, config=StrawberryConfig(scalar_map=SCALARS)
        )
        # The graphql-core schema that Strawberry's is made of; its documentation names this
        # attribute as the way to it.
        self._schema = self._strawberry._schema  # noqa: SLF001 - see above
        _leave_null_unsaid(self._schema)
        self._documents = Documents(self._schema, self.guard)

    def sdl(self) -> str:
        """The schema in GraphQL's schema definition language."""
        return self._strawberry.as_str().strip() + "\n"

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
        context.guard = self.guard
        result = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=dict(variables),
            operation_name=operation.name,
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type] # it guards no type
            executor_class=FrugalExecutor,
        )
        return result_of(await result if isawaitable(result) else result)

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

        def begin(context: SubscriptionContext) -> GraphQLExecutor[Any] | list[GraphQLError]:
            return FrugalExecutor.build(
                self._schema,
                operation.document,
                context_value=context,
                raw_variable_values=dict(variables),
                operation_name=operation.name,
            )

        return Rendering(begin, service=service, visibility=visibility, guard=self.guard)


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
