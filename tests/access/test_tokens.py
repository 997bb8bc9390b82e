import json
import string

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.access.keys import public_key, secret_key
from graphql_api.access.principal import Principal, Visibility
from graphql_api.access.tokens import TOKEN_LIMIT, TokenProblem, TokenRefused, TokenVerifier
from graphql_api.moment import SECOND, Moment, parse_moment
from graphql_api.settings import SettingsError, load_settings
from tests.access.conftest import pem_of
from tests.access.tokens_of import (
    HEADER,
    IN_AN_HOUR,
    NOW,
    OTHER_SECRET,
    SECRET,
    good_claims,
    raw_token,
    segment,
    signed,
)

VERIFIER = TokenVerifier([secret_key(SECRET)], clock=lambda: NOW)
PAYLOAD = json.dumps(good_claims()).encode()


def refusal(token, verifier=VERIFIER):
    """The refusal that a token meets, which always fits into a close frame."""
    with pytest.raises(TokenRefused) as refused:
        verifier.verify(token)
    assert len(str(refused.value).encode()) <= 123
    return refused.value


def test_a_good_token():
    """A good token becomes a principal with all that it says."""
    claims = good_claims(scope="devices:publish", iat=1_799_999_999, jti="t-1")
    assert VERIFIER.verify(signed(claims)) == Principal(
        subject="reader-1",
        visibility=Visibility(frozenset({"north"}), all_schools=False, scopes=frozenset({"devices:publish"})),
        expires_at=Moment(IN_AN_HOUR * SECOND),
        issued_at=Moment(1_799_999_999 * SECOND),
        token_id="t-1",
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 42},
        {"jti": 7},
        {"jti": [1]},
        {"aud": "someone else"},
        {"aud": 5},
        {"iss": 5},
        {"iat": IN_AN_HOUR},
        {"school_id": 3},
    ],
)
def test_tokens_of_existing_issuers(claims):
    """Integers as subject and id, any audience while none is expected, an iat in the future: all fine."""
    VERIFIER.verify(signed(good_claims(**claims)))


def test_no_token():
    """That no token came is a reason of its own."""
    assert refusal(None).reason is TokenProblem.MISSING


def test_expiry_is_exact():
    """A token is good until the microsecond before its exp, and expired from there on."""
    token = signed(good_claims(exp=1_800_000_000.5))
    end = NOW + SECOND // 2
    TokenVerifier([secret_key(SECRET)], clock=lambda: Moment(end - 1)).verify(token)
    expired = TokenVerifier([secret_key(SECRET)], clock=lambda: Moment(end))
    assert refusal(token, expired).reason is TokenProblem.EXPIRED


@pytest.mark.parametrize("exp", [0, -1, -1e300, 1_799_999_999])
def test_an_old_token_is_expired(exp):
    """However long ago a token expired, it is expired and not invalid."""
    assert refusal(signed(good_claims(exp=exp))).reason is TokenProblem.EXPIRED


def test_expired_is_told_before_other_faults():
    """An expired token is called expired even where it names no school: a new one is needed anyway."""
    assert refusal(signed(good_claims(exp=0, school_id=...))).reason is TokenProblem.EXPIRED


@pytest.mark.parametrize("exp", [1_800_003_600_000, 1e300, 10**400])
def test_a_token_that_hardly_expires(exp):
    """An exp beyond the year 9999, milliseconds for example, counts as the end of that year."""
    assert VERIFIER.verify(signed(good_claims(exp=exp))).expires_at == parse_moment("9999-12-31T23:59:59.999999Z")


@pytest.mark.parametrize("exp", [..., None, True, "1800003600", float("nan"), float("inf"), [], {}])
def test_without_a_proper_exp(exp):
    """An exp that is missing or no number makes the token invalid."""
    assert refusal(signed(good_claims(exp=exp))).reason is TokenProblem.INVALID


def test_not_before_has_a_leeway():
    """A token may come up to five seconds before its nbf, as clocks differ."""
    VERIFIER.verify(signed(good_claims(nbf=1_800_000_005)))
    assert "nbf" in refusal(signed(good_claims(nbf=1_800_000_006))).sentence


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_times_are_numbers(claim):
    """A time that is no number makes the token invalid."""
    assert claim in refusal(signed(good_claims(**{claim: "soon"}))).sentence


@pytest.mark.parametrize(
    ("aud", "good"), [("us", True), (["them", "us"], True), ("them", False), (..., False), ([], False), ({}, False)]
)
def test_audience(aud, good):
    """Once an audience is expected, the token must name it."""
    verifier = TokenVerifier([secret_key(SECRET)], audience="us", clock=lambda: NOW)
    token = signed(good_claims(aud=aud))
    assert verifier.verify(token) if good else "aud" in refusal(token, verifier).sentence


@pytest.mark.parametrize(("iss", "good"), [("us", True), ("them", False), (["us"], False), (..., False)])
def test_issuer(iss, good):
    """Once an issuer is expected, the token must come from it."""
    verifier = TokenVerifier([secret_key(SECRET)], issuer="us", clock=lambda: NOW)
    token = signed(good_claims(iss=iss))
    assert verifier.verify(token) if good else "iss" in refusal(token, verifier).sentence


def test_public_keys(private_keys, public_keys):
    """Tokens signed with RSA, EC and Ed25519 keys are verified side by side."""
    verifier = TokenVerifier(public_keys, clock=lambda: NOW)
    for algorithm, key in private_keys.items():
        assert verifier.verify(signed(good_claims(), key, algorithm)).subject == "reader-1"


def test_rotation():
    """While secrets rotate, tokens of the old and of the new one are good, and no others."""
    verifier = TokenVerifier([secret_key(SECRET), secret_key(OTHER_SECRET)], clock=lambda: NOW)
    verifier.verify(signed(good_claims(), SECRET))
    verifier.verify(signed(good_claims(), OTHER_SECRET, headers={"kid": "unknown"}))
    assert "not signed with a key" in refusal(signed(good_claims(), "x" * 40), verifier).sentence


def test_rotation_of_public_keys(private_keys, public_keys):
    """Of several public keys of one type each is tried, whatever their sizes, and unknown ones stay out."""
    others = {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=3072),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    other_keys = [public_key(pem_of(key)) for key in others.values()]
    verifier = TokenVerifier([*other_keys, *public_keys], clock=lambda: NOW)
    for algorithm, key in (*private_keys.items(), *others.items()):
        assert verifier.verify(signed(good_claims(), key, algorithm)).subject == "reader-1"
    without = TokenVerifier(public_keys, clock=lambda: NOW)
    for algorithm, key in others.items():
        assert "not signed with a key" in refusal(signed(good_claims(), key, algorithm), without).sentence


def forms_of(pem):
    """What an attacker may take for the secret: the text of a public key, whatever its line ends, or its body."""
    return pem, pem.strip(), pem.replace("\n", "\r\n"), pem.replace("\n", "\\n"), "".join(pem.splitlines()[1:-1])


def test_a_public_key_is_no_hs256_secret(public_pems, public_keys):
    """A token signed by HS256 with the text of a public key is refused, with a secret configured beside it or not."""
    for verifier in (
        TokenVerifier(public_keys, clock=lambda: NOW),
        TokenVerifier([*public_keys, secret_key(SECRET)], clock=lambda: NOW),
    ):
        for secret in (form for pem in public_pems.values() for form in forms_of(pem)):
            assert refusal(raw_token(HEADER, PAYLOAD, secret), verifier).reason is TokenProblem.INVALID


@pytest.mark.parametrize(
    "algorithm",
    [
        "none",
        "None",
        "NONE",
        "nOnE",
        " none",
        "none\x00",
        "",
        "HS1",
        "RS1",
        "HS384",
        "hs256",
        None,
        5,
        ["HS256"],
        {},
        True,
    ],
)
def test_other_algorithms_are_refused(algorithm):
    """No algorithm outside the allow-list is accepted, with a signature or without one."""
    token = raw_token(json.dumps({"alg": algorithm}).encode(), PAYLOAD)
    unsigned = token[: token.rindex(".") + 1]
    assert "algorithm" in refusal(token).sentence
    assert "algorithm" in refusal(unsigned).sentence


def test_an_algorithm_that_is_not_allowed():
    """A key is of no use when its algorithm is not on the allow-list."""
    verifier = TokenVerifier([secret_key(SECRET)], algorithms=["RS256"], clock=lambda: NOW)
    assert "algorithm" in refusal(signed(good_claims()), verifier).sentence


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"]}, {"crit": ["b64"], "b64": True}, {"crit": 5}, {"kid": 5}, {"kid": None}, {"b64": False}],
)
def test_odd_headers(header):
    """A critical extension, a key id that is no text or a detached payload: invalid."""
    assert refusal(raw_token(json.dumps({"alg": "HS256", **header}).encode(), PAYLOAD)).reason is TokenProblem.INVALID


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "x5t", "x5t#S256", "typ", "cty", "zip", "enc", "epk"])
def test_other_headers_are_not_looked_at(name):
    """A header that points to a key, or means something elsewhere, makes a token neither good nor bad."""
    for value in ("https://127.0.0.1:1/keys", {"kty": "oct", "k": "c2VjcmV0"}, ["MII="], None):
        header = json.dumps({"alg": "HS256", name: value}).encode()
        VERIFIER.verify(raw_token(header, PAYLOAD))
        assert "not signed with a key" in refusal(raw_token(header, PAYLOAD, OTHER_SECRET)).sentence


@pytest.mark.parametrize(
    ("header", "good"),
    [
        (b'{"alg":"none","alg":"HS256"}', True),
        (b'{"alg":"HS256","alg":"none"}', False),
        (b'{"alg":"HS256","kid":"a","kid":"b"}', True),
        (b'{"alg":"HS256","kid":"a","kid":5}', False),
        (b'{"alg":"HS256","crit":[],"crit":null}', False),
    ],
)
def test_a_header_s_member_that_comes_twice(header, good):
    """Of two members with one name the last counts, in the check and in the verification alike."""
    token = raw_token(header, PAYLOAD)
    assert VERIFIER.verify(token) if good else refusal(token).reason is TokenProblem.INVALID


@pytest.mark.parametrize("key_id", ["../../etc/passwd", "' OR 1=1 --", "a" * 9_000, "", "http://127.0.0.1:1/", "\x00"])
def test_a_key_id_chooses_no_secret(key_id):
    """Whatever the key id of a token says, a secret without a name verifies it, and nothing else does."""
    VERIFIER.verify(signed(good_claims(), headers={"kid": key_id}))
    assert "not signed with a key" in refusal(signed(good_claims(), OTHER_SECRET, headers={"kid": key_id})).sentence


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "ä.ö.ü",
        "\ud800.a.b",
        "!!!!.!!!!.!!!!",
        "\x00",
        raw_token(b"", b"{}"),
        raw_token(b"[]", b"{}"),
        raw_token(b"\xff", b"{}"),
        raw_token(b"[" * 5_000, b"{}"),
        raw_token(b'{"alg":' + b"9" * 5_000 + b"}", b"{}"),
        raw_token(HEADER, b""),
        raw_token(HEADER, b"null"),
        raw_token(HEADER, b"[]"),
        raw_token(HEADER, b"5"),
        raw_token(HEADER, b"\xff\xfe"),
        raw_token(HEADER, b"[" * 5_000),
        raw_token(HEADER, b'{"a":' * 1_500 + b"1" + b"}" * 1_500),
        raw_token(HEADER, b'{"sub":' + b"9" * 5_000 + b"}"),
        raw_token(HEADER, b'{"exp":1e400}'),
    ],
    ids=range(24),
)
def test_malformed_tokens(token):
    """Whatever is no JSON Web Token is invalid, and never another error."""
    assert refusal(token).reason is TokenProblem.INVALID


def test_a_big_token_is_not_looked_at():
    """A token over 16 KiB is refused, properly signed or not."""
    assert "16 KiB" in refusal(signed(good_claims(more="x" * TOKEN_LIMIT))).sentence


def test_from_settings(public_pems, private_keys):
    """The settings decide on keys, algorithms, audience, issuer and claims."""
    settings = load_settings(
        {
            "DEVICE_STATUS_JWT_PUBLIC_KEY": public_pems["ES256"],
            "DEVICE_STATUS_JWT_AUDIENCE": "us",
            "DEVICE_STATUS_JWT_ISSUER": "them",
            "DEVICE_STATUS_JWT_SCHOOL_CLAIM": "campus",
            "DEVICE_STATUS_JWT_SCOPE_CLAIM": "scp",
        }
    )
    claims = good_claims(school_id=..., aud="us", iss="them", campus=["a", "b"], scp=["devices:admin"])
    verifier = TokenVerifier.from_settings(settings, clock=lambda: NOW)
    visibility = verifier.verify(signed(claims, private_keys["ES256"], "ES256")).visibility
    assert visibility == Visibility(frozenset({"a", "b"}), all_schools=False, scopes=frozenset({"devices:admin"}))


def test_from_settings_without_keys():
    """A verifier can't be made without a key."""
    with pytest.raises(SettingsError, match="DEVICE_STATUS_JWT_SECRET"):
        TokenVerifier.from_settings(load_settings({}))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["*", 1_800_000_001, 10**400, -(10**400), 1e308, "devices:read"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
claim_names = st.sampled_from(["sub", "exp", "nbf", "iat", "jti", "aud", "iss", "school_id", "school_ids", "scope"])


def principal_or_refusal(token):
    """What a token comes to; any other exception fails the test."""
    try:
        return VERIFIER.verify(token)
    except TokenRefused as refused:
        return refused


@given(st.dictionaries(claim_names, json_values))
def test_no_claim_crashes(claims):
    """Whatever a properly signed token says, the answer is a principal or a refusal that fits a close frame."""
    for payload in (claims, {**good_claims(), **claims}):
        found = principal_or_refusal(signed(payload))
        if isinstance(found, TokenRefused):
            assert len(str(found).encode()) <= 123
        else:
            assert found.expires_at > NOW
            assert found.visibility.all_schools or found.visibility.schools
            found.subject.encode()


@given(st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ", "zip", "cty"]), json_values))
def test_no_header_crashes(header):
    """Whatever a token's header says, it is verified with our key and algorithm or refused."""
    for given_header in (header, {"alg": "HS256", **header}):
        found = principal_or_refusal(raw_token(json.dumps(given_header).encode(), PAYLOAD))
        assert isinstance(found, TokenRefused) or given_header["alg"] == "HS256"


GOOD = signed(good_claims())
IN_TOKENS = string.ascii_letters + string.digits + "-_."


@given(st.data())
def test_no_changed_token_is_good(data):
    """A token of which one character is changed, left out or added is refused."""
    position = data.draw(st.integers(0, len(GOOD) - 1))
    character = data.draw(st.sampled_from(IN_TOKENS))
    after = data.draw(st.sampled_from([position, position + 1]))
    kept = data.draw(st.booleans())
    changed = GOOD[:position] + (character if kept else "") + GOOD[after:]
    if changed != GOOD:
        refusal(changed)


@given(st.text(st.characters(), max_size=200) | st.text(st.sampled_from(IN_TOKENS), max_size=200))
def test_no_text_crashes(text):
    """Any text that is no token is refused as invalid."""
    assert refusal(text).reason is TokenProblem.INVALID


@given(st.binary(max_size=100), st.binary(max_size=200), st.binary(max_size=100))
def test_no_bytes_crash(header, payload, signature):
    """Any bytes in the three parts of a token are refused as invalid."""
    token = ".".join(segment(part) for part in (header, payload, signature))
    assert refusal(token).reason is TokenProblem.INVALID


def test_a_public_key_alone_needs_no_secret(public_pems, private_keys):
    """One key of one type accepts its own algorithm and no other."""
    verifier = TokenVerifier([public_key(public_pems["RS256"])], clock=lambda: NOW)
    verifier.verify(signed(good_claims(), private_keys["RS256"], "RS256"))
    refusal(signed(good_claims(), private_keys["ES256"], "ES256"), verifier)
    refusal(signed(good_claims()), verifier)
