import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from graphql_api.access.keys import load_keys, public_key, secret_key
from graphql_api.settings import SettingsError, load_settings
from tests.access.conftest import pem_of
from tests.access.tokens_of import OTHER_SECRET, SECRET


def test_each_key_has_one_algorithm(public_pems):
    """A key is bound to the one algorithm of its type."""
    assert secret_key(SECRET).algorithm == "HS256"
    for algorithm, pem in public_pems.items():
        assert public_key(pem).algorithm == algorithm


def test_a_key_shows_no_secret():
    """A key's text holds no secret."""
    assert SECRET not in repr(secret_key(SECRET))


def test_a_short_secret_is_refused():
    """A secret under 32 bytes is refused by its length alone."""
    with pytest.raises(ValueError, match=r"^expected a secret of at least 32 bytes, but got 31$"):
        secret_key("s" * 31)


def test_a_public_key_is_no_secret(public_pems):
    """A public key can't become a secret, even where an operator mistakes it for one."""
    for pem in public_pems.values():
        with pytest.raises(ValueError, match="but got a public key"):
            secret_key(pem)


def test_a_small_rsa_key_is_refused():
    """An RSA key under 2048 bits is refused."""
    with pytest.raises(ValueError, match="RSA of 1024 bits"):
        public_key(pem_of(rsa.generate_private_key(public_exponent=65537, key_size=1024)))


@pytest.mark.parametrize("private_key", [ec.generate_private_key(ec.SECP384R1()), ed448.Ed448PrivateKey.generate()])
def test_other_keys_are_refused(private_key):
    """A curve that no algorithm here takes is refused."""
    with pytest.raises(ValueError, match="another type of key or curve"):
        public_key(pem_of(private_key))


def test_no_key_at_all():
    """A block that is no public key is refused in a sentence."""
    with pytest.raises(ValueError, match="no public key"):
        public_key("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")


def test_keys_from_settings(public_pems):
    """All secrets and public keys that are set become keys, in their order."""
    settings = load_settings(
        {
            "DEVICE_STATUS_JWT_SECRET": f"{SECRET}\n{OTHER_SECRET}\n",
            "DEVICE_STATUS_JWT_PUBLIC_KEY": "".join(public_pems.values()).replace("\n", "\\n"),
        }
    )
    assert [key.algorithm for key in load_keys(settings)] == ["HS256", "HS256", "RS256", "ES256", "EdDSA"]


def test_only_allowed_algorithms_get_keys(public_pems):
    """A key whose algorithm is not allowed is left out."""
    settings = load_settings(
        {
            "DEVICE_STATUS_JWT_SECRET": SECRET,
            "DEVICE_STATUS_JWT_PUBLIC_KEY": public_pems["ES256"],
            "DEVICE_STATUS_JWT_ALGORITHMS": "ES256,RS256",
        }
    )
    assert [key.algorithm for key in load_keys(settings)] == ["ES256"]


def test_algorithms_without_a_key_are_refused():
    """Allowed algorithms that no key can serve are a mistake, told at start."""
    settings = load_settings({"DEVICE_STATUS_JWT_SECRET": SECRET, "DEVICE_STATUS_JWT_ALGORITHMS": "RS256"})
    with pytest.raises(SettingsError, match=r"^DEVICE_STATUS_JWT_ALGORITHMS: expected at least one of HS256"):
        load_keys(settings)


def test_unusable_keys_are_all_told(tmp_path):
    """Each unusable key is told with the variable that it came by."""
    file = tmp_path / "keys.pem"
    small = pem_of(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    file.write_text(small + small.replace("MI", "??", 1))
    settings = load_settings({"DEVICE_STATUS_JWT_PUBLIC_KEY_FILE": str(file)})
    with pytest.raises(SettingsError) as refused:
        load_keys(settings)
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["DEVICE_STATUS_JWT_PUBLIC_KEY_FILE"] * 2


def test_no_keys_are_told():
    """Without any key the error says what to set and how to make one."""
    with pytest.raises(SettingsError, match=r"secrets\.token_urlsafe\(48\)"):
        load_keys(load_settings({}))
