import jwt
import pytest

from graphql_api.access.keys import secret_key
from graphql_api.access.signing import sign_configured_token, sign_token
from graphql_api.access.tokens import TokenRefused, TokenVerifier
from graphql_api.moment import SECOND, Moment
from graphql_api.settings import Settings, SettingsError
from tests.access.tokens_of import NOW, SECRET


def sign(**changed):
    given = {"subject": "demo", "schools": ["north"], "scopes": ["devices:read", "devices:publish"], "ttl_seconds": 60}
    return sign_token(SECRET, **{**given, **changed}, now=NOW)


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_the_claims():
    """A token holds the claims that the service documents."""
    assert claims_of(sign()) == {
        "sub": "demo",
        "iat": NOW // SECOND,
        "exp": NOW // SECOND + 60,
        "scope": "devices:read devices:publish",
        "school_id": "north",
    }


def test_several_schools():
    """Several schools go into school_ids, each once."""
    assert claims_of(sign(schools=["north", "south", "north"]))["school_ids"] == ["north", "south"]


def test_every_school():
    """Every school is a list with a star, never a school of that name."""
    assert claims_of(sign(schools=["*"]))["school_ids"] == ["*"]


def test_what_is_signed_is_good(verifier):
    """The service accepts its own tokens and reads from them what was asked for."""
    principal = verifier.verify(sign(schools=["*"]))
    assert principal.subject == "demo"
    assert principal.visibility.all_schools
    assert principal.visibility.scopes == {"devices:read", "devices:publish"}


def test_no_scopes_mean_none(verifier):
    """A token that is signed without scopes allows nothing: the default scope is for tokens without the claim."""
    assert verifier.verify(sign(scopes=[])).visibility.scopes == frozenset()


def test_a_fraction_of_a_second_counts():
    """A time to live is kept to the microsecond."""
    token = sign(ttl_seconds=1.25)
    end = NOW + SECOND + SECOND // 4
    good = TokenVerifier([secret_key(SECRET)], clock=lambda: Moment(end - 1))
    assert good.verify(token).expires_at == end
    with pytest.raises(TokenRefused):
        TokenVerifier([secret_key(SECRET)], clock=lambda: Moment(end)).verify(token)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schools": []},
        {"schools": ["*", "north"]},
        {"schools": [""]},
        {"schools": ["a\nb"]},
        {"ttl_seconds": 0},
        {"ttl_seconds": -1},
        {"ttl_seconds": float("nan")},
        {"ttl_seconds": float("inf")},
        {"subject": ""},
    ],
)
def test_what_would_be_refused_is_not_signed(wrong):
    """A token that no verifier would accept is refused when it is made."""
    with pytest.raises(ValueError, match="expected"):
        sign(**wrong)


def test_a_short_secret_is_not_shown():
    """A secret that is too short is refused without being shown."""
    with pytest.raises(ValueError, match="at least 32 bytes") as refused:
        sign_token("hunter2", subject="demo", schools=["north"], scopes=[], ttl_seconds=1, now=NOW)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("schools", [["north"], ["north", "south"], ["*"]])
def test_what_is_signed_for_settings_is_good_with_them(schools):
    """Audience, issuer and names of claims are those that the settings ask for."""
    settings = Settings(
        jwt_secret=SECRET,
        jwt_audience="screens",
        jwt_issuer="https://issuer.example",
        jwt_school_claim="https://example.org/schools",
        jwt_scope_claim="permissions",
    )
    token = sign_configured_token(
        settings, subject="demo", schools=schools, scopes=["devices:publish"], ttl_seconds=60, now=NOW
    )
    principal = TokenVerifier.from_settings(settings, clock=lambda: NOW).verify(token)
    assert principal.visibility.scopes == {"devices:publish"}
    assert principal.visibility.all_schools is (schools == ["*"])
    assert principal.visibility.schools == set(schools) - {"*"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "Set DEVICE_STATUS_JWT_SECRET"),
        ({"jwt_public_key": "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"}, "Only public keys"),
        ({"jwks_url": "https://issuer.example.org/jwks"}, "Only public keys"),
        ({"jwt_secret": SECRET, "jwt_algorithms": "RS256"}, "DEVICE_STATUS_JWT_ALGORITHMS"),
        ({"jwt_secret": SECRET, "jwt_scope_claim": "sub"}, "the service would refuse its own token"),
    ],
)
def test_settings_that_no_token_can_be_signed_for(given, sentence):
    """Settings with which a token can't be signed, or would be refused, are told before it is handed out."""
    with pytest.raises(SettingsError, match=sentence):
        sign_configured_token(Settings(**given), subject="demo", schools=["*"], scopes=[], ttl_seconds=60, now=NOW)
