"""Real keys, made once: an RSA key takes a while."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from graphql_api.access.keys import public_key, secret_key
from graphql_api.access.tokens import TokenVerifier
from tests.access.tokens_of import NOW, SECRET


def pem_of(private_key):
    public = private_key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="session")
def private_keys():
    return {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture(scope="session")
def public_pems(private_keys):
    return {algorithm: pem_of(key) for algorithm, key in private_keys.items()}


@pytest.fixture(scope="session")
def public_keys(public_pems):
    return [public_key(pem) for pem in public_pems.values()]


@pytest.fixture(scope="session")
def verifier():
    return TokenVerifier([secret_key(SECRET)], clock=lambda: NOW)
