"""Errors as clients see them: a sentence, a place, a code; never internal text."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError

from graphql_api.errors import ServiceError

__all__ = [
    "FormattedError",
    "OperationRefused",
    "field_error",
    "internal_error",
    "request_error",
    "validation_error",
]

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 1_000
"""Characters of a message that quotes what the client sent: the client has it, and a hundred copies help nobody."""

FormattedError = Mapping[str, Any]
"""An error as the GraphQL specification's section 7.1.2 wants it, with ``extensions.code``."""


class OperationRefused(Exception):
    """The operation has no result at all, only these errors; whoever asked is told, and it is over."""

    def __init__(self, errors: Sequence[FormattedError]) -> None:
        self.errors = errors
        super().__init__("; ".join(error["message"] for error in errors))


def request_error(code: str, error: GraphQLError | str) -> dict[str, Any]:
    """An error of the request itself, whose text was made from what the client sent."""
    formatted: dict[str, Any] = {"message": _shortened(error)} if isinstance(error, str) else _located(error)
    return {**formatted, "extensions": {"code": code}}


def validation_error(error: GraphQLError) -> dict[str, Any]:
    """An error of a document that does not fit the schema."""
    if _cause(error) is None:
        return request_error("GRAPHQL_VALIDATION_FAILED", error)
    # Python's own words about a value it could not read.
    located = {**_located(error), "message": "Expected a value that the argument's type can hold."}
    return {**located, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}


def field_error(error: GraphQLError) -> dict[str, Any]:
    """An error that came up while the operation was executed.

    Errors of the service's own keep their text and code. Coercion errors (of variables and
    arguments, made by graphql-core from what the client sent) are BAD_USER_INPUT. All others are
    masked: the log has them, under the id that the client is told.
    """
    cause = _cause(error)
    if isinstance(cause, ServiceError):
        return {**_located(error), "message": str(cause), "extensions": cause.extensions}
    if cause is None:
        return request_error("BAD_USER_INPUT", error)
    return {**_located(error), **internal_error(cause)}


def internal_error(error: BaseException) -> dict[str, Any]:
    """A defect of the service: the client is told an id, under which the log has the rest."""
    error_id = secrets.token_hex(6)
    logger.error("Internal error %s while an operation was executed.", error_id, exc_info=error)
    return {
        "message": f"An internal error, which the service's log has under the id {error_id}.",
        "extensions": {"code": "INTERNAL", "errorId": error_id},
    }


def _cause(error: GraphQLError) -> BaseException | None:
    """What is behind an error, and behind that; None when it is nothing but GraphQL's."""
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _located(error: GraphQLError) -> dict[str, Any]:
    formatted = dict(error.formatted)
    # What else a library may have put there is not ours to show.
    formatted.pop("extensions", None)
    return {**formatted, "message": _shortened(error.message)}


def _shortened(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 3]}..."
