"""A GraphQL request as it comes in, over HTTP or in a ``subscribe`` message: read and checked, without I/O.

Source: GraphQL over HTTP, sections "Request Parameters", "GET" and "POST". The parameters of a
``subscribe`` message are the same four, so one function checks them for both.

::

    Malformed       what came is no well-formed request; each transport says so in its own way
    HttpProblem     the HTTP answer to a request that never becomes a GraphQL request
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson

from graphql_api.delivery.negotiation import parse_media_type

__all__ = [
    "GraphQLRequest",
    "HttpProblem",
    "Malformed",
    "kind_of",
    "parse_request",
    "read_json",
    "read_json_object",
    "read_parameters",
]

_JSON_PARAMETERS = ("variables", "extensions")
_TEXT_PARAMETERS = ("query", "operationName")


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What a client asks for. The document is a string, no more is known of it."""

    query: str
    operation_name: str | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)


class Malformed(ValueError):
    """What came is no well-formed request; the text says what was expected, and what came."""


class HttpProblem(Exception):
    """An HTTP request that is answered without GraphQL: status, a sentence, and headers to go with them."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, *, code: str = "BAD_USER_INPUT"
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """The JSON body of the answer, shaped like a GraphQL response so that every client can show it."""
        return orjson.dumps({"errors": [{"message": self.message, "extensions": {"code": self.code}}]})


def read_json(text: str) -> Any:
    """The value that a JSON text holds, exactly: what is returned can be encoded again without loss.

    Refused are, besides what is no JSON (RFC 8259): NaN and Infinity; integers over 64 bits
    and numbers over the range of floats; lone surrogates; a name that occurs twice in
    one object (two readers may believe different ones); and nesting over 254 levels.

    Raises:
        Malformed: the text is any of these.
    """
    try:
        value = _DECODER.decode(text)
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"not valid JSON: {error.msg} at character {error.pos}") from None
    except ValueError:  # int() by itself refuses what takes quadratic time
        raise Malformed("an integer in the JSON has too many digits") from None
    try:
        # Python's reader takes more than JSON can carry from hand to hand. Encoding with the
        # encoder that every answer goes through costs a tenth of the reading, and finds it.
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise Malformed("the JSON holds a lone surrogate, an integer over 64 bits, or over 254 levels") from None
    return value


def read_json_object(text: str, what: str) -> dict[str, Any]:
    """The object that a JSON text holds, read as :func:`read_json` does.

    Raises:
        Malformed: the text is no JSON, or holds something else; ``what`` names it in the error.
    """
    value = read_json(text)
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be a JSON object, but is {'null' if value is None else kind_of(value)}")
    return value


def read_parameters(source: Mapping[str, Any], where: str = "") -> GraphQLRequest:
    """The four parameters of a GraphQL request; null is the same as absent, and other names are ignored.

    An empty ``operationName`` counts as absent: no operation has such a name. (GraphQL over
    HTTP says so for GET; clients do it everywhere.)

    Args:
        source: the JSON object that holds them.
        where: what to put before a field's name in an error, such as ``payload.``

    Raises:
        Malformed: a parameter is missing or has the wrong type.
    """
    query = source.get("query")
    if not isinstance(query, str):
        raise Malformed(f"{where}query must be a string, but is {kind_of(query)}")
    name = source.get("operationName")
    if name is not None and not isinstance(name, str):
        raise Malformed(f"{where}operationName must be a string or null, but is {kind_of(name)}")
    variables, extensions = (_read_object(source, key, where) for key in _JSON_PARAMETERS)
    return GraphQLRequest(query, name or None, variables, extensions)


def parse_request(
    method: str, query_string: bytes | str, content_type: str | None, body: bytes | bytearray
) -> GraphQLRequest:
    """The GraphQL request that an HTTP request carries.

    GET takes it from the query string, POST from a JSON body. That a GET asks for no mutation
    can only be told from the parsed document: the caller's business.

    Raises:
        HttpProblem: 400, 405 or 415 (GraphQL over HTTP, sections "Request" and "Status Codes").
    """
    if method not in ("GET", "POST"):
        raise HttpProblem(405, f"expected GET or POST, but got {method[:32]}", {"Allow": "GET, POST"})
    try:
        if method == "GET":
            return read_parameters(_read_query_string(query_string))
        _check_content_type(content_type)
        return read_parameters(_read_body(body))
    except Malformed as error:
        raise HttpProblem(400, str(error)) from error


def kind_of(value: object) -> str:
    """What a JSON value is, in words for an error; null and absent look the same here, and count the same."""
    match value:
        case None:
            return "null or missing"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _read_object(source: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = source.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"{where}{key} must be an object or null, but is {kind_of(value)}")
    return value


def _check_content_type(content_type: str | None) -> None:
    accepted = {"Accept": "application/json"}  # RFC 9110 section 15.5.16: a 415 should tell what is accepted
    if not content_type:
        raise HttpProblem(415, "expected Content-Type: application/json, but there is no Content-Type", accepted)
    parsed = parse_media_type(content_type)
    if parsed is None or parsed.name != "application/json":
        raise HttpProblem(415, f"expected Content-Type: application/json, but got {content_type[:64]!r}", accepted)
    charset = parsed.parameters.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise HttpProblem(415, f"expected charset=utf-8, but got {charset[:64]!r}", accepted)


def _read_body(body: bytes | bytearray) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8 (a compressed body is not supported)") from None
    return read_json_object(text, "the body (one request; batching is not supported)")


def _read_query_string(query_string: bytes | str) -> dict[str, Any]:
    """The parameters in a URL (GraphQL over HTTP, section "GET"): two are text, two are JSON in text."""
    try:
        text = query_string if isinstance(query_string, str) else query_string.decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=64)
    except ValueError:
        raise Malformed("the query string is not UTF-8, or has over 64 fields") from None
    known = [(key, value) for key, value in pairs if key in _TEXT_PARAMETERS or key in _JSON_PARAMETERS]
    found: dict[str, Any] = {}
    for key, value in known:
        if key in found:
            raise Malformed(f"{key} occurs twice in the query string")
        found[key] = value if key in _TEXT_PARAMETERS else _read_json_parameter(key, value)
    return found


def _read_json_parameter(key: str, text: str) -> Any:
    try:
        return read_json(text)
    except Malformed as error:
        raise Malformed(f"{key} in the query string: {error}") from error


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Malformed("a name occurs twice in one JSON object")
    return made


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Malformed("a number in the JSON is over the range of floats")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object_of, parse_float=_finite, parse_constant=_refuse_constant)
