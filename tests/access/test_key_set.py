import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

from graphql_api.access.key_set import KEY_SET_LIMIT, KEYS_LIMIT, parse_key_set
from tests.access.issuer import jwk_of
from tests.access.tokens_of import SECRET


@pytest.fixture(scope="module")
def good_key(private_keys):
    return jwk_of(private_keys["ES256"], "ES256", kid="good")


def parsed(*keys):
    return parse_key_set(json.dumps({"keys": keys}).encode())


def test_each_type_becomes_the_key_of_its_algorithm(private_keys):
    """RSA, EC P-256 and Ed25519 keys become RS256, ES256 and EdDSA keys with their names, alg and use or none."""
    plain = [jwk_of(key, algorithm, kid=f"k-{algorithm}") for algorithm, key in private_keys.items()]
    full = [{**key, "alg": key["kid"][2:], "use": "sig", "key_ops": ["verify"]} for key in plain]
    for keys in (plain, full):
        found = parsed(*keys)
        assert [(key.algorithm, key.key_id) for key in found.keys] == [
            ("RS256", "k-RS256"),
            ("ES256", "k-ES256"),
            ("EdDSA", "k-EdDSA"),
        ]
        assert found.skipped == 0


def odd_keys():
    """Keys that must not be used, by what is wrong with them."""
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = jwk_of(rsa_key, "RS256")
    return {
        "a secret": HMACAlgorithm.to_jwk(SECRET.encode(), as_dict=True),
        "a secret called RS256": {**HMACAlgorithm.to_jwk(SECRET.encode(), as_dict=True), "alg": "RS256"},
        "a secret called RSA": {"kty": "RSA", "k": "c2VjcmV0", "alg": "HS256"},
        "a public key for HS256": {**good, "alg": "HS256"},
        "another hash": {**good, "alg": "RS512"},
        "alg none": {**good, "alg": "none"},
        "alg of another type": {**good, "alg": ["RS256"]},
        "a private key": RSAAlgorithm.to_jwk(rsa_key, as_dict=True),
        "a small key": jwk_of(rsa.generate_private_key(public_exponent=65537, key_size=1024), "RS256"),
        "another curve": jwk_of(ec.generate_private_key(ec.SECP384R1()), "ES384"),
        "for encryption": {**good, "use": "enc"},
        "not for verifying": {**good, "key_ops": ["encrypt"]},
        "odd operations": {**good, "key_ops": 5},
        "a name that is no text": {**good, "kid": 5},
        "no type": {name: value for name, value in good.items() if name != "kty"},
        "an odd type": {**good, "kty": {}},
        "a modulus that is none": {**good, "n": "!!"},
        "a modulus of another type": {**good, "n": 5},
        "no modulus": {name: value for name, value in good.items() if name != "n"},
        "no object": "good",
        "null": None,
    }


ODD_KEYS = odd_keys()


@pytest.mark.parametrize("what", ODD_KEYS)
def test_what_is_no_key_for_us_is_skipped(what, good_key):
    """A secret, a private key, one for another purpose or algorithm, or nonsense is skipped, and the others serve."""
    found = parsed(ODD_KEYS[what], good_key)
    assert [key.key_id for key in found.keys] == ["good"]
    assert found.skipped == 1
    with pytest.raises(ValueError, match="none of 1 keys is usable"):
        parsed(ODD_KEYS[what])


def test_keys_of_one_name_are_all_kept(private_keys, good_key):
    """Two keys with the same kid are both keys: a name is no proof, the signature is."""
    other = jwk_of(ec.generate_private_key(ec.SECP256R1()), "ES256", kid="good")
    assert len(parsed(good_key, other).keys) == 2


def test_a_set_is_bounded(good_key):
    """A set of too many keys, or of too many bytes, is refused whole."""
    assert len(parsed(*[good_key] * KEYS_LIMIT).keys) == KEYS_LIMIT
    with pytest.raises(ValueError, match=f"at most {KEYS_LIMIT} keys"):
        parsed(*[good_key] * (KEYS_LIMIT + 1))
    with pytest.raises(ValueError, match="at most 256 KiB"):
        parsed({**good_key, "x5c": ["A" * KEY_SET_LIMIT]})


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b"null", b"[]", b"5", b'{"keys": {}}', b'{"key": []}', b"\xff", b"["]
)
def test_what_is_no_set(document):
    """A page of HTML, another JSON value or broken text is no key set, and the sentence repeats nothing of it."""
    with pytest.raises(ValueError, match=r"^expected") as refused:
        parse_key_set(document)
    assert "html" not in str(refused.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
members = st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "crv", "x", "y", "n", "e", "d", "k", "oth"])


@given(st.dictionaries(members, json_values | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"])))
def test_no_key_crashes(entry):
    """Whatever object stands in a set: a key, or none."""
    try:
        keys = parsed(entry).keys
    except ValueError as refused:
        problem = str(refused)
        keys = ()
    assert keys or "none of 1 keys is usable" in problem
    assert all(key.algorithm != "HS256" for key in keys)
