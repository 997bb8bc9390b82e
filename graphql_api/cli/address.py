"""Where to listen, and whether one can."""

import socket

from graphql_api.cli.failure import CommandFailed

__all__ = ["check_address"]


def check_address(host: str, port: int) -> None:
    """See that one can listen there: uvicorn would find out only after the database was opened.

    Raises:
        CommandFailed: one can't.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as listener:
                # As a server that was restarted listens, although old connections linger.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandFailed(f"Can't listen on {host}, port {port}: {reason}.") from None
