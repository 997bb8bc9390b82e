"""An issuer's published keys, from a real server that is asked, broken and rotated."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import time

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from graphql_api.access.issuer_keys import IssuerKeys, open_fetch
from graphql_api.access.keys import secret_key
from graphql_api.access.tokens import TokenProblem, TokenRefused, TokenVerifier, UnknownKey
from graphql_api.errors import Unavailable
from tests.access.issuer import Issuer, jwk_of
from tests.access.tokens_of import NOW, SECRET, good_claims, raw_token, signed

pytestmark = pytest.mark.anyio


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def published(key, name):
    return jwk_of(key, "ES256", kid=name)


def token_of(key, name=None, **header):
    return signed(good_claims(), key, "ES256", {**({"kid": name} if name else {}), **header})


@contextlib.asynccontextmanager
async def keys_of(issuer, **changed):
    """The issuer's keys over HTTP; seconds so long that nothing happens by itself unless a test says so."""
    options = {"refresh_interval": 3600, "stale_limit": 3600, "refresh_pause": 0.0, **changed}
    with issuer.serving() as url:
        async with open_fetch(url) as fetch, IssuerKeys(fetch, **options) as keys:
            yield keys


def verifier_of(keys, *own):
    return TokenVerifier(own, issuer_keys=keys, clock=lambda: NOW)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the keys have no event for every state
        await asyncio.sleep(0.005)


async def test_tokens_of_published_keys_are_good(private_keys):
    """Tokens of each published key are good, with their key's name or without one, and nobody else's are."""
    issuer = Issuer(*(jwk_of(key, algorithm, kid=algorithm) for algorithm, key in private_keys.items()))
    async with keys_of(issuer) as keys:
        verifier = verifier_of(keys)
        for algorithm, key in private_keys.items():
            for headers in ({"kid": algorithm}, {}):
                assert verifier.verify(signed(good_claims(), key, algorithm, headers)).subject == "reader-1"
        with pytest.raises(TokenRefused, match="not signed with a key"):
            verifier.verify(token_of(new_key(), "ES256"))
        assert issuer.asked == 1


async def test_a_published_key_is_no_secret(public_pems, private_keys):
    """With published keys alone no HS256 token is looked at, whatever public text it was signed with."""
    issuer = Issuer(jwk_of(private_keys["RS256"], "RS256", kid="r"))
    async with keys_of(issuer) as keys:
        for secret in (public_pems["RS256"], issuer.document.decode()):
            forged = raw_token(b'{"alg":"HS256","kid":"r"}', b'{"sub":"x"}', secret)
            with pytest.raises(TokenRefused, match="algorithm is not accepted"):
                await verifier_of(keys).verify_with_new_keys(forged)
        assert issuer.asked == 1


async def test_own_keys_and_published_ones_serve_side_by_side():
    """A secret of ours and the issuer's keys are good together: tokens move from one to the other without a gap."""
    key = new_key()
    async with keys_of(Issuer(published(key, "a"))) as keys:
        verifier = verifier_of(keys, secret_key(SECRET))
        verifier.verify(signed(good_claims()))
        verifier.verify(token_of(key, "a"))


async def test_a_new_key_is_fetched_when_its_first_token_comes():
    """A token of a key that was published just now is good at once, and the old key is good until it goes."""
    old, new = new_key(), new_key()
    issuer = Issuer(published(old, "old"))
    async with keys_of(issuer) as keys:
        verifier = verifier_of(keys)
        verifier.verify(token_of(old, "old"))
        issuer.publish(published(old, "old"), published(new, "new"))
        with pytest.raises(UnknownKey):
            verifier.verify(token_of(new, "new"))
        assert (await verifier.verify_with_new_keys(token_of(new, "new"))).subject == "reader-1"
        verifier.verify(token_of(old, "old"))
        assert issuer.asked == 2


async def test_a_key_that_is_withdrawn_is_no_good_any_more():
    """When a key has gone from the set, tokens that were found good with it are refused, remembered ones too."""
    old, new = new_key(), new_key()
    issuer = Issuer(published(old, "old"), published(new, "new"))
    async with keys_of(issuer) as keys:
        verifier = verifier_of(keys)
        verifier.verify(token_of(old, "old"))
        issuer.publish(published(new, "new"))
        await keys.refresh()
        with pytest.raises(TokenRefused, match="not signed with a key"):
            verifier.verify(token_of(old, "old"))


async def test_the_same_keys_change_nothing():
    """A set that is fetched again and is the same leaves the remembered tokens as they are."""
    key = new_key()
    async with keys_of(Issuer(published(key, "a"))) as keys:
        verifier = verifier_of(keys)
        token = token_of(key, "a")
        verifier.verify(token)
        version = keys.version
        await keys.refresh()
        verifier.verify(token)
        assert (keys.version, keys.statistics().fetches) == (version, 2)
        assert verifier.statistics().hits == 1


async def test_keys_are_fetched_again_by_themselves():
    """Without a token that asks for it, the set is fetched every interval."""
    issuer = Issuer(published(new_key(), "a"))
    async with keys_of(issuer, refresh_interval=0.02) as keys:
        version = keys.version
        issuer.publish(published(new_key(), "b"))
        await until(lambda: keys.names("b"))
        assert keys.version > version
        assert not keys.names("a")


async def test_a_flood_of_unknown_keys_is_one_fetch():
    """A thousand tokens with made-up keys cause one fetch, all wait for the same, and then none for a while."""
    issuer = Issuer(published(new_key(), "a"))
    stranger = new_key()
    tokens = [token_of(stranger, f"../../{number}' OR 1=1 --") for number in range(100)]
    async with keys_of(issuer, refresh_pause=3600) as keys:
        verifier = verifier_of(keys)
        keys._tried_at -= 3600  # as if the pause after the first fetch were over
        issuer.hold()
        waiting = asyncio.gather(*map(verifier.verify_with_new_keys, tokens * 10), return_exceptions=True)
        await until(lambda: issuer.asked == 2)
        issuer.release()
        assert {type(answer) for answer in await waiting} == {UnknownKey}
        for token in tokens:
            with pytest.raises(UnknownKey):
                await verifier.verify_with_new_keys(token)
        assert (issuer.asked, issuer.most_at_once) == (2, 1)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda issuer: setattr(issuer, "status", 500),
        lambda issuer: setattr(issuer, "document", b"<html>"),
        lambda issuer: setattr(issuer, "document", b'{"keys": []}'),
        lambda issuer: setattr(issuer, "document", b" " * 300 * 1024),
        lambda issuer: (setattr(issuer, "status", 302), issuer.headers.update(Location="http://127.0.0.1:1/")),
    ],
    ids=["500", "no JSON", "no keys", "too big", "redirect"],
)
async def test_a_broken_issuer_leaves_the_keys_as_they_were(break_it, caplog):
    """Whatever the issuer answers instead of keys is counted and logged, and the keys of before serve on."""
    key = new_key()
    issuer = Issuer(published(key, "a"))
    async with keys_of(issuer) as keys:
        break_it(issuer)
        await keys.refresh()
        assert (keys.statistics().failing, keys.statistics().failures, keys.statistics().keys) == (True, 1, 1)
        verifier_of(keys).verify(token_of(key, "a"))
        assert "could not be fetched" in caplog.text
        assert "127.0.0.1" not in "".join(
            record.getMessage() for record in caplog.records if "keys" in record.getMessage()
        )
        issuer.status = 200
        issuer.publish(published(key, "a"))
        await keys.refresh()
        assert keys.statistics().failing is False


async def test_an_issuer_that_is_away_at_start():
    """Without any keys the answer is that the call may be repeated, not that the token is bad; the keys come later."""
    key = new_key()
    issuer = Issuer(published(key, "a"))
    issuer.status = 503
    async with keys_of(issuer) as keys:
        verifier = verifier_of(keys)
        assert keys.statistics().age is None
        with pytest.raises(Unavailable, match="can't be fetched now"):
            await verifier.verify_with_new_keys(token_of(key, "a"))
        issuer.status = 200
        assert (await verifier.verify_with_new_keys(token_of(key, "a"))).subject == "reader-1"


@pytest.mark.logs_errors
async def test_keys_that_are_too_old_are_given_up():
    """When the issuer has been away for longer than the limit, its keys are no longer good."""
    key = new_key()
    issuer = Issuer(published(key, "a"))
    async with keys_of(issuer, stale_limit=0.05, refresh_interval=0.02) as keys:
        verifier = verifier_of(keys)
        verifier.verify(token_of(key, "a"))
        issuer.status = 500
        await until(lambda: keys.statistics().keys == 0)
        with pytest.raises(UnknownKey):
            verifier.verify(token_of(key, "a"))
        issuer.status = 200
        await keys.refresh()
        verifier.verify(token_of(key, "a"))


async def test_a_slow_issuer_blocks_nobody(monkeypatch):
    """While the issuer does not answer, known tokens are verified at once, and the fetch is given up in time."""
    monkeypatch.setattr("graphql_api.access.issuer_keys.FETCH_TIMEOUT", 0.2)
    key = new_key()
    issuer = Issuer(published(key, "a"))
    async with keys_of(issuer) as keys:
        verifier = verifier_of(keys)
        issuer.hold()
        refreshing = asyncio.create_task(keys.refresh())
        await until(lambda: issuer.asked == 2)
        began = time.perf_counter()
        verifier.verify(token_of(key, "a"))
        assert time.perf_counter() - began < 0.1
        await refreshing
        assert keys.statistics().failing


async def test_a_caller_that_goes_disturbs_nobody():
    """Cancelling one who waits for a fetch leaves the fetch, and the others who wait for it."""
    issuer = Issuer(published(new_key(), "a"))
    async with keys_of(issuer) as keys:
        issuer.hold()
        impatient, patient = (asyncio.create_task(keys.refresh()) for _ in range(2))
        await until(lambda: issuer.asked == 2)
        impatient.cancel()
        await asyncio.wait([impatient])
        issuer.publish(published(new_key(), "b"))
        issuer.release()
        await patient
        assert keys.names("b")


HEADERS_THAT_POINT_TO_KEYS = ["jku", "x5u", "jwk", "x5c", "x5t"]


@pytest.mark.parametrize("name", HEADERS_THAT_POINT_TO_KEYS)
async def test_a_token_can_not_bring_its_own_key(name):
    """A key, a chain or an address in the token's header is not looked at: nothing is fetched, and it is refused."""
    stranger = new_key()
    theirs = Issuer(published(stranger, "a"))
    ours = Issuer(published(new_key(), "a"))
    with theirs.serving() as url:
        values = {"jku": url, "x5u": url, "jwk": published(stranger, "a"), "x5c": ["MII="], "x5t": "abc"}
        async with keys_of(ours) as keys:
            with pytest.raises(TokenRefused) as refused:
                await verifier_of(keys).verify_with_new_keys(token_of(stranger, "a", **{name: values[name]}))
            assert refused.value.reason is TokenProblem.INVALID
        assert theirs.asked == 0


@pytest.mark.parametrize(
    "key_id",
    ["../../../../dev/null", "a' UNION SELECT 'x", "a\x00", "A", " a", "a" * 8_000, "http://127.0.0.1:1/", "", "😀"],
)
async def test_a_key_id_is_nothing_but_a_name(key_id):
    """Whatever a kid looks like, it only chooses among the published keys: a stranger's token stays refused."""
    async with keys_of(Issuer(published(new_key(), "a"), published(new_key(), "b"))) as keys:
        with pytest.raises(TokenRefused) as refused:
            await verifier_of(keys).verify_with_new_keys(signed(good_claims(), new_key(), "ES256", {"kid": key_id}))
        assert refused.value.reason is TokenProblem.INVALID
        assert len(str(refused.value).encode()) <= 123


async def test_a_key_id_of_another_key_is_refused():
    """A token that names another key than it is signed with is refused, though both are published."""
    one, other = new_key(), new_key()
    issuer = Issuer(published(one, "one"), published(other, "other"))
    async with keys_of(issuer) as keys:
        with pytest.raises(TokenRefused, match="not signed with a key"):
            await verifier_of(keys).verify_with_new_keys(token_of(one, "other"))
        assert issuer.asked == 1


async def test_two_keys_of_one_name_are_both_tried():
    """Where an issuer gives two keys one name, tokens of both are good."""
    one, other = new_key(), new_key()
    async with keys_of(Issuer(published(one, "same"), published(other, "same"))) as keys:
        for key in (one, other):
            verifier_of(keys).verify(token_of(key, "same"))


def self_signed(folder):
    """A server's TLS with a certificate that no authority has signed."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = (
        builder.not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_certificate_of_nobody_is_refused(tmp_path):
    """A server whose certificate no authority has signed is not asked: nobody in between can hand us keys."""
    issuer = Issuer(published(new_key(), "a"))
    with issuer.serving(self_signed(tmp_path)) as url:
        async with open_fetch(url) as fetch:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await fetch()
    assert issuer.asked == 0
