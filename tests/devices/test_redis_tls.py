"""News over Redis behind TLS, with a certificate that only a private authority vouches for."""

import logging
import re

import pytest

from tests.devices.test_news import news_over, rebuilt, round_of
from tests.devices.tls_proxy import Authority, tls_proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
async def port(redis, authority):
    async with tls_proxy(redis.port, authority.context) as port:
        yield port


async def hears(url):
    """Whether a round that one process announces is heard by another."""
    async with news_over(url) as one, news_over(url) as other, other.listen("s") as heard:
        one.announce(round_of("s", 1))
        return (await anext(heard)).last == 1


async def test_a_private_authority_in_the_url(port, authority):
    """`ssl_ca_certs` of a rediss:// URL names the authority's certificate, and rounds are carried over TLS."""
    assert await hears(f"rediss://localhost:{port}?ssl_ca_certs={authority.file}")


async def test_a_private_authority_in_the_environment(port, authority, monkeypatch):
    """`SSL_CERT_FILE` names the authority's certificate for a rediss:// URL without parameters."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert await hears(f"rediss://localhost:{port}")


@pytest.mark.parametrize(
    ("host", "parameters", "reason"),
    [
        ("localhost", "", "self-signed certificate in certificate chain|unable to get local issuer certificate"),
        ("127.0.0.1", "?ssl_ca_certs={file}", "IP address mismatch"),
        ("localhost", "?ssl_ca_certs={file}.missing", "No such file"),
    ],
    ids=["unknown authority", "another name", "no such file"],
)
async def test_who_is_not_vouched_for_is_told_nothing(port, authority, caplog, host, parameters, reason):
    """An unknown authority, another name or a missing file: the broadcaster is out of reach, and the log says why."""
    url = f"rediss://{host}:{port}{parameters.format(file=authority.file)}"
    with caplog.at_level(logging.WARNING):
        async with news_over(url) as news:
            assert not news.statistics().connected
    (record,) = [record for record in caplog.records if "broadcaster is lost" in record.message]
    assert record.levelname == "WARNING"
    assert re.search(reason, record.message), record.message


async def test_redis_restarts_behind_tls(redis, port, authority):
    """When Redis dies and comes back behind the TLS proxy, the broadcaster is rebuilt, and rounds are heard again."""
    async with news_over(f"rediss://localhost:{port}?ssl_ca_certs={authority.file}") as news, news.listen("s") as heard:
        redis.kill()
        redis.start()
        await rebuilt(news)
        news.announce(round_of("s", 2))
        assert (await anext(heard)).last == 2
