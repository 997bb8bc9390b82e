"""One worker of ``device-status serve --workers``: a process that the command starts, never a person.

It gets what it needs from its supervisor (``graphql_api/cli/supervision.py``): as arguments the numbers of file
descriptors, first that of the link between the two, then those of the listening sockets; over the link the settings,
pickled, so that all workers have the same ones, whatever has become of files and variables since. Over the link it says
:data:`SERVES` once it serves, or :data:`FAILED` and the sentences why it can't.

The link is also how each notices the other's death: the system closes it.
"""

import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from graphql_api.cli.failure import CommandFailed

if TYPE_CHECKING:
    from graphql_api.settings import Settings

__all__ = ["FAILED", "SERVES", "main", "patience"]

SERVES = b"+"
FAILED = b"-"

_MARGIN = 10.0
"""Seconds that a worker may take to end beyond what open connections are given: to close the store, above all."""


def patience(settings: "Settings") -> float:
    """Seconds after which a worker that has been told to end is ended by force."""
    return settings.shutdown_timeout + _MARGIN


def main() -> None:
    """Serve until SIGTERM, or until the supervisor is gone."""
    link, *listeners = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    try:
        with link.makefile("rb") as stream:
            # The supervisor's, which is this program's own.
            settings = pickle.load(stream)  # noqa: S301 - see above
    except (EOFError, ConnectionError):
        # It is gone already.
        sys.exit(1)
    threading.Thread(target=_end_with_supervisor, args=[link, patience(settings)], daemon=True).start()
    try:
        _serve(settings, listeners, link)
    except CommandFailed as failed:
        _say(link, FAILED + "\n".join(failed.sentences).encode())
        sys.exit(failed.exit_code)


def _serve(settings: "Settings", listeners: list[socket.socket], link: socket.socket) -> None:
    # Imported late: this takes a second, in which the supervisor may die.
    from graphql_api.cli.serving import ASGI, configure, serve_application
    from graphql_api.delivery.server import run_server

    host, port = listeners[0].getsockname()[:2]

    def serve(app: ASGI) -> bool:
        config = configure(settings, app, host, port)
        # uvicorn, once it has ended politely, raises the signal that it was ended by again.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return run_server(config, sockets=listeners, on_listening=lambda _port: _say(link, SERVES))

    serve_application(settings, serve)


def _say(link: socket.socket, word: bytes) -> None:
    # When there is nobody to hear it, this process is about to be ended anyway.
    with contextlib.suppress(ConnectionError):
        link.sendall(word)


def _end_with_supervisor(link: socket.socket, seconds: float) -> NoReturn:
    # Nothing is ever sent: whatever comes of this, the other end has gone. It is a reset, not an end, when
    # what was said here had not been read there.
    with contextlib.suppress(ConnectionError):
        link.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    os._exit(1)


if __name__ == "__main__":
    main()
