"""GraphQL over HTTP to the letter, one row for each demand.

Source: graphql.github.io/graphql-over-http, sections "Serialization Format", "Request" and "Response"; what the audits
of github.com/graphql/graphql-http look at is all here. Where an audit and the specification's text part (the status of
a request that is not well-formed, under ``application/json``), it is the text that holds: 400.
"""

import gzip
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.wire.clients import http_client

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_logged")]

JSON = "application/json"
RESULT = "application/graphql-response+json"
STREAM = "text/event-stream"
APOLLO_MULTIPART = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json'
APOLLO = f"{RESULT},{JSON};q=0.9"
URQL = f"{RESULT}, application/graphql+json, {JSON}, {STREAM}, multipart/mixed"
QUERY = "{ __typename }"
WITH_VARIABLE = "query Type($name: String!) { __type(name: $name) { name } }"
MUTATION = 'mutation { retireDevices(deviceIds: ["a"]) { id } }'
SUBSCRIPTION = "subscription { deviceStatus { deviceId } }"
DATA = {"data": {"__typename": "Query"}}


@dataclass(frozen=True)
class Ask:
    """One request. Without ``content``, the body is the JSON of ``body``; GET has parameters instead."""

    body: Any = None
    accept: str | None = JSON
    method: str = "POST"
    content: bytes | None = None
    content_type: str | None = JSON
    params: dict[str, str] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    async def of(self, server) -> httpx.Response:
        headers = dict(self.headers)
        content = self.content
        if content is None and self.body is not None:
            content = json.dumps(self.body).encode()
        if self.method == "POST" and self.content_type is not None:
            headers["content-type"] = self.content_type
        async with http_client() as client:
            request = client.build_request(
                self.method, server.http, content=content, params=self.params, headers=headers
            )
            if self.accept is None:
                del request.headers["accept"]
            else:
                request.headers["accept"] = self.accept
            return await client.send(request)


def named(value: object) -> str:
    """A parameter in a test's name: some have a million characters."""
    if isinstance(value, Ask):
        shown = value.content if value.content is not None else value.body or value.params
        return f"{value.method}-{shown!a}"[:60] + f"-{value.accept}"[:40]
    return ascii(value)[:60]


def check_answer(response: httpx.Response, status: int, media_type: str) -> dict[str, Any]:
    """That the answer has this status and type, is UTF-8 and well-formed; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    answer = json.loads(response.content.decode("utf-8"))
    assert set(answer) <= {"data", "errors", "extensions"}
    for error in answer.get("errors", [{"message": ""}]):
        assert isinstance(error["message"], str)
    return answer


# What the client accepts, and what it is answered with.
ACCEPTED = [
    (JSON, JSON),
    (RESULT, RESULT),
    ("*/*", JSON),
    ("application/*", JSON),
    (None, JSON),
    ("", JSON),
    ("nonsense", JSON),
    (";;;,,,", JSON),
    (APOLLO, RESULT),
    (URQL, RESULT),
    (f"{JSON}, {RESULT}", JSON),
    (f"{RESULT}, {JSON}", RESULT),
    (f"{RESULT};q=0.5, {JSON};q=0.6", JSON),
    (f"{RESULT};q=0.6, {JSON};q=0.5", RESULT),
    (f"{RESULT};q=0, */*", JSON),
    (f"{JSON};q=0, */*", RESULT),
    (f"{JSON};q=0.1, image/png", JSON),
    (f"{JSON}; charset=utf-8", JSON),
    (f"{JSON};CHARSET=UTF-8", JSON),
    (JSON.upper(), JSON),
    (APOLLO_MULTIPART, JSON),
    (f"multipart/mixed;deferSpec=20220824,{APOLLO}", RESULT),
    (f"{STREAM}, {JSON}", JSON),
    (f"{STREAM}, */*", JSON),
    (f"{STREAM};q=0.5, {JSON};q=0.5", JSON),
    (f"{STREAM};q=0, {RESULT}", RESULT),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
    (", ".join(["x/y"] * 2_000), None),
]


@pytest.mark.parametrize(("accept", "media_type"), ACCEPTED, ids=named)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_answer_has_the_type_that_is_liked_best(standing_server, method, accept, media_type):
    """Accept is weighed as RFC 9110 says; a result comes as JSON wherever a client merely lists a stream too."""
    ask = Ask({"query": QUERY}, accept) if method == "POST" else Ask(None, accept, "GET", params={"query": QUERY})
    response = await ask.of(standing_server)
    if media_type is None:
        assert response.status_code == 406
    else:
        assert check_answer(response, 200, media_type) == DATA


@pytest.mark.parametrize("accept", [STREAM, f"{STREAM}, {JSON};q=0.9", "text/*"])
async def test_a_query_is_streamed_to_whoever_prefers_that(standing_server, accept):
    """Where a stream is preferred, a query's result comes in one: lines end with LF alone."""
    response = await Ask({"query": QUERY}, accept).of(standing_server)
    assert response.headers["content-type"] == f"{STREAM}; charset=utf-8"
    assert "\r" not in response.text
    blocks = [block for block in response.text.split("\n\n") if block]
    assert blocks == [f"event: next\ndata: {json.dumps(DATA, separators=(',', ':'))}", "event: complete\ndata:"]


@pytest.mark.parametrize(
    "accept", ["image/png", "text/html", f"{JSON};q=0", "*/*;q=0", f"{JSON};charset=latin1", "multipart/mixed;q=0"]
)
async def test_what_nobody_can_answer_is_406_in_json(standing_server, accept):
    """An Accept that allows nothing the service has is answered with 406 and a sentence in JSON."""
    answer = check_answer(await Ask({"query": QUERY}, accept).of(standing_server), 406, JSON)
    assert "Accept" in answer["errors"][0]["message"]


GOOD = [
    Ask({"query": QUERY}, content_type="application/json; charset=utf-8"),
    Ask({"query": QUERY}, content_type='APPLICATION/JSON;Charset="UTF-8"'),
    Ask({"query": QUERY}, content_type="application/json;x=y"),
    Ask({"query": QUERY, "variables": None, "operationName": None, "extensions": None}),
    Ask({"query": QUERY, "variables": {}, "extensions": {"some": "value"}, "id": 7}),
    Ask({"query": "query Query { __typename }", "operationName": "Query"}),
    Ask(
        {
            "query": "query A { __schema { description } } query B { __typename }",
            "operationName": "B",
        }
    ),
    Ask({"query": QUERY, "operationName": ""}),
    Ask(content=b'\n\t {"query":"{__typename}"} \r\n'),
    Ask(content=b'{"query":"{ __typename }","variables":{"unused":18446744073709551615}}'),
    Ask({"query": QUERY}, headers={"accept-charset": "latin1", "content-language": "de"}),
    Ask(method="GET", params={"query": QUERY}),
    Ask(method="GET", params={"query": QUERY, "operationName": ""}),
    Ask(method="GET", params={"query": QUERY, "variables": "null", "extensions": "{}"}),
    Ask(method="GET", params={"query": QUERY, "unknown": "parameter"}),
]


@pytest.mark.parametrize("accept", [JSON, RESULT])
@pytest.mark.parametrize("ask", GOOD, ids=named)
async def test_well_formed_requests_are_answered(standing_server, ask, accept):
    """Null, absent, empty and unknown parameters are no obstacle, nor are other ways to say application/json."""
    ask = Ask(**{**ask.__dict__, "accept": accept})
    assert check_answer(await ask.of(standing_server), 200, accept) == DATA


@pytest.mark.parametrize("accept", [JSON, RESULT])
async def test_variables_are_taken_from_body_and_url(standing_server, accept):
    """Variables are a JSON object in the body, and the JSON of one in the URL."""
    variables = {"name": "Device"}
    posted = Ask({"query": WITH_VARIABLE, "variables": variables}, accept)
    got = Ask(None, accept, "GET", params={"query": WITH_VARIABLE, "variables": json.dumps(variables)})
    for ask in (posted, got):
        answer = check_answer(await ask.of(standing_server), 200, accept)
        assert answer == {"data": {"__type": {"name": "Device"}}}


WRONG = {
    "query": ({"obj": "ect"}, 0, False, ["array"], None),
    "operationName": ({"obj": "ect"}, 0, False, ["array"]),
    "variables": ("string", 0, False, ["array"]),
    "extensions": ("string", 0, False, ["array"]),
}
DEEP = 100_000
# What is no well-formed request, and what the answer has to name.
MALFORMED = [
    *((Ask({"query": QUERY, name: value}), name) for name, values in WRONG.items() for value in values),
    (Ask({"qeury": QUERY}), "query"),
    (Ask({}), "query"),
    (Ask([{"query": QUERY}]), "batching"),
    (Ask([]), "body"),
    *((Ask(content=text), "body") for text in (b"null", b"0", b"true", b'"{ __typename }"', b"1e5")),
    *((Ask(content=text), "JSON") for text in (b"", b" ", b"{", b'{ "not a JSON', b"{ __typename }", b"query={x}")),
    (Ask(content=b'{"query": "{ __typename }"} trailing'), "JSON"),
    (Ask(content=b"\xef\xbb\xbf{}"), "JSON"),
    *((Ask(content=text), "UTF-8") for text in (b"\xff\xfe{", b'{"query":"\xc3"}', b'{"query":"\xed\xa0\x80"}')),
    (Ask(content=gzip.compress(b'{"query": "{ __typename }"}'), headers={"content-encoding": "gzip"}), "UTF-8"),
    (Ask(content=json.dumps({"query": QUERY}).encode("utf-16")), "UTF-8"),
    (Ask(content=b"[" * DEEP), "deep"),
    (Ask(content=b'{"query":"{x}","variables":' + b'{"x":' * DEEP + b"1" + b"}" * DEEP + b"}"), "deep"),
    *(
        (Ask(content=b'{"query":"{ __typename }","variables":{"x":' + value + b"}}"), named)
        for value, named in (
            (b"NaN", "NaN"),
            (b"-Infinity", "Infinity"),
            (b"1e999", "range"),
            (b"9" * 500, "integer"),
            (b"9" * 500_000, "integer"),
            (b"18446744073709551616", "integer"),
            (b'"\\ud800"', "surrogate"),
            (b'{"a":1,"a":2}', "twice"),
            (b"\0", "JSON"),
        )
    ),
    (Ask(method="GET"), "query"),
    (Ask(method="GET", params={"query": QUERY, "variables": "{"}), "variables"),
    (Ask(method="GET", params={"query": QUERY, "variables": "[]"}), "variables"),
    (Ask(method="GET", params={"query": QUERY, "variables": '{"x":NaN}'}), "variables"),
    (Ask(method="GET", params={"query": QUERY, "variables": "[" * 5_000}), "variables"),
    (Ask(method="GET", params={"query": QUERY, "extensions": "7"}), "extensions"),
]


@pytest.mark.parametrize("accept", [JSON, RESULT, STREAM])
@pytest.mark.parametrize(("ask", "names"), MALFORMED, ids=named)
async def test_a_request_that_is_not_well_formed_is_400_in_json(standing_server, ask, names, accept):
    """Whatever the body or the URL holds, what is no GraphQL request gets 400, errors without data, and a reason."""
    ask = Ask(**{**ask.__dict__, "accept": accept})
    answer = check_answer(await ask.of(standing_server), 400, JSON if accept == STREAM else accept)
    assert names in answer["errors"][0]["message"]
    assert "data" not in answer


@pytest.mark.parametrize(
    "query_string",
    [f"query={quote(QUERY)}&query={quote(QUERY)}", "query=%ff", "query=%ed%a0%80", "&".join(["a=b"] * 100)],
)
async def test_a_url_that_cannot_be_read_is_400(standing_server, query_string):
    """A parameter twice, percent-encoded bytes that are no UTF-8, or parameters without end: 400 in JSON."""
    async with http_client() as client:
        response = await client.get(f"{standing_server.http}?{query_string}", headers={"accept": JSON})
    assert "data" not in check_answer(response, 400, JSON)


# Well-formed requests that are not executed: 200 under application/json, 400 under the newer type.
NOT_EXECUTED = [
    {"query": ""},
    {"query": "{"},
    {"query": "{ \0 }"},
    {"query": "{a" * DEEP},
    {"query": "{ a(b: " + "[" * DEEP + "]" * DEEP + ") }"},
    {"query": "{ 8f31403dfe404bccbb0e835f2629c6a7 }"},
    {"query": "{ nothing }"},
    {"query": "{ devices(first: " + "9" * 5_000 + ") { totalCount } }"},
    {"query": QUERY, "operationName": "Q"},
    {"query": "query A { __typename } query B { __typename }"},
    {"query": WITH_VARIABLE},
    {"query": WITH_VARIABLE, "variables": {"name": 7}},
]


@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (RESULT, 400)])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("body", NOT_EXECUTED, ids=named)
async def test_what_is_not_executed_has_errors_and_no_data(standing_server, body, method, accept, status):
    """A document that does not parse or validate, or can't begin, has errors alone, and its type's own status."""
    if method == "GET" and len(body["query"]) > 10_000:
        pytest.skip("a URL can't be that long")
    params = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    ask = Ask(body, accept) if method == "POST" else Ask(None, accept, "GET", params=params)
    answer = check_answer(await ask.of(standing_server), status, accept)
    assert answer["errors"]
    assert "data" not in answer


@pytest.mark.parametrize("accept", [JSON, RESULT])
async def test_what_was_executed_is_200_though_it_has_errors(standing_server, accept):
    """An error of a field leaves data, be it null, and the status is 200 under either type."""
    answer = check_answer(await Ask({"query": "{ viewer { id } }"}, accept).of(standing_server), 200, accept)
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


OTHER_METHODS = ("PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND")


@pytest.mark.parametrize("method", OTHER_METHODS)
async def test_other_methods_are_405_and_told_which_are_right(standing_server, method):
    """Anything but GET and POST is 405 with Allow, and JSON where there may be a body."""
    response = await Ask(method=method, content=b"").of(standing_server)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    if method == "HEAD":
        assert response.content == b""
    else:
        assert check_answer(response, 405, JSON)["errors"]


@pytest.mark.parametrize("accept", [JSON, RESULT, STREAM, APOLLO_MULTIPART])
@pytest.mark.parametrize(
    "params",
    [{"query": MUTATION}, {"query": f"query Q {QUERY} {MUTATION.replace('{', 'M {', 1)}", "operationName": "M"}],
)
async def test_a_mutation_over_get_is_405_and_not_executed(standing_server, params, accept):
    """GET is for what changes nothing: a mutation gets 405 with Allow: POST, whatever is accepted."""
    response = await Ask(None, accept, "GET", params=params).of(standing_server)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "data" not in response.json()


@pytest.mark.parametrize("accept", [JSON, RESULT, f"{JSON}, image/png"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_subscription_needs_a_stream(standing_server, method, accept):
    """Who accepts no stream gets 406 for a subscription, with a sentence that says what would do."""
    body = {"query": SUBSCRIPTION}
    ask = Ask(body, accept) if method == "POST" else Ask(None, accept, "GET", params=body)
    response = await ask.of(standing_server)
    assert response.status_code == 406
    assert STREAM in response.json()["errors"][0]["message"]


OTHER_CONTENT_TYPES = [
    None, "", "text/plain", "application/graphql", "application/x-www-form-urlencoded",
    "multipart/form-data;boundary=x",
    "application/json-patch+json", "application/jsonx", "nonsense", "application/json; charset=utf-16",
    "application/json;charset=latin1", "application/json, text/plain", "application/json;;charset",
]  # fmt: skip


@pytest.mark.parametrize("content_type", OTHER_CONTENT_TYPES, ids=named)
async def test_another_content_type_is_415_and_told_which_is_right(standing_server, content_type):
    """A body that is not said to be JSON in UTF-8 is not read: 415, with Accept, so no browser form gets in."""
    response = await Ask({"query": QUERY}, content_type=content_type).of(standing_server)
    assert check_answer(response, 415, JSON)["errors"]
    assert response.headers["accept"] == JSON


async def test_the_body_limit_is_exact(standing_server):
    """A body of 2 MiB is read, one byte more is 413, whether its length is said beforehand or not."""
    limit = 2 * 1024 * 1024
    fits = json.dumps({"query": QUERY}).encode().ljust(limit)

    async def in_chunks(body: bytes):
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async with http_client() as client:
        headers = {"content-type": JSON, "accept": JSON}
        for body, status in ((fits, 200), (fits + b" ", 413)):
            for content in (body, in_chunks(body)):
                response = await client.post(standing_server.http, content=content, headers=headers)
                assert check_answer(response, status, JSON)


@pytest.mark.parametrize(("accept", "media_type"), [(JSON, JSON), (RESULT, RESULT), (STREAM, JSON)])
async def test_a_refused_token_is_401_as_the_client_reads_it(standing_server, accept, media_type):
    """A token that is no good is 401 with WWW-Authenticate in every media type, and comes before the document."""
    ask = Ask({"query": "{"}, accept, headers={"authorization": "Bearer nonsense"})
    response = await ask.of(standing_server)
    assert check_answer(response, 401, media_type)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert response.headers["www-authenticate"].startswith("Bearer ")


async def test_no_answer_is_kept_by_a_cache(standing_server):
    """Every answer says that it must not be stored: it is one caller's own."""
    for ask in (Ask({"query": QUERY}), Ask(content=b"{"), Ask(None, JSON, "GET", params={"query": QUERY})):
        assert (await ask.of(standing_server)).headers["cache-control"] == "no-store"
