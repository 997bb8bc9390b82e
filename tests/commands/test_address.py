"""Where to listen."""

import socket

import pytest

from graphql_api.cli.address import check_address, listen
from graphql_api.cli.failure import CommandFailed


@pytest.fixture
def listeners():
    found = listen("localhost", 0)
    yield found
    for listener in found:
        listener.close()


def test_a_name_with_several_addresses_has_one_port(listeners):
    """Each address that the name stands for is listened on, with the same port, before anybody accepts."""
    addresses = {found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    assert {listener.getsockname()[0] for listener in listeners} == addresses
    (port,) = {listener.getsockname()[1] for listener in listeners}
    for address in addresses:
        socket.create_connection((address, port), timeout=5).close()


@pytest.mark.parametrize("attempt", [check_address, listen])
def test_what_is_taken_is_told(listeners, attempt):
    """An address that somebody listens on is a sentence."""
    port = listeners[0].getsockname()[1]
    with pytest.raises(CommandFailed, match=f"^Can't listen on localhost, port {port}: Address already in use.$"):
        attempt("localhost", port)
