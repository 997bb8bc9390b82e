"""What answers say to browsers, without a server."""

import pytest

from graphql_api.delivery.headers import security_headers, serve_with_headers
from graphql_api.delivery.origins import Origins
from graphql_api.refusals import Refusals

pytestmark = pytest.mark.anyio


def policy(content_type):
    return dict(security_headers(content_type))[b"content-security-policy"].decode()


def test_pages_may_use_what_comes_with_them_and_nothing_else():
    """A page's policy names no host, allows no script but files of its own, and no framing."""
    page = policy(b"text/html; charset=utf-8")
    rules = dict(rule.strip().split(" ", 1) for rule in page.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["worker-src"] == "'self'"
    assert "http" not in page
    assert "*" not in page


@pytest.mark.parametrize("content_type", [b"application/json", b"text/event-stream", b"text/plain", b""])
def test_data_may_do_nothing(content_type):
    """What is no page may load nothing at all when it is opened as one."""
    assert policy(content_type).startswith("default-src 'none'; frame-ancestors 'none'")


async def test_what_the_application_says_itself_counts():
    """A header that the application sets is left alone, and bodies pass through as they come."""
    sent = []

    async def app(_scope, _receive, send):
        headers = [(b"Content-Security-Policy", b"mine"), (b"vary", b"Accept")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(3):
            await send({"type": "http.response.body", "body": str(number).encode(), "more_body": number < 2})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "scheme": "http", "headers": [(b"origin", b"https://a.example")]}
    origins = Origins(["https://a.example"])
    await serve_with_headers(app, scope, None, send, origins, Refusals())
    start, *bodies = sent
    assert [value for name, value in start["headers"] if name == b"content-security-policy"] == [b"mine"]
    assert [value for name, value in start["headers"] if name == b"vary"] == [b"Accept", b"Origin"]
    assert (b"access-control-allow-origin", b"https://a.example") in start["headers"]
    assert [(body["body"], body["more_body"]) for body in bodies] == [(b"0", True), (b"1", True), (b"2", False)]
