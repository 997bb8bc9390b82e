"""Accept headers as clients send them, and the status that goes with the answer."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graphql_api.delivery.negotiation import MediaType, choose, parse_media_type, status_for

GRAPHQL, JSON, SSE, MULTIPART = (
    MediaType.GRAPHQL_RESPONSE,
    MediaType.JSON,
    MediaType.EVENT_STREAM,
    MediaType.MULTIPART,
)

# What clients send, by name, and what they are answered with: (query, subscription).
CLIENTS = {
    "nothing": (None, JSON, SSE),
    "empty": ("", JSON, SSE),
    "curl, fetch, gql": ("*/*", JSON, SSE),
    "axios": ("application/json, text/plain, */*", JSON, SSE),
    "Apollo Client, query": ("application/graphql-response+json,application/json;q=0.9", GRAPHQL, None),
    "Apollo Client, older": ("*/*", JSON, SSE),
    "Apollo Client, @defer": (
        "multipart/mixed;deferSpec=20220824,application/graphql-response+json,application/json;q=0.9",
        GRAPHQL,
        None,
    ),
    "Apollo Client 3, subscription": (
        "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json",
        JSON,
        MULTIPART,
    ),
    "Apollo Client 4, subscription": (
        "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9",
        GRAPHQL,
        MULTIPART,
    ),
    "Apollo's documentation": ('multipart/mixed;subscriptionSpec="1.0", application/json', JSON, MULTIPART),
    "urql": (
        "application/graphql-response+json,application/graphql+json,application/json,text/event-stream,multipart/mixed",
        GRAPHQL,
        SSE,
    ),
    "EventSource, graphql-sse": ("text/event-stream", SSE, SSE),
    "GraphiQL": ("application/json, multipart/mixed", JSON, MULTIPART),
    "the specification's advice": (
        "application/graphql-response+json; charset=utf-8, application/json; charset=utf-8",
        GRAPHQL,
        None,
    ),
    "a browser": ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON, SSE),
    "Java": ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON, SSE),
    "an image": ("image/png", None, None),
}


@pytest.mark.parametrize(("accept", "query", "subscription"), CLIENTS.values(), ids=CLIENTS)
def test_clients(accept, query, subscription):
    """Each known client gets what it can read best, for a query and for a subscription."""
    assert choose(accept, subscription=False) is query
    assert choose(accept, subscription=True) is subscription


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        # q-values, then what is named over wildcards, then order
        ("application/json;q=0.5, application/graphql-response+json;q=0.6", GRAPHQL),
        ("application/json, application/graphql-response+json", JSON),
        ("application/graphql-response+json, application/json", GRAPHQL),
        ("*/*, application/graphql-response+json", GRAPHQL),
        ("application/*, application/graphql-response+json", GRAPHQL),
        ("application/*", JSON),
        ("*/*;q=0.1, application/graphql-response+json;q=0", JSON),
        ("application/json;q=0, */*", GRAPHQL),
        # the most specific range decides, wherever it stands
        ("application/json;q=0, application/*;q=1, application/graphql-response+json;q=0.1", GRAPHQL),
        ("application/json;charset=utf-8;q=0.1, application/json, application/graphql-response+json;q=0.5", GRAPHQL),
        ("application/json;charset=utf-16", None),
        ("application/json;version=2", None),
        # streams only when JSON can't be, or is liked less
        ("text/event-stream, application/json", JSON),
        ("text/event-stream, application/json;q=0.9", SSE),
        ("text/event-stream;q=0.8, application/json;q=0.9", JSON),
        ("text/event-stream;q=0.8, application/json;q=0", SSE),
        ("text/*", SSE),
        ("multipart/mixed", MULTIPART),
        ("text/event-stream, */*;q=0.1", SSE),
        ("*/*;q=0", None),
        ("application/json;q=0", None),
    ],
)
def test_queries(accept, chosen):
    """A query is answered by weight, then specificity, then order, and streamed only where that is preferred."""
    assert choose(accept, subscription=False) is chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/json", None),
        ("application/json, */*;q=0.1", SSE),
        ("text/event-stream;q=0.1, application/json", SSE),
        ("text/event-stream;q=0", None),
        ("text/event-stream;q=0, */*", MULTIPART),
        ("text/event-stream;q=0.5, multipart/mixed;q=0.6", MULTIPART),
        ("multipart/mixed, text/event-stream", MULTIPART),
        ("text/event-stream, multipart/mixed;subscriptionSpec=1.0", SSE),
        ("*/*, multipart/mixed", MULTIPART),
        ("text/*, multipart/mixed", MULTIPART),
        ("*/*, multipart/*", MULTIPART),
        ("multipart/mixed;subscriptionSpec=2.0", None),
        ("multipart/mixed;boundary=other;subscriptionSpec=1.0", MULTIPART),
        ("multipart/mixed;q=0, multipart/mixed;subscriptionSpec=1.0", MULTIPART),
    ],
)
def test_subscriptions(accept, chosen):
    """A subscription gets the stream that is liked best, if any is accepted at all."""
    assert choose(accept, subscription=True) is chosen


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("nonsense", JSON),
        (",,,", JSON),
        ("application/json;q=high, application/graphql-response+json;q=0.1", GRAPHQL),
        ("application/json;q=2, application/graphql-response+json;q=0.1", GRAPHQL),
        ("*/json, application/graphql-response+json", GRAPHQL),
        (";q=1, /, a/, /b, text/event-stream", SSE),
        ('text/event-stream;x="a,b;q=0\\"", application/graphql-response+json', GRAPHQL),
        ('application/json;charset="utf-8', JSON),
        ("APPLICATION/JSON ; Q=1", JSON),
        ("application/json;;q=0.5;", JSON),
    ],
)
def test_malformed_headers(accept, chosen):
    """What can't be read is left out, and a header with nothing readable says as much as none."""
    assert choose(accept, subscription=False) is chosen


@given(st.text(), st.booleans())
@example('a/b;c="\\', False)
@example('"', True)
def test_no_header_does_worse_than_none_acceptable(accept, subscription):
    """Any text at all as Accept chooses a media type or none."""
    chosen = choose(accept, subscription=subscription)

    assert chosen in {None, *MediaType}
    assert not subscription or chosen in {None, SSE, MULTIPART}


@pytest.mark.parametrize("member", ["application/json,", "a/b;", '"\\', ","])
def test_long_headers_cost_little(member):
    """A header of 64 KiB made to be slow costs milliseconds of CPU at most."""
    before = time.process_time()
    choose(member * (65_536 // len(member)), subscription=False)

    assert time.process_time() - before < 0.1


def test_parameters_are_read_with_their_quotes():
    """A parameter is a token or a quoted string with escapes, and the first of two counts."""
    parsed = parse_media_type('Text/Plain; A="x\\"; y" ;b=2;B=3')

    assert parsed is not None
    assert (parsed.name, parsed.parameters) == ("text/plain", {"a": 'x"; y', "b": "2"})


@pytest.mark.parametrize(
    ("media_type", "has_data", "status"),
    [
        (GRAPHQL, True, 200),
        (GRAPHQL, False, 400),
        (JSON, True, 200),
        (JSON, False, 200),
        (SSE, False, 200),
        (MULTIPART, False, 200),
    ],
)
def test_status(media_type, has_data, status):
    """Only application/graphql-response+json tells by the status that nothing was executed."""
    assert status_for(media_type, has_data=has_data) == status


def test_content_types():
    """The headers are those that the protocols ask for."""
    assert [type_.content_type for type_ in MediaType] == [
        "application/graphql-response+json; charset=utf-8",
        "application/json; charset=utf-8",
        "text/event-stream; charset=utf-8",
        'multipart/mixed;boundary="graphql";subscriptionSpec=1.0',
    ]
