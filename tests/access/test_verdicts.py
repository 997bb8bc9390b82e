import pytest

from graphql_api.access.keys import secret_key
from graphql_api.access.principal import Principal, Visibility
from graphql_api.access.tokens import TokenProblem, TokenRefused, TokenVerifier
from graphql_api.access.verdicts import Verdicts
from graphql_api.moment import SECOND, Moment
from tests.access.tokens_of import NOW, SECRET, good_claims, signed

PRINCIPAL = Principal("a", Visibility(frozenset({"1"}), False, frozenset()), Moment(NOW + SECOND))


def test_the_longest_unused_is_forgotten():
    """Beyond the limit the token that nobody has used for longest is forgotten, and no more are kept."""
    verdicts = Verdicts(limit=2)
    for digest in (b"a", b"b"):
        verdicts.put(digest, PRINCIPAL)
    assert verdicts.get(b"a", key_version=0, now=NOW) is PRINCIPAL
    verdicts.put(b"c", PRINCIPAL)
    found = {digest: verdicts.get(digest, key_version=0, now=NOW) for digest in (b"a", b"b", b"c")}
    assert found == {b"a": PRINCIPAL, b"b": None, b"c": PRINCIPAL}
    assert verdicts.statistics().remembered == 2


def test_nothing_is_remembered_beyond_its_expiry():
    """From the moment of its expiry a token is not known any more, and takes no room."""
    verdicts = Verdicts()
    verdicts.put(b"a", PRINCIPAL)
    assert verdicts.get(b"a", key_version=0, now=Moment(NOW + SECOND - 1)) is PRINCIPAL
    assert verdicts.get(b"a", key_version=0, now=Moment(NOW + SECOND)) is None
    assert verdicts.statistics().remembered == 0


def test_other_keys_make_all_unknown():
    """When the keys are others, every token is verified anew."""
    verdicts = Verdicts()
    verdicts.get(b"a", key_version=1, now=NOW)
    verdicts.put(b"a", PRINCIPAL)
    assert verdicts.get(b"a", key_version=1, now=NOW) is PRINCIPAL
    assert verdicts.get(b"a", key_version=2, now=NOW) is None
    assert verdicts.get(b"a", key_version=1, now=NOW) is None


def test_a_token_is_verified_once():
    """The second time the same principal comes from memory, and expiry is as exact as the first time."""
    clock = [NOW]
    verifier = TokenVerifier([secret_key(SECRET)], clock=lambda: clock[0])
    token = signed(good_claims(exp=NOW // SECOND + 1))
    assert verifier.verify(token) is verifier.verify(token)
    assert (verifier.statistics().hits, verifier.statistics().misses) == (1, 1)
    clock[0] = Moment(NOW + SECOND)
    with pytest.raises(TokenRefused) as refused:
        verifier.verify(token)
    assert refused.value.reason is TokenProblem.EXPIRED


def test_refusals_are_not_remembered():
    """However many bad tokens come, none takes room."""
    verifier = TokenVerifier([secret_key(SECRET)], clock=lambda: NOW)
    for number in range(50):
        for token in (
            signed(good_claims(jti=number), "x" * 40),
            signed(good_claims(exp=number)),
            f"{number}",
            "\ud800",
        ):
            with pytest.raises(TokenRefused):
                verifier.verify(token)
    assert verifier.statistics().remembered == 0
