"""Where to listen, and whether one can."""

import socket

from graphql_api.cli.failure import CommandFailed

__all__ = ["check_address", "listen"]

_BACKLOG = 2_048
"""Connections that may wait to be accepted, as many as uvicorn allows."""


def check_address(host: str, port: int) -> None:
    """See that one can listen there: uvicorn would find out only after the database was opened.

    Raises:
        CommandFailed: one can't.
    """
    for bound in _bind(host, port):
        bound.close()


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address that the host stands for; port 0 is one free port, the same on all of them.

    From now on connections are accepted by the system, and wait.

    Raises:
        CommandFailed: one can't.
    """
    bound = _bind(host, port)
    try:
        for listener in bound:
            listener.listen(_BACKLOG)
    except OSError as error:
        raise _refused(host, port, error) from None
    return bound


def _bind(host: str, port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            listener = socket.socket(family, kind, protocol)
            bound.append(listener)
            # As a server that was restarted listens, although old connections linger.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], port or bound[0].getsockname()[1], *address[2:]))
    except (OSError, UnicodeError) as error:
        for listener in bound:
            listener.close()
        raise _refused(host, port, error) from None
    return bound


def _refused(host: str, port: int, error: Exception) -> CommandFailed:
    reason = getattr(error, "strerror", None) or error
    return CommandFailed(f"Can't listen on {host}, port {port}: {reason}.")
