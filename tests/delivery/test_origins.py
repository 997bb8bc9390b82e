"""Whose pages may use the service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.close_codes import close_reason
from graphql_api.delivery.origins import Origins, origin_of, own_origin_of, refusal_of

OWN = "http://status.example:8000"


@pytest.mark.parametrize(
    ("allowed", "public_url", "origin", "own", "expected"),
    [
        ((), None, None, OWN, True),
        ((), None, OWN, OWN, True),
        ((), None, "HTTP://STATUS.example:8000", OWN, True),
        ((), None, "https://status.example:8000", OWN, False),
        ((), None, "http://status.example", OWN, False),
        ((), None, "http://status.example", "http://status.example:80", True),
        ((), None, "https://status.example:443", "https://status.example", True),
        ((), None, "http://status.example.evil.example", "http://status.example", False),
        ((), None, "null", OWN, False),
        ((), None, "null", "null", False),
        ((), None, "", OWN, False),
        ((), None, "http://[::1", OWN, False),
        (("null",), None, "null", OWN, True),
        (("https://app.example",), None, "https://app.example", OWN, True),
        (("https://app.example",), None, "https://app.example:443", OWN, True),
        (("https://app.example",), None, "http://app.example", OWN, False),
        (("https://app.example",), None, "https://app.example.evil.example", OWN, False),
        (("https://app.example",), None, "https://app.example, https://app.example", OWN, False),
        (("*",), None, "https://anything.example", OWN, True),
        ((), "https://public.example", "https://public.example", OWN, True),
        ((), "https://public.example", OWN, OWN, False),
    ],
)
def test_an_origin_is_let_in_or_not(allowed, public_url, origin, own, expected):
    """The own origin is what the public URL says, or else the request; others have to be listed, null among them."""
    assert Origins(allowed, public_url).allow(origin, own) is expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_but_the_own_origin_is_let_in_by_default(origin, host):
    """Whatever a client sends as origin and host, without settings only an origin equal to its own is let in."""
    own = f"http://{host}"
    if Origins().allow(origin, own):
        assert origin.lower().removesuffix(":80") == own.lower().removesuffix(":80")


def test_headers_say_who_asks_whom():
    """Origin and Host are read from the handshake; a WebSocket's scheme counts as that of its pages."""
    headers = [(b"host", b"a.example:1"), (b"origin", b"https://b.example")]
    assert origin_of({"headers": headers}) == "https://b.example"
    assert origin_of({"headers": headers * 2}) == "https://b.example, https://b.example"
    assert origin_of({"headers": []}) is None
    for scheme, own in [("ws", "http"), ("wss", "https"), ("http", "http"), ("https", "https")]:
        assert own_origin_of({"scheme": scheme, "headers": headers}) == f"{own}://a.example:1"


@given(st.text())
def test_a_refusal_names_the_setting_even_when_it_is_cut(origin):
    """The reason of the close frame begins with its kind, and names the setting, however long the origin is."""
    reason = close_reason(refusal_of(origin))
    assert reason.startswith("origin-refused: DEVICE_STATUS_ALLOWED_ORIGINS doesn't list ")
    assert reason.isprintable()


def test_cors_headers_are_for_listed_origins():
    """A listed origin is named in the answer, without credentials; others, and the own one, get no permission."""
    origins = Origins(["https://app.example", "null"])
    for origin in ("https://app.example", "null"):
        headers = dict(origins.cors_headers(origin, OWN))
        assert headers[b"access-control-allow-origin"] == origin.encode()
        assert headers[b"vary"] == b"Origin"
        assert b"access-control-allow-credentials" not in headers
    for origin in (None, OWN, "https://evil.example"):
        assert origins.cors_headers(origin, OWN) == [(b"vary", b"Origin")]
    assert Origins().cors_headers("https://app.example", OWN) == []
