"""The enums of the contract: the domain's own, named and described for the schema."""

from enum import Enum

import strawberry

from graphql_api.devices.model import Status
from graphql_api.devices.watches import EventKind

__all__ = ["EventKind", "OnInvalid", "Status"]


def _register(enum: type[Enum], description: str | None, **values: str) -> None:
    # Strawberry takes descriptions of values only from the enum's own body, where the domain, which
    # knows no GraphQL, can't have them.
    registered = strawberry.enum(enum, description=description)
    for value in registered.__strawberry_definition__.values:  # type: ignore[attr-defined]  # set by strawberry.enum
        value.description = values.get(value.name)


_register(
    Status,
    "How a device is doing, as its health checker last reported it.",
    UNKNOWN="Nothing trustworthy is known: not reported for too long, or just restored.",
    RETIRED="Taken out of service by an administrator; left out of lists unless asked for.",
)

_register(
    EventKind,
    None,
    CHANGE="The device's status has changed.",
    SNAPSHOT=(
        "The device's status as it stands: asked for, or sent because the history no longer reaches back to the "
        "resume point."
    ),
)


@strawberry.enum
class OnInvalid(Enum):
    """What happens to a round with an invalid report."""

    REJECT = strawberry.enum_value(
        "REJECT", description="One invalid report refuses the round; the error lists every problem."
    )
    SKIP = strawberry.enum_value(
        "SKIP", description="Invalid reports are listed in the result, the others are recorded."
    )
