"""Several workers that serve one address: started, watched, replaced, and ended together.

The supervisor binds the address and serves nobody itself. uvicorn has a supervisor too; but its workers outlive it when
it is killed, are started again and again without a pause when they die, and end the command without a reason given.
"""

import asyncio
import contextlib
import logging
import logging.config
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Self

from graphql_api.cli.address import listen
from graphql_api.cli.failure import CommandFailed
from graphql_api.cli.logs import log_config
from graphql_api.cli.restarts import Restarts
from graphql_api.cli.serving import check_services
from graphql_api.cli.worker import FAILED, SERVES, patience
from graphql_api.settings import Settings

__all__ = ["serve_with_workers"]

logger = logging.getLogger(__name__)

_LONGEST_WORD = 65_536
"""Bytes that are read of what a worker says."""


def serve_with_workers(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve in so many processes of their own until SIGTERM or Ctrl-C.

    The database is migrated before the first one starts.

    Raises:
        CommandFailed: it can't be served with these settings, or no worker serves and none can be started.
    """
    check_services(settings)
    logging.config.dictConfig(log_config())
    try:
        asyncio.run(_supervise(settings, host, port, workers))
    except ExceptionGroup as failures:
        # Each of the workers may have said the same.
        raise failures.exceptions[0] from None


async def _supervise(settings: Settings, host: str, port: int, workers: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # One that this process was started to ignore, like SIGHUP under nohup, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    listeners = listen(host, port)
    try:
        supervisor = _Supervisor(settings, listeners, workers)
        async with asyncio.TaskGroup() as tasks:
            kept = [tasks.create_task(supervisor.keep(number), name=f"worker {number}") for number in range(workers)]
            await ended.wait()
            # New connections are refused from now on, so that they go elsewhere.
            _close(listeners)
            for task in kept:
                task.cancel()
    finally:
        _close(listeners)


class _Supervisor:
    """Keeps workers; those are numbered from 0."""

    def __init__(self, settings: Settings, listeners: list[socket.socket], workers: int) -> None:
        self._settings = settings
        self._listeners = listeners
        self._workers = workers
        self._restarts = Restarts(workers)
        self._announced = False

    async def keep(self, number: int) -> None:
        """Have a worker with this number, and when it ends another; cancelled, end it.

        Raises:
            CommandFailed: there is no sense in another.
        """
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            reason = await self._live(number)
            delay = self._restarts.ended(number, loop.time() - began)
            if delay is None:
                raise CommandFailed(reason)
            logger.warning("Another worker starts in %g s: %s", delay, reason)
            await asyncio.sleep(delay)

    async def _live(self, number: int) -> str:
        """One worker from its start to its end, which is told in a sentence."""
        try:
            worker = _Worker(self._settings, self._listeners)
        except OSError as error:
            return f"No process can be started for a worker: {error.strerror}."
        async with worker:
            word = await worker.word()
            if word == SERVES:
                self._restarts.served(number)
                self._announce()
            how = await worker.end()
        if word.startswith(FAILED):
            return word.removeprefix(FAILED).decode(errors="replace")
        return f"Worker {worker.pid} was ended by {how}{'' if word == SERVES else ' before it served'}."

    def _announce(self) -> None:
        if self._restarts.complete and not self._announced:
            self._announced = True
            host, port = self._listeners[0].getsockname()[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            logger.info("%d workers are running on http://%s (Ctrl-C ends them)", self._workers, address)


class _Worker:
    """A worker's process, from its start to its end. An async context manager: leaving it, the process has ended.

    Raises:
        OSError: the system has no room for another process.
    """

    def __init__(self, settings: Settings, listeners: list[socket.socket]) -> None:
        self._settings = settings
        with contextlib.ExitStack() as unless_started:
            here, there = (unless_started.enter_context(end) for end in socket.socketpair())
            numbers = [there.fileno(), *(listener.fileno() for listener in listeners)]
            # -P: what lies in the current directory is not imported.
            command = [sys.executable, "-P", "-m", "graphql_api.cli.worker", *map(str, numbers)]
            with _signals_kept():
                self._process = subprocess.Popen(command, pass_fds=numbers, stdin=subprocess.DEVNULL)  # noqa: S603 - of our own making
            unless_started.pop_all()
        there.close()
        here.settimeout(0)
        self._link = here
        self.pid = self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End it politely where it has not ended, and by force where that takes too long."""
        with self._link:
            if self._process.poll() is None:
                self._process.terminate()
            try:
                async with asyncio.timeout(patience(self._settings)):
                    await self._exit()
            except TimeoutError:
                logger.warning("Worker %d does not end, and is killed.", self.pid)
                self._process.kill()
                await self._exit()

    async def word(self) -> bytes:
        """Send it its settings, and wait for what it says; nothing, when it ends without a word."""
        loop = asyncio.get_running_loop()
        said = b""
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(self._link, pickle.dumps(self._settings))
            while said != SERVES and len(said) < _LONGEST_WORD:
                if not (more := await loop.sock_recv(self._link, _LONGEST_WORD)):
                    break
                said += more
        return said

    async def end(self) -> str:
        """Wait for its end, and tell by what it came about."""
        with contextlib.suppress(ConnectionError):
            # It says nothing more: this returns when the system closes its side.
            await asyncio.get_running_loop().sock_recv(self._link, 1)
        code = await self._exit()
        return _name_of(-code) if code < 0 else f"itself, with exit code {code}"

    async def _exit(self) -> int:
        # Without a thread for it, and without SIGCHLD: the end of the link comes moments before the exit code.
        while (code := self._process.poll()) is None:  # noqa: ASYNC110 (there is no event for it)
            await asyncio.sleep(0.01)
        return code


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """A process that is started in here never hears what a terminal tells all its processes: it is for us to end it."""
    terminal = {signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, terminal)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, terminal)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time one has no name


def _close(listeners: list[socket.socket]) -> None:
    for listener in listeners:
        listener.close()
