"""Executing operations: documents in, results out, Strawberry inside."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
import strawberry
from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError, GraphQLInputObjectType, GraphQLObjectType, GraphQLSchema, Undefined
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError

from graphql_api.schema.context import RequestContext, SubscriptionContext
from graphql_api.schema.documents import Documents, Operation, PreparedDocument
from graphql_api.schema.mutation import Mutation
from graphql_api.schema.problems import FormattedError, OperationRefused, field_error, request_error
from graphql_api.schema.query import Query
from graphql_api.schema.scalars import SCALARS
from graphql_api.schema.subscription import Subscription

__all__ = ["Executor", "Result", "encode_errors"]


# Coercing a list of input objects keeps everybody waiting, some 40 us an item. No argument may have as many.
_LONGEST_LIST = 5_000


@dataclass(frozen=True, slots=True)
class Result:
    """What one execution came to (GraphQL specification, section 7.1)."""

    data: Mapping[str, Any] | None
    errors: tuple[FormattedError, ...] = ()

    def encode(self, cursor: str | None = None) -> bytes:
        """The result as JSON, with the cursor in its extensions."""
        response: dict[str, Any] = {"data": self.data}
        if self.errors:
            response["errors"] = self.errors
        if cursor:
            response["extensions"] = {"cursor": cursor}
        return orjson.dumps(response)


def encode_errors(errors: Sequence[FormattedError]) -> bytes:
    """A response without a data entry: the operation was not executed."""
    return orjson.dumps({"errors": list(errors)})


class _Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Do not log here: errors that callers cause are no news, and the others are logged where they are masked."""


class Executor:
    """The schema of the contract, and the way to run operations against it."""

    def __init__(self) -> None:
        self._schema = _Schema(
            query=Query,
            mutation=Mutation,
            subscription=Subscription,
            config=StrawberryConfig(scalar_map=SCALARS),
            extensions=[PreparedDocument],
        )
        # The graphql-core schema that Strawberry's is made of; its documentation names this
        # attribute as the way to it.
        core = self._schema._schema  # noqa: SLF001 - see above
        _leave_null_unsaid(core)
        self._documents = Documents(core)

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
            OperationRefused: the variables don't fit.
        """
        _check_lists(variables)
        context.operation = operation
        result = await self._schema.execute(
            operation.query,
            variable_values=dict(variables),
            context_value=context,
            operation_name=operation.name,
        )
        return _result(result)

    async def subscribe(
        self, operation: Operation, variables: Mapping[str, Any], context: SubscriptionContext
    ) -> AsyncGenerator[Result, None]:
        """Run a subscription; ``context.cursor`` belongs to the result that came last.

        Close the iterator, and the context after it, when no more is wanted.

        Raises:
            OperationRefused: the variables don't fit, the resolver refuses, or its source failed.
        """
        _check_lists(variables)
        context.operation = operation
        stream = await self._schema.stream(
            operation.query,
            variable_values=dict(variables),
            context_value=context,
            operation_name=operation.name,
        )
        async with aclosing(stream):
            async for result in stream:
                yield _result(result)


def _check_lists(variables: Mapping[str, Any]) -> None:
    for name, value in variables.items():
        if isinstance(value, list) and len(value) > _LONGEST_LIST:
            text = f"Expected the list ${name} to have at most {_LONGEST_LIST} items, but it has {len(value)}."
            raise OperationRefused([request_error("LIMIT_EXCEEDED", text)])


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


def _result(result: ExecutionResult | PreExecutionError | CoreResult | Any) -> Result:
    errors = tuple(field_error(error) for error in result.errors or ())
    refused = isinstance(result, PreExecutionError) or all(error.path is None for error in result.errors or ())
    if result.data is None and refused:
        raise OperationRefused(errors)
    return Result(result.data, errors)
