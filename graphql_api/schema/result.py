"""What an execution came to: as an object, and as the bytes that clients get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import ExecutionResult

from graphql_api.schema.problems import FormattedError, OperationRefused, field_error

__all__ = ["Result", "encode_errors", "result_of"]


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


def result_of(result: ExecutionResult) -> Result:
    """What graphql-core hands out, as ours.

    Raises:
        OperationRefused: it is no result at all, only errors.
    """
    errors = tuple(field_error(error) for error in result.errors or ())
    if result.data is None and all(error.path is None for error in result.errors or ()):
        raise OperationRefused(errors)
    return Result(result.data, errors)
