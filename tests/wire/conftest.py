"""A real uvicorn server for each test that asks for one, in the test's own event loop.

Every test that has to do with streams or sockets runs on both send paths: over this service's own server, whose
extension takes frames as they are, and over stock uvicorn, which knows nothing but ASGI's own ``send``.
"""

import asyncio
import contextlib
import dataclasses
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import Enum

import pytest

from graphql_api.access.signing import sign_token
from graphql_api.app import Services, create_app
from graphql_api.delivery.server import Server as UvicornServer
from graphql_api.delivery.server import server_config
from graphql_api.moment import SECOND, Moment, now
from graphql_api.settings import Settings

# What these test is answered in one piece, or is asked about anything but the wire: one send path says it all.
ONE_PATH_ONLY = (
    "test_graphql_over_http",
    "test_head",
    "test_health",
    "test_http",
    "test_postgresql",
    "test_protocol_examples",
)


class SendPath(Enum):
    """How what is sent gets to the sockets."""

    EXTENSION = "extension"
    """This service's own server, with its ASGI extension."""
    ASGI = "asgi"
    """Stock uvicorn, as any other server would serve the application."""


_serving = [SendPath.EXTENSION]


@contextlib.contextmanager
def serving_over(path: SendPath) -> Iterator[SendPath]:
    """Have every server that is started meanwhile send by this path. No context variable: fixtures have their own."""
    _serving.append(path)
    try:
        yield path
    finally:
        _serving.pop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] not in ONE_PATH_ONLY:
        metafunc.parametrize("send_path", SendPath, ids=lambda path: path.value, indirect=True)


@pytest.fixture(autouse=True, scope="module")
def send_path(request: pytest.FixtureRequest) -> Iterator[SendPath]:
    """The send path of every server that these tests start."""
    with serving_over(getattr(request, "param", SendPath.EXTENSION)) as path:
        yield path


@dataclasses.dataclass
class SettableClock:
    """The machine's clock, which a test may put forward."""

    ahead: int = 0

    def __call__(self) -> Moment:
        return Moment(now() + self.ahead)

    def advance(self, seconds: float) -> None:
        self.ahead += int(seconds * SECOND)


@dataclasses.dataclass
class Server:
    """A running server: where it is, what it counts, and tokens for it."""

    port: int
    services: Services
    secret: str
    clock: SettableClock
    uvicorn: UvicornServer

    def stop(self) -> None:
        """Have the server shut down, as a SIGTERM would."""
        self.uvicorn.should_exit = True

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"

    @property
    def plain(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/device-status"

    def token(
        self,
        *schools: str,
        scopes: Sequence[str] = ("devices:read", "devices:publish", "devices:admin"),
        ttl: int = 3600,
    ) -> str:
        return sign_token(
            self.secret, subject="tester", schools=schools or ("1",), scopes=scopes, ttl_seconds=ttl, now=self.clock()
        )

    async def until(self, condition) -> None:
        """Wait until the services' state fulfils a condition; the test's own timeout bounds it."""
        while not condition(self.services):  # noqa: ASYNC110 - the service has no event for every state of it
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serve(settings: Settings, secret: str, clock: SettableClock | None = None) -> AsyncIterator[Server]:
    clock = clock or SettableClock()
    app = create_app(settings, clock=clock)
    config = server_config(
        app,
        host="127.0.0.1",
        port=0,
        message_limit=settings.message_limit,
        shutdown_timeout=2,
        trusted_proxies=settings.trusted_proxies,
        log_config=None,
    )
    if _serving[-1] is SendPath.ASGI:
        config.http, config.ws = "httptools", "websockets-sansio"
    server = UvicornServer(config)
    # Signals are the test runner's.
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.005)
            if task.done():
                task.result()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Server(port, app.state.services, secret, clock, server)
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def secret() -> str:
    return secrets.token_urlsafe(48)


@pytest.fixture
def settings(tmp_path, secret) -> Settings:
    return Settings(jwt_secret=secret, database_url=f"sqlite:///{tmp_path}/devices.db")


@pytest.fixture
async def server(settings, secret, anyio_backend) -> AsyncIterator[Server]:
    async with serve(settings, secret) as running:
        yield running


@pytest.fixture(scope="module")
async def standing_server(tmp_path_factory, send_path, anyio_backend) -> AsyncIterator[Server]:
    """One server for all tests of a module, where they leave nothing behind that another one would see."""
    secret = secrets.token_urlsafe(48)
    database = tmp_path_factory.mktemp("standing") / "devices.db"
    async with serve(Settings(jwt_secret=secret, database_url=f"sqlite:///{database}"), secret) as running:
        yield running


@pytest.fixture
def nothing_logged(caplog) -> Iterator[None]:
    """Fails a test that had anything at all logged as an error: what clients send is no error of ours."""
    with caplog.at_level(logging.INFO):
        yield
    for when in ("setup", "call"):
        assert [record.getMessage() for record in caplog.get_records(when) if record.levelno >= logging.ERROR] == []
