"""The scalars of the contract: moments as ISO 8601, and cursors."""

from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from graphql_api.moment import Moment, format_moment, parse_moment

__all__ = ["SCALARS", "Cursor"]

Cursor = NewType("Cursor", str)


def _parse_moment(value: Any) -> Moment:
    if not isinstance(value, str):
        raise GraphQLError(f"expected an ISO 8601 moment as a string, like 2026-11-23T08:00:00Z, but got {value!r:.64}")
    try:
        return parse_moment(value)
    except ValueError as error:
        # A GraphQLError's text reaches the client; any other error's is internal.
        raise GraphQLError(str(error)) from None


def _parse_cursor(value: Any) -> Cursor:
    if not isinstance(value, str):
        raise GraphQLError(f"expected a cursor as a string, but got {value!r:.64}")
    return Cursor(value)


SCALARS: dict[object, ScalarDefinition] = {
    Moment: strawberry.scalar(
        name="DateTime",
        description="A moment, ISO 8601 with an offset.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=format_moment,
        parse_value=_parse_moment,
    ),
    Cursor: strawberry.scalar(
        name="Cursor",
        description="A point in a school's stream of changes. Opaque: store the newest one, hand it back to resume.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc4648#section-5",
        parse_value=_parse_cursor,
    ),
}
