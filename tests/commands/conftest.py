"""The command as a real process, and a service that others of it may speak to."""

import contextlib
import dataclasses
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("device-status")

SECRET = secrets.token_urlsafe(48)


def changed(module: str, **replaced: str) -> list[str]:
    """The program, with functions of one of its modules replaced by Python expressions."""
    changes = [f"module.{name} = {expression}" for name, expression in replaced.items()]
    lines = [f"import {module} as module", *changes, "from graphql_api.cli import main", "main()"]
    return [sys.executable, "-c", "\n".join(lines)]


def environment(**variables: str) -> dict[str, str]:
    """The machine's environment without settings of ours, but for these (without the prefix)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEVICE_STATUS_")}
    return kept | {f"DEVICE_STATUS_{name}": value for name, value in variables.items()}


def run(
    *arguments: str, cwd=None, stdin: str | None = None, program=(COMMAND,), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    done = subprocess.run(
        [*program, *arguments],
        **given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env=environment(**variables),
        timeout=50,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


class Lines:
    """The lines of a stream as they come, read by a thread."""

    def __init__(self, stream) -> None:
        self.seen: list[str] = []
        self._coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, args=[stream])
        self._thread.start()

    def _read(self, stream) -> None:
        with stream:
            for line in stream:
                self._coming.put(line.rstrip("\n"))
        self._coming.put(None)

    def next(self) -> str:
        """The next line; an error at the stream's end."""
        line = self._coming.get(timeout=50)
        assert line is not None, "\n".join(["the stream ended after:", *self.seen])
        self.seen.append(line)
        return line

    def until(self, pattern: str) -> re.Match[str]:
        """Go on to the first line that holds the pattern."""
        while True:
            if found := re.search(pattern, self.next()):
                return found

    def rest(self) -> str:
        """All lines, when the process has ended."""
        self._thread.join()
        while (line := self._coming.get()) is not None:
            self.seen.append(line)
        return "\n".join(self.seen)


@dataclasses.dataclass
class Process:
    """The command as it runs."""

    popen: subprocess.Popen
    stdout: Lines
    stderr: Lines

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, and wait for its exit code."""
        self.popen.send_signal(by)
        return self.popen.wait(timeout=20)


@contextlib.contextmanager
def running(
    *arguments: str, cwd=None, tmpdir=None, ignore: str = "", program=(COMMAND,), **variables: str
) -> Iterator[Process]:
    """Have the command run in the background; a signal to ignore is one that it inherits as ignored."""
    shell = ["sh", "-c", f'trap "" {ignore}; exec "$@"', "sh"] if ignore else []
    env = environment(**variables) | ({"TMPDIR": str(tmpdir)} if tmpdir else {})
    popen = subprocess.Popen(
        [*shell, *program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env=env,
    )
    process = Process(popen, Lines(popen.stdout), Lines(popen.stderr))
    try:
        yield process
    finally:
        popen.kill()
        popen.wait()
        # Their threads end with the streams.
        process.stdout._thread.join()
        process.stderr._thread.join()


@dataclasses.dataclass
class Service:
    """A `serve` process, and what other commands need to speak to it."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    # As the clients of tests/wire look for it.
    http = url

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"

    def access(self, *schools: str, scopes: str = "devices:read devices:publish") -> dict[str, str]:
        """The environment that gives `watch` and `publish` their URL and a token."""
        return {"URL": self.url, "TOKEN": token(*schools, scopes=scopes)}


def token(*schools: str, scopes: str = "devices:read devices:publish") -> str:
    from graphql_api.access.signing import sign_token
    from graphql_api.moment import now

    return sign_token(SECRET, subject="tester", schools=schools, scopes=scopes.split(), ttl_seconds=3600, now=now())


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, port: int = 0, program=(COMMAND,), **variables: str) -> Iterator[Service]:
    """A service with a database in this folder, as soon as it listens."""
    settings = {"JWT_SECRET": SECRET, "DATABASE_URL": f"sqlite:///{folder}/devices.db", **variables}
    with running("serve", "--port", str(port), *arguments, cwd=folder, program=program, **settings) as process:
        listening = process.stderr.until(r"running on http://127\.0\.0\.1:(\d+)")
        yield Service(process, int(listening[1]))


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> Iterator[None]:
    # Where Python must not write compiled code (as in many containers), each process would compile all
    # that it imports anew, which takes longer than all else: here they share it, in a folder of their own.
    with (
        tempfile.TemporaryDirectory(prefix="device-status-compiled-") as folder,
        pytest.MonkeyPatch.context() as environ,
    ):
        environ.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        environ.setenv("PYTHONPYCACHEPREFIX", folder)
        yield


@pytest.fixture(scope="session")
def service(tmp_path_factory) -> Iterator[Service]:
    """One for all tests that don't end it: each test has schools of its own."""
    with serving(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def school(request) -> str:
    """A school that no other test uses."""
    return f"school of {request.node.name}"[:128]
