"""The GraphQL schema: thin resolvers over the domain, and the way to run operations."""

from graphql_api.schema.context import RequestContext, SubscriptionContext
from graphql_api.schema.documents import Operation
from graphql_api.schema.execution import Executor, Result, encode_errors
from graphql_api.schema.problems import FormattedError, OperationRefused, internal_error, request_error

__all__ = [
    "Executor",
    "FormattedError",
    "Operation",
    "OperationRefused",
    "RequestContext",
    "Result",
    "SubscriptionContext",
    "encode_errors",
    "internal_error",
    "request_error",
]
