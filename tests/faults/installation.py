"""An installation of the service: processes of the installed command, on one database and one broker."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from tests.commands.conftest import Service, serving
from tests.commands.conftest import token as signed
from tests.wire.clients import http_client

SCOPES = "devices:read devices:publish devices:admin"


class Instance:
    """One process that serves; it may be killed, and started again at the same port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._stack = ExitStack()
        self._port = 0
        self._service: Service | None = None
        self._logs: list[str] = []

    def start(self) -> Self:
        """Start it, and wait until it listens."""
        self._service = self._stack.enter_context(serving(self._folder, port=self._port, **self._settings))
        self._port = self._service.port
        return self

    def kill(self) -> None:
        """End it at once, as a crash would. Whatever it went through, it has logged no error: see tests/conftest.py."""
        if self._service is None:
            return
        process = self._service.process
        self._stack.close()
        self._service = None
        self._logs.append(process.stderr.rest())
        assert not re.search(r"^\S+ \S+ (ERROR|CRITICAL)|Traceback", self._logs[-1], re.MULTILINE), self._logs[-1]

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self._port}/graphql"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self._port}/graphql"

    @property
    def rss(self) -> int:
        """Bytes of memory that the process occupies."""
        return psutil.Process(self._service.process.popen.pid).memory_info().rss

    @property
    def log(self) -> str:
        """What it has written, up to its last end."""
        return "\n".join(self._logs)

    async def readiness(self) -> dict[str, Any]:
        """What it tells a balancer."""
        async with http_client() as client:
            response = await client.get(self.http.replace("/graphql", "/health/ready"))
        return response.json()


class Installation:
    """Instances that share a database and a broker; leaving it ends them."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self.database = settings["DATABASE_URL"]
        self.instances: list[Instance] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for instance in self.instances:
            instance.kill()

    def start(self, count: int, **settings: str) -> Sequence[Instance]:
        """Start so many more instances at once."""
        added = [Instance(self._folder, **{**self._settings, **settings}) for _ in range(count)]
        self.instances += added
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(Instance.start, added))
        return added

    def kill(self, instance: Instance) -> None:
        """End one at once; it is no part of the installation any more."""
        self.instances.remove(instance)
        instance.kill()

    @staticmethod
    def token(school: str) -> str:
        """Of somebody who may do everything in one school."""
        return signed(school, scopes=SCOPES)
