"""Servers as processes of their own, pinned to the server's core."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.failure import BenchmarkFailed
from benchmarks.machine import Cores
from graphql_api.access.signing import sign_token
from graphql_api.moment import now

__all__ = ["DEVICE_STATUS", "Server", "device_status", "environment", "run_server"]

DEVICE_STATUS = "Device Status"

SECRET = "a secret for benchmarks alone, in a database that ends with them"  # noqa: S105 - as it says

_START_TIMEOUT = 60.0
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    name: str
    process: subprocess.Popen[bytes] = field(repr=False)
    port: int
    log: Path
    path: str = "/graphql"
    tells_live: bool = False
    """It sends a ping with cursors once a subscription is live."""

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return ("127.0.0.1", self.port)

    def token(self, subject: str, school: str = "1") -> str:
        """What lets a user in who may read and publish; servers without such a thing ignore it."""
        return sign_token(
            SECRET,
            subject=subject,
            schools=[school],
            scopes=["devices:read", "devices:publish"],
            ttl_seconds=24 * 3600,
            now=now(),
        )


@contextmanager
def run_server(
    name: str, command: Sequence[str], cores: Cores, *, env: Mapping[str, str] | None = None, tells_live: bool = False
) -> Iterator[Server]:
    """Run a command that logs where it listens, until the context ends.

    Raises:
        BenchmarkFailed: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        log = Path(folder, "server.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**environment(), **(env or {})},
                preexec_fn=cores.for_server,  # noqa: PLW1509 - this process has no threads yet
            )
        try:
            yield Server(name, process, _port(process, log), log, tells_live=tells_live)
        finally:
            _end(process)


# Here one caller stands for thousands. What each limit costs is paid all the same.
_LIFTED = (
    "DEVICE_STATUS_MAX_CONNECTIONS",
    "DEVICE_STATUS_MAX_CONNECTIONS_PER_ADDRESS",
    "DEVICE_STATUS_MAX_CONNECTIONS_PER_SUBJECT",
    "DEVICE_STATUS_OPERATIONS_BURST",
    "DEVICE_STATUS_PUBLISHES_BURST",
)


def environment() -> dict[str, str]:
    """This process's environment without the settings of a service, and with the folder of the benchmarks to import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVICE_STATUS_")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent.parent)}


@contextmanager
def device_status(
    cores: Cores, *, database_url: str | None = None, command: Sequence[str] | None = None
) -> Iterator[Server]:
    """The service as it is served, with its default settings, but for limits that one token at one address would meet.

    Without a database's URL with an SQLite file.

    Another command than ``device-status`` takes its arguments, too.
    """
    command = command or [str(Path(sys.executable).with_name("device-status"))]
    env = {"DEVICE_STATUS_JWT_SECRET": SECRET, **dict.fromkeys(_LIFTED, "1000000")}
    if database_url:
        env["DEVICE_STATUS_DATABASE_URL"] = database_url
    with run_server(DEVICE_STATUS, [*command, "serve", "--port", "0"], cores, env=env, tells_live=True) as server:
        yield server


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        text = log.read_text()
        if found := _LISTENING.search(text):
            return int(found[1])
        if process.poll() is not None:
            raise BenchmarkFailed(f"expected a server that listens, but it has ended with {process.returncode}: {text}")
        time.sleep(0.02)
    raise BenchmarkFailed(f"expected a server to listen within {_START_TIMEOUT:g} s; it logged: {log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
