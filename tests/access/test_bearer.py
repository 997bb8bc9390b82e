import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.access.bearer import token_from_header, token_from_payload
from graphql_api.access.tokens import TokenProblem, TokenRefused


@pytest.mark.parametrize("value", ["Bearer a.b-c_d", "bearer a.b-c_d", "BEARER   a.b-c_d", " Bearer a.b-c_d\t"])
def test_a_header_with_a_token(value):
    """The header's scheme may have any case, and space around."""
    assert token_from_header(value) == "a.b-c_d"


def test_no_header():
    """Without a header there is no token, and that is no error here."""
    assert token_from_header(None) is None


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic dTpw", "a.b.c", "Bearer a b", "Bearer a, Bearer b", "Bearer a\n", "Bearer ä"],
)
def test_a_header_with_anything_else(value):
    """Another scheme, no token or several are refused as an invalid token."""
    with pytest.raises(TokenRefused) as refused:
        token_from_header(value)
    assert refused.value.reason is TokenProblem.INVALID


@pytest.mark.parametrize("key", ["authorization", "Authorization", "AUTHORIZATION"])
def test_a_payload_with_authorization(key):
    """The payload's authorization is found in any case."""
    assert token_from_payload({key: "Bearer abc", "resumeFrom": {}}) == "abc"


@pytest.mark.parametrize("value", ["abc", "Bearer abc", "bearer abc"])
def test_a_payload_with_a_token(value):
    """The payload's token may come with Bearer or without."""
    assert token_from_payload({"token": value}) == "abc"


@pytest.mark.parametrize(
    "payload", [None, {}, {"resumeFrom": {}}, {"Token": "abc"}, {"token": None}, {"authorization": None}]
)
def test_a_payload_without_a_token(payload):
    """A payload that names no token, or none at all, is no error here."""
    assert token_from_payload(payload) is None


def test_authorization_wins_over_token():
    """When a payload has both, authorization counts."""
    assert token_from_payload({"token": "a", "authorization": "Bearer b"}) == "b"


def test_two_authorizations_that_agree():
    """Clients that send the key in two cases are fine as long as both say the same."""
    assert token_from_payload({"authorization": "Bearer a", "Authorization": "bearer a"}) == "a"


@pytest.mark.parametrize(
    "payload",
    [
        {"authorization": 5},
        {"authorization": "abc"},
        {"authorization": ""},
        {"authorization": ["Bearer abc"]},
        {"token": {}},
        {"token": ""},
        {"token": "Basic dTpw"},
        {"authorization": "Bearer a", "Authorization": "Bearer b"},
    ],
)
def test_a_payload_with_anything_else(payload):
    """A token that is no text, or no token, is refused as invalid."""
    with pytest.raises(TokenRefused) as refused:
        token_from_payload(payload)
    assert refused.value.reason is TokenProblem.INVALID


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["authorization", "Authorization", "token"]) | st.text(), json_values))
def test_no_payload_crashes(payload):
    """Whatever JSON object a payload is: a token of visible ASCII, none, or a refusal."""
    try:
        token = token_from_payload(payload)
    except TokenRefused:
        return
    assert token is None or (token.isascii() and token.isprintable() and " " not in token)
