"""Which media type an HTTP answer has, and which status goes with it: without I/O.

Sources: RFC 9110 sections 5.6 (syntax) and 12.5.1 (Accept); GraphQL over HTTP, sections "Body" and
"Status Codes"; for streams, GraphQL over SSE and Apollo's multipart protocol for subscriptions.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

__all__ = ["MediaType", "ParsedMediaType", "choose", "parse_media_type", "status_for"]


class MediaType(Enum):
    """What the service can answer with; the value is the Content-Type header."""

    GRAPHQL_RESPONSE = "application/graphql-response+json; charset=utf-8"
    JSON = "application/json; charset=utf-8"
    EVENT_STREAM = "text/event-stream; charset=utf-8"
    MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'

    @property
    def content_type(self) -> str:
        """The value of the Content-Type header."""
        return self.value


@dataclass(frozen=True, slots=True)
class ParsedMediaType:
    """A media type or range: ``name`` is ``type/subtype`` in lower case, as are the parameters' names."""

    name: str
    parameters: Mapping[str, str]


class _Range(NamedTuple):
    """One member of an Accept header, with its weight."""

    media: ParsedMediaType
    quality: float


class _Preference(NamedTuple):
    """How much a client wants a media type; the greater tuple is the stronger wish."""

    quality: float
    explicitness: int
    """2 where the type is named, 1 for ``type/*``, 0 for ``*/*``."""
    order: int
    """Minus the place in the header: what comes first is greater."""


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUALITY = re.compile(r"0(\.\d*)?|\.\d+|1(\.0*)?", re.ASCII)
"""As RFC 9110 section 12.4.2, with any number of digits and without the leading 0: clients send both."""

_MAX_ACCEPT = 4_096
"""Ten times what browsers send. A header may have 64 KiB, and reading it would keep others waiting for 40 ms."""

_NAMES = {type_: type_.value.partition(";")[0] for type_ in MediaType}
# What a range's parameters must be, where it has them, to match what the service sends. A
# client's wish for a boundary is no condition: the server chooses it, and Apollo says so.
_JSON_PARAMETERS = {"charset": "utf-8"}
_PARAMETERS: dict[MediaType, dict[str, str]] = {
    MediaType.GRAPHQL_RESPONSE: _JSON_PARAMETERS,
    MediaType.JSON: _JSON_PARAMETERS,
    MediaType.EVENT_STREAM: _JSON_PARAMETERS,
    MediaType.MULTIPART: {"subscriptionspec": "1.0"},
}
# In order of the service's own liking, which only decides between those a client likes the same.
_RESULTS = (MediaType.JSON, MediaType.GRAPHQL_RESPONSE)
_STREAMS = (MediaType.EVENT_STREAM, MediaType.MULTIPART)
_ANYTHING = (_Range(ParsedMediaType("*/*", {}), 1.0),)


def choose(accept: str | None, *, subscription: bool) -> MediaType | None:
    """The media type for an answer, or None where nothing that the client accepts fits (then 406 is due).

    The higher weight wins, then the type that is named over one under a wildcard, then the order in
    the header. Where all that leaves a tie, the legacy ``application/json`` wins for results (old
    clients send ``*/*`` and know no other), and ``text/event-stream`` for subscriptions.

    A query or mutation gets a stream only when the client accepts no JSON type, or gives each a lower
    weight: clients such as urql name streams beside JSON, but read one result much better.

    An absent or empty header accepts anything, and so does one without a readable member;
    unreadable members among readable ones are left out, as is all after 4,096 characters.
    """
    return _chosen((accept or "")[:_MAX_ACCEPT], subscription=subscription)


# Clients say the same each time, and reading it takes a twelfth of what a publish takes of the event loop.
@lru_cache(maxsize=200)
def _chosen(accept: str, *, subscription: bool) -> MediaType | None:
    ranges = tuple(_parse_accept(accept)) or _ANYTHING
    streams = _wishes(ranges, _STREAMS)
    if subscription:
        return max(streams, key=lambda type_: streams[type_], default=None)
    results = _wishes(ranges, _RESULTS)
    best_result = max(results, key=lambda type_: results[type_], default=None)
    best_stream = max(streams, key=lambda type_: streams[type_], default=None)
    if best_result is None or best_stream is None:
        return best_result or best_stream
    return best_stream if streams[best_stream].quality > results[best_result].quality else best_result


def status_for(media_type: MediaType, *, has_data: bool) -> int:
    """The HTTP status for the answer to a well-formed GraphQL request.

    Args:
        media_type: what the answer is sent as.
        has_data: whether the response has a ``data`` entry, be it null: it was executed. Without
            one the document was not parsed, not valid, or its variables could not be coerced.
    """
    # Clients of application/json can't tell an intermediary's error from ours, so all they
    # get is 200; an event stream that was refused would show its reader no reason at all.
    return 400 if media_type is MediaType.GRAPHQL_RESPONSE and not has_data else 200


def parse_media_type(text: str) -> ParsedMediaType | None:
    """The media type or range that a header's value names, or None where it isn't one.

    Of a parameter that occurs twice, the first counts. Takes time linear in the text.
    """
    name, *rest = _split(text, ";")
    main, slash, sub = name.partition("/")
    if not (slash and _TOKEN.fullmatch(main) and _TOKEN.fullmatch(sub)) or (main == "*" and sub != "*"):
        return None
    parameters: dict[str, str] = {}
    for parameter in filter(None, rest):
        key, equals, value = parameter.partition("=")
        unquoted = _unquote(value)
        if not (equals and _TOKEN.fullmatch(key)) or unquoted is None:
            return None
        parameters.setdefault(key.lower(), unquoted)
    return ParsedMediaType(name.lower(), parameters)


def _parse_accept(accept: str) -> Iterator[_Range]:
    for member in _split(accept, ","):
        media = parse_media_type(member)
        if media is None:
            continue
        parameters = dict(media.parameters)
        quality = parameters.pop("q", "1")
        if _QUALITY.fullmatch(quality):
            yield _Range(ParsedMediaType(media.name, parameters), float(quality))


def _wishes(ranges: tuple[_Range, ...], types: tuple[MediaType, ...]) -> dict[MediaType, _Preference]:
    """How much the client wants each of the types that it accepts, in the order given."""
    found = ((type_, _wish(ranges, type_)) for type_ in types)
    return {type_: wish for type_, wish in found if wish is not None and wish.quality > 0}


def _wish(ranges: tuple[_Range, ...], type_: MediaType) -> _Preference | None:
    """What the most specific range that matches the type says of it (RFC 9110 section 12.5.1)."""
    best: tuple[int, int, _Preference] | None = None
    for place, (media, quality) in enumerate(ranges):
        explicitness = _matches(media, type_)
        if explicitness is not None:
            # Of two that are as specific as each other, the first in the header counts.
            candidate = (explicitness, len(media.parameters), _Preference(quality, explicitness, -place))
            best = candidate if best is None or candidate[:2] > best[:2] else best
    return best[2] if best else None


def _matches(media: ParsedMediaType, type_: MediaType) -> int | None:
    """How explicitly a range names the type, or None where it does not match."""
    expected = _PARAMETERS[type_]
    asked = {key: value for key, value in media.parameters.items() if key != "boundary"}
    if any(expected.get(key) != value.lower() for key, value in asked.items()):
        return None
    name = _NAMES[type_]
    return {name: 2, name.partition("/")[0] + "/*": 1, "*/*": 0}.get(media.name)


def _split(text: str, separator: str) -> list[str]:
    """The members between separators outside of quoted strings, stripped."""
    members, start, quoted, escaped = [], 0, False, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            members.append(text[start:place].strip(" \t"))
            start = place + 1
    return [*members, text[start:].strip(" \t")]


def _unquote(value: str) -> str | None:
    """A parameter's value, which is a token or a quoted string; None where it is neither."""
    if _TOKEN.fullmatch(value):
        return value
    quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', value, re.DOTALL)
    return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL) if quoted else None
