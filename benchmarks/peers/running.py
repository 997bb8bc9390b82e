"""Starting what the service is compared with."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.failure import PeerMissing
from benchmarks.machine import Cores
from benchmarks.server import Server, run_server

__all__ = ["GRAPHQL_WS", "PEERS", "RAW", "STOCK", "raw_sender"]

STOCK = "stock Strawberry"
GRAPHQL_WS = "graphql-ws"
RAW = "send(2)"

_HERE = Path(__file__).parent


@contextmanager
def _stock(cores: Cores) -> Iterator[Server]:
    with run_server(STOCK, [sys.executable, "-m", "benchmarks.peers.stock"], cores) as server:
        yield server


@contextmanager
def _graphql_ws(cores: Cores) -> Iterator[Server]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise PeerMissing(f"{GRAPHQL_WS} is left out: it needs node and npm, which are not installed here.")
    folder = _HERE / "node"
    if not (folder / "node_modules" / "graphql-ws").is_dir():
        installed = subprocess.run([npm, "ci"], cwd=folder, capture_output=True, text=True, check=False)
        if installed.returncode:
            raise PeerMissing(f"{GRAPHQL_WS} is left out: npm could not install it: {installed.stderr.strip()}")
    with run_server(GRAPHQL_WS, [node, str(folder / "server.mjs")], cores) as server:
        yield server


PEERS: dict[str, Callable[[Cores], AbstractContextManager[Server]]] = {STOCK: _stock, GRAPHQL_WS: _graphql_ws}


@contextmanager
def raw_sender(cores: Cores, data: bytes, subscribers: int, folder: Path) -> Iterator[Server]:
    """What sends these bytes to so many sockets at each command, and does nothing else.

    A C program; where there is no compiler a Python loop, and the server is named so.
    """
    file = folder / "frames"
    file.write_bytes(data)
    if compiler := shutil.which("cc"):
        program = folder / "send"
        subprocess.run([compiler, "-O2", "-o", program, _HERE / "send.c"], check=True)
        name, command = RAW, [str(program)]
    else:
        name, command = f"{RAW} called by Python", [sys.executable, str(_HERE / "send.py")]
    with run_server(name, [*command, str(file), str(subscribers)], cores) as server:
        yield server
