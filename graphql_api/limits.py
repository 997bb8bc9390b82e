"""What an operator sets about who is let in, and how much of anything: fields of the settings.

Each has a default that a fair client never meets. What happens when one is met is in :mod:`graphql_api.refusals`.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from graphql_api import setting_values as values

__all__ = ["Limits"]

PerSecond = Annotated[float, BeforeValidator(values.per_second)]


class Limits(BaseModel):
    """How much is allowed of what."""

    model_config = ConfigDict(frozen=True)

    max_connections: Annotated[int, values.whole_number("connections")] = Field(
        default=20_000,
        description="Open WebSockets and streamed answers of a process, at most; who is one too many is told to come"
        " back later (1013, over HTTP 503).",
    )
    max_connections_per_address: Annotated[int, values.whole_number("connections")] = Field(
        default=12_000,
        description="Of these, those from one address, or from one IPv6 network (/64), at most (1013, over HTTP 429)."
        " Behind a proxy that is not in `DEVICE_STATUS_TRUSTED_PROXIES`, everybody has the proxy's address.",
    )
    max_connections_per_subject: Annotated[int, values.whole_number("connections")] = Field(
        default=12_000,
        description="Of these, those whose tokens have one subject, at most (1013, over HTTP 429). All screens of an"
        " installation may share one.",
    )
    max_subscriptions_per_connection: Annotated[int, values.whole_number("subscriptions")] = Field(
        default=100,
        description="Subscriptions on one WebSocket at a time; one more is refused with `LIMIT_EXCEEDED`.",
    )
    operations_per_second: PerSecond = Field(
        default=500.0,
        description="Operations that one WebSocket may begin, over time; beyond, they are refused with"
        " `RATE_LIMITED`. Over HTTP it counts for all requests of one address with one subject.",
    )
    operations_burst: Annotated[int, values.whole_number("operations")] = Field(
        default=2_000, description="Operations that may begin at once, after a pause."
    )
    publishes_per_second: PerSecond = Field(
        default=500.0,
        description="Rounds that tokens of one subject may have a process record, over time, retirements and"
        " restorations included; beyond, they are refused with `RATE_LIMITED`.",
    )
    publishes_burst: Annotated[int, values.whole_number("rounds")] = Field(
        default=2_000, description="Rounds that may be recorded at once, after a pause: one for each of 2,000 schools."
    )
    max_document_tokens: Annotated[int, values.whole_number("tokens")] = Field(
        default=5_000,
        description="Tokens of a GraphQL document, at most; what comes as variables does not count. A report that is"
        " written into the document has up to 14.",
    )
    max_document_fields: Annotated[int, values.whole_number("fields")] = Field(
        default=400,
        description="Fields and fragments of a document, at most, each counted wherever it is spread. Of fields in one"
        " place of the response there may be 32.",
    )
    max_document_aliases: Annotated[int, values.whole_number("aliases")] = Field(
        default=100, description="Of these, those with an alias, at most."
    )
    max_document_depth: Annotated[int, values.whole_number("levels")] = Field(
        default=20, description="Levels of fields in fields, at most; the introspection of GraphiQL has 15."
    )
    variables_limit: Annotated[int, values.whole_number("bytes")] = Field(
        default=1024 * 1024, description="Bytes of an operation's variables as JSON, at most (1 MiB)."
    )
    max_device_ids: Annotated[int, values.whole_number("ids")] = Field(
        default=1_000, description="Ids in one argument `deviceIds` that filters devices, at most."
    )
    introspection: Annotated[bool, BeforeValidator(values.on_or_off)] = Field(
        default=True,
        description="Whether the schema can be asked for over GraphQL, also without a token: `on`, or `off`. It is no"
        " secret either way: it is published with the source.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.origins)] = Field(
        default=(),
        description="Origins whose pages may use the service from a browser, with commas, such as"
        " `https://app.example.org`; `null` for pages without one, `*` for all. The service's own pages always may.",
    )
    public_url: Annotated[str | None, BeforeValidator(values.public_url)] = Field(
        default=None,
        description="Where browsers find the service, such as `https://status.example.org`: its own origin. Not set:"
        " what a request calls it, which behind a proxy may be something else.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.networks)] = Field(
        default=(),
        description="Addresses and networks of proxies, with commas, whose `X-Forwarded-For` and `X-Forwarded-Proto`"
        " are believed. Not set: nobody's.",
    )
