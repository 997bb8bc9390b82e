"""``device-status serve --demo``: a school that is simulated, served for real."""

import asyncio
import json
import os
import secrets
import shlex
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
import uvicorn

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ
from graphql_api.access.signing import sign_configured_token
from graphql_api.app import create_app
from graphql_api.cli.checker import check_for_ever
from graphql_api.cli.configured import read_settings
from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.serving import configure, run
from graphql_api.cli.target import Target
from graphql_api.delivery.endpoints import GRAPHQL_PATH, PLAIN_PATH
from graphql_api.delivery.server import Server
from graphql_api.moment import SECOND, Moment, now
from graphql_api.settings import PREFIX, Settings, variable

__all__ = ["serve_demo"]

SCHOOL = "1"
TTL = 24 * 3_600

_OWN = (f"{PREFIX}JWT_", variable("database_url"), variable("broadcast_url"), variable("unknown_devices"))
"""How the variables begin whose values the demonstration does not take from the environment."""

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)


def serve_demo(host: str, port: int) -> None:
    """Serve the simulated school until SIGTERM or Ctrl-C.

    Raises:
        CommandFailed: it can't be served with the rest of the settings.
    """
    with _temporary_folder() as folder:
        settings = _settings(Path(folder))
        server = _DemoServer(_config(settings, host, port), settings)

        def serve() -> bool:
            # uvicorn raises the signal that ended it once more.
            with suppress(KeyboardInterrupt):
                server.run()
            return server.started

        run(serve)


def _temporary_folder() -> "TemporaryDirectory[str]":
    try:
        return TemporaryDirectory(prefix="device-status-demo-", ignore_cleanup_errors=True)
    except OSError as error:
        raise CommandFailed(f"No temporary folder can be made for the demonstration: {error.strerror}.") from None


def _config(settings: Settings, host: str, port: int) -> uvicorn.Config:
    # Without a line for every request: the checker's would soon have pushed the welcome off the screen.
    return configure(settings, create_app(settings), host, port, access_log=False)


def _settings(folder: Path) -> Settings:
    """The environment's settings, but for a key and a database of the demonstration's own."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    own = {
        variable("jwt_secret"): secrets.token_urlsafe(48),
        variable("database_url"): f"sqlite:///{folder / 'demo.db'}",
    }
    return read_settings({**others, **own})


class _DemoServer(Server):
    """A server with a health checker of its own, which ends before it."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config, on_listening=self._begin)
        self._settings = settings
        self._checker: asyncio.Task[None] | None = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the checker, or it would complain about the server that is gone; then the server."""
        if self._checker:
            self._checker.cancel()
            await asyncio.wait([self._checker])
        await super().shutdown(sockets)

    def _begin(self, port: int) -> None:
        host = _ANYWHERE.get(self.config.host, self.config.host)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        typer.echo(_welcome(address, self._settings))
        sys.stdout.flush()
        checker = _sign(self._settings, "health-checker", DEVICES_READ, DEVICES_PUBLISH)
        target = Target(f"http://{address}{GRAPHQL_PATH}", f"ws://{address}{GRAPHQL_PATH}", checker)
        self._checker = asyncio.get_running_loop().create_task(check_for_ever(target, SCHOOL), name="health checker")


def _sign(settings: Settings, subject: str, *scopes: str) -> str:
    # Whole seconds make for shorter tokens.
    second = Moment(now() // SECOND * SECOND)
    return sign_configured_token(
        settings, subject=subject, schools=[SCHOOL], scopes=scopes, ttl_seconds=TTL, now=second
    )


def _welcome(address: str, settings: Settings) -> str:
    viewer = _sign(settings, "viewer", DEVICES_READ)
    checker = _sign(settings, "health-checker", DEVICES_READ, DEVICES_PUBLISH)
    administrator = _sign(settings, "administrator", DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN)
    url = f"http://{address}{GRAPHQL_PATH}"
    # In the environment, since anybody may list the arguments of processes.
    watch = f"{variable('token')}={viewer} {shlex.join([_command(), 'watch', '--url', url])}"
    return f"""
Device Status serves school {SCHOOL}, whose 60 devices are simulated. All of it is forgotten when this ends.

  GraphQL over HTTP and SSE   {url}
  GraphQL over WebSocket      ws://{address}{GRAPHQL_PATH}
  JSON over WebSocket         ws://{address}{PLAIN_PATH}

Tokens, good for {TTL // 3_600} hours:

  a viewer ({DEVICES_READ})
{viewer}

  a health checker ({DEVICES_READ} {DEVICES_PUBLISH})
{checker}

  an administrator ({DEVICES_READ} {DEVICES_PUBLISH} {DEVICES_ADMIN})
{administrator}

Watch the school from another terminal:

{watch}

Publish a status, and see it there:

{_curl(url, checker)}
"""


def _curl(url: str, token: str) -> str:
    # A device that is not simulated: the next round would take back what is said of the others.
    query = 'mutation { publishDeviceStatus(input: {deviceId: "projector-1", status: OFFLINE}) { changed } }'
    headers = ["-H", "@-", "-H", "Content-Type: application/json"]
    curl = shlex.join(["curl", "-s", url, *headers, "-d", json.dumps({"query": query})])
    # What a shell's own echo says is in no list of processes.
    return f"{shlex.join(['echo', f'Authorization: Bearer {token}'])} | {curl}"


def _command() -> str:
    """What to type for this program here: its bare name where that finds it."""
    found = shutil.which("device-status")
    called = Path(sys.argv[0])
    if found and called.exists() and Path(found).samefile(called):
        return "device-status"
    return str(called) if called.name == "device-status" else "device-status"
