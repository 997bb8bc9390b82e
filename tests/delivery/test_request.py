"""GraphQL requests as HTTP carries them."""

import gzip
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.request import GraphQLRequest, HttpProblem, Malformed, parse_request, read_json

QUERY = "query A($id: ID) { device(id: $id) { status } }"


def post(body: bytes | str, content_type: str | None = "application/json") -> GraphQLRequest:
    return parse_request("POST", b"", content_type, body.encode() if isinstance(body, str) else body)


def get(**parameters: str) -> GraphQLRequest:
    return parse_request("GET", urlencode(parameters).encode(), None, b"")


@pytest.mark.parametrize(
    ("sent", "request_"),
    [
        ({"query": QUERY}, GraphQLRequest(QUERY)),
        ({"query": ""}, GraphQLRequest("")),
        ({"query": QUERY, "operationName": None, "variables": None, "extensions": None}, GraphQLRequest(QUERY)),
        ({"query": QUERY, "operationName": ""}, GraphQLRequest(QUERY)),
        (
            {"query": QUERY, "operationName": "A", "variables": {"id": 2**64 - 1}, "extensions": {"e": 0.1}, "id": 1},
            GraphQLRequest(QUERY, "A", {"id": 2**64 - 1}, {"e": 0.1}),
        ),
    ],
)
def test_post(sent, request_):
    """A JSON body holds the four parameters; null is the same as absent, and other names are ignored."""
    assert post(json.dumps(sent)) == request_


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;Charset="UTF-8"',
        "application/json;charset=utf8; odata=verbose",
    ],
)
def test_content_types(content_type):
    """JSON in UTF-8 is read however its Content-Type is spelled."""
    assert post('{"query":"{a}"}', content_type) == GraphQLRequest("{a}")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "json",
        "text/plain",
        "application/graphql",
        "application/graphql-response+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "application/json; charset",
        "application/json, application/json",
    ],
)
def test_other_content_types(content_type):
    """Any other content type, or none, is 415 and told what is accepted."""
    with pytest.raises(HttpProblem) as caught:
        post('{"query":"{a}"}', content_type)

    assert (caught.value.status, caught.value.headers) == (415, {"Accept": "application/json"})


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "X" * 1000])
def test_methods(method):
    """Methods other than GET and POST are 405 and told which there are."""
    with pytest.raises(HttpProblem) as caught:
        parse_request(method, b"query={a}", "application/json", b'{"query":"{a}"}')

    assert (caught.value.status, caught.value.headers) == (405, {"Allow": "GET, POST"})


def problem(body: bytes | str) -> HttpProblem:
    with pytest.raises(HttpProblem) as caught:
        post(body)
    assert caught.value.status == 400
    return caught.value


BODIES = [
    ("", "not valid JSON"),
    ("nonsense", "not valid JSON"),
    ('{"query":', "not valid JSON"),
    ("null", "the body"),
    ("1", "the body"),
    ('"x"', "the body"),
    ("true", "the body"),
    ('[{"query":"{a}"}]', "batching is not supported"),
    (b"\xff\xfe", "not UTF-8"),
    ('{"query":"{a}"}'.encode("utf-16"), "not UTF-8"),
    (gzip.compress(b'{"query":"{a}"}'), "compressed"),
    (b'\xef\xbb\xbf{"query":"{a}"}', "not valid JSON"),
    ("[" * 100_000, "nested"),
    ('{"query":"{a}","variables":{"a":' + "1" * 5_000 + "}}", "digits"),
    ('{"query":"{a}","variables":{"a":18446744073709551616}}', "64 bits"),
    ('{"query":"{a}","variables":{"a":NaN}}', "NaN"),
    ('{"query":"{a}","query":"{b}"}', "twice"),
    ('{"query":"\\ud800"}', "surrogate"),
    ("{}", "query"),
    ('{"qeury":"{a}"}', "query"),
    ('{"query":null}', "query"),
    ('{"query":["{a}"]}', "query"),
    ('{"query":"{a}","operationName":1}', "operationName"),
    ('{"query":"{a}","variables":[7]}', "variables"),
    ('{"query":"{a}","variables":"{}"}', "variables"),
    ('{"query":"{a}","extensions":false}', "extensions"),
]


@pytest.mark.parametrize(("body", "named"), BODIES, ids=range(len(BODIES)))
def test_bodies_that_are_no_request(body, named):
    """A body that holds no well-formed request is 400, with a sentence that names what is wrong."""
    assert named in problem(body).message


def test_a_problem_has_the_shape_of_a_response():
    """The body of a refusal is a GraphQL response, so that every client can show its sentence."""
    found = problem("{}")

    assert json.loads(found.body) == {"errors": [{"message": found.message, "extensions": {"code": "BAD_USER_INPUT"}}]}
    assert str(found) == found.message == "query must be a string, but is null or missing"


def test_get():
    """A query string holds query and operationName as text, variables and extensions as JSON."""
    assert get(query=QUERY) == GraphQLRequest(QUERY)
    assert get(query="{é + &}", operationName="", variables="null") == GraphQLRequest("{é + &}")
    assert get(query=QUERY, operationName="null", variables='{"id":"ü"}', extensions='{"e":1}', other="x") == (
        GraphQLRequest(QUERY, "null", {"id": "ü"}, {"e": 1})
    )


def test_get_as_text_and_unescaped():
    """A query string may be text, and may hold UTF-8 that should have been escaped."""
    assert parse_request("GET", "query={é}", None, b"") == GraphQLRequest("{é}")
    assert parse_request("GET", "query={é}".encode(), None, b"ignored") == GraphQLRequest("{é}")


@pytest.mark.parametrize(
    ("query_string", "named"),
    [
        (b"", "query must be a string"),
        (b"operationName=A", "query must be a string"),
        (b"query={a}&query={b}", "query occurs twice"),
        (b"query={a}&variables=", "variables in the query string"),
        (b"query={a}&variables=[1]", "variables must be an object"),
        (b"query={a}&variables={%22a%22:NaN}", "variables in the query string: NaN"),
        (b"query={a}&variables=" + b"[" * 100_000, "nested"),
        (b"query={a}&extensions=1", "extensions must be an object"),
        (b"query=%ff", "not UTF-8"),
        (b"query=\xff", "not UTF-8"),
        (b"query={a}" + b"&a=1" * 1_000, "over 64 fields"),
    ],
)
def test_query_strings_that_are_no_request(query_string, named):
    """A query string that holds no well-formed request is 400, with a sentence that names what is wrong."""
    with pytest.raises(HttpProblem) as caught:
        parse_request("GET", query_string, None, b"")

    assert caught.value.status == 400
    assert named in caught.value.message


@given(st.binary() | st.text().map(str.encode), st.text())
def test_no_request_does_worse_than_a_problem(data, content_type):
    """Any bytes in any place are a request or a problem with a status and a body."""
    for method in ("GET", "POST"):
        for kind in ("application/json", content_type):
            try:
                parse_request(method, data, kind, data)
            except HttpProblem as found:
                assert found.status in {400, 415}  # noqa: PT017 - some are requests
                assert json.loads(found.body)["errors"]  # noqa: PT017 - as above


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
TEXT = st.text()


@given(st.recursive(SCALARS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_json_is_read_as_it_was_written(value):
    """Every JSON value within the limits is read back exactly, escaped or not."""
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize(("levels", "taken"), [(254, True), (255, False)])
def test_depth_limit(levels, taken):
    """JSON may be nested 254 levels deep, and no more."""
    text = "[" * levels + "]" * levels
    if taken:
        assert json.dumps(read_json(text)) == text
    else:
        with pytest.raises(Malformed, match="254 levels"):
            read_json(text)
