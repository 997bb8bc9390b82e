"""The GraphQL schema: thin resolvers over the domain, and the way to run operations."""

from graphql_api.schema.context import RequestContext
from graphql_api.schema.documents import Operation
from graphql_api.schema.execution import Executor
from graphql_api.schema.guard import Guard
from graphql_api.schema.problems import FormattedError, OperationRefused, internal_error, request_error
from graphql_api.schema.rendering import Rendering
from graphql_api.schema.result import Result, encode_errors

__all__ = [
    "Executor",
    "FormattedError",
    "Guard",
    "Operation",
    "OperationRefused",
    "Rendering",
    "RequestContext",
    "Result",
    "encode_errors",
    "internal_error",
    "request_error",
]
