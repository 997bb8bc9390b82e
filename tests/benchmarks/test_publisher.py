"""The load's HTTP client, against a server of a few lines."""

import contextlib
import json
import re
import socket
import threading

import pytest

from benchmarks import publisher as module
from benchmarks.failure import BenchmarkFailed
from benchmarks.load import Load
from benchmarks.publisher import Publisher


class Answers:
    """Answers each request with the next of the given bodies, in two writes, over a given number of connections."""

    def __init__(self, *bodies, status="200 OK", connections=1, requests_each=100, greeting=b""):
        self.bodies = iter(bodies)
        self.status = status
        self.connections = connections
        self.requests_each = requests_each
        self.requests = []
        self.greeting = greeting
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)

    def _serve(self):
        for _ in range(self.connections):
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rb") as lines:
                if self.greeting:
                    connection.sendall(self.greeting)
                    self.greeting = b""
                    continue
                for _ in range(self.requests_each):
                    if not self._answer(connection, lines):
                        break

    def _answer(self, connection, lines):
        """Whether there was a request."""
        head = b"".join(iter(lines.readline, b"\r\n")) if lines.peek(1) else b""
        if not head:
            return False
        self.requests.append(lines.read(int(re.search(rb"Content-Length: (\d+)", head)[1])))
        body = json.dumps(next(self.bodies)).encode()
        connection.sendall(f"HTTP/1.1 {self.status}\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        connection.sendall(body)
        return True

    @contextlib.contextmanager
    def publisher(self):
        self.thread.start()
        load = Load()
        client = Publisher(load, self.listener.getsockname(), path="/graphql", token="t")
        try:
            yield client
        finally:
            client.close()
            load.close()
            self.thread.join()
            self.listener.close()


def result(changed):
    return {"data": {"publishDeviceStatus": {"changed": changed}}}


def test_answers_are_read_and_added_up():
    """Each call ends with its answer, and what has changed is counted, over one connection."""
    server = Answers(result(1), result(50))
    with server.publisher() as client:
        client.call(b"first")
        client.call(b"second")
        assert (client.answered, client.changed) == (2, 51)
    assert server.requests == [b"first", b"second"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"errors": [{"message": "no"}], "data": {}}, "200 OK"), (result(1), "503 Service Unavailable")],
)
def test_a_refused_publish_fails(body, status):
    """An answer with errors, or of another status than 200, is the end of the benchmark."""
    with (
        Answers(body, status=status).publisher() as client,
        pytest.raises(BenchmarkFailed, match="expected a publish to succeed"),
    ):
        client.call(b"first")


def test_a_connection_that_was_idle_is_replaced(monkeypatch):
    """Servers end connections that are idle: after a while another one is made before they do."""
    with Answers(result(1), result(1), connections=2).publisher() as client:
        client.call(b"first")
        monkeypatch.setattr(module, "_KEPT_ALIVE", 0.0)
        client.call(b"second")
        assert client.changed == 2


def test_an_idle_connection_may_be_ended():
    """The end of a connection that nobody waits for is no failure, and the next call makes another one."""
    with Answers(result(1), result(1), connections=2, requests_each=1).publisher() as client:
        client.call(b"first")
        client._load.run_for(5, unless=lambda: not client._is_open)
        client.call(b"second")
        assert client.changed == 2


def test_a_server_may_say_that_it_waits_no_longer():
    """What comes while no call is under way is no answer: a new connection whose request is late is replaced, too."""
    with Answers(result(1), connections=2, greeting=b"HTTP/1.1 408 Request Timeout\r\n\r\n").publisher() as client:
        client._load.run_for(5, unless=lambda: not client._is_open)
        client.call(b"first")
        assert client.changed == 1


def test_an_answer_that_does_not_come_fails():
    """The end of a connection that a call waits on is the end of the benchmark."""
    with (
        Answers(requests_each=0).publisher() as client,
        pytest.raises((BenchmarkFailed, OSError)),
    ):
        client.call(b"first")
