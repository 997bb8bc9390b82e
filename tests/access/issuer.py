"""An issuer that publishes its keys: a real HTTP server on this machine, which a test may break in any way."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from jwt.algorithms import get_default_algorithms


def jwk_of(private_key, algorithm: str, **members: Any) -> dict[str, Any]:
    """The public half of a key as a JSON Web Key."""
    return {**get_default_algorithms()[algorithm].to_jwk(private_key.public_key(), as_dict=True), **members}


class Issuer:
    """Serves what ``document`` holds; ``status`` other than 200 and ``hold`` (nobody is answered) are its faults."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.document = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        self._answering = threading.Event()
        self._answering.set()
        self.publish(*keys)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.document = json.dumps({"keys": keys}).encode()

    def hold(self) -> None:
        """Answer nobody until :meth:`release`."""
        self._answering.clear()

    def release(self) -> None:
        self._answering.set()

    @contextmanager
    def serving(self, tls: ssl.SSLContext | None = None) -> Iterator[str]:
        """Serve; the value is the address of the key set."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with issuer._lock:
                    issuer.asked += 1
                    issuer.at_once += 1
                    issuer.most_at_once = max(issuer.most_at_once, issuer.at_once)
                issuer._answering.wait()
                with issuer._lock:
                    issuer.at_once -= 1
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(issuer.document)))
                self.end_headers()
                with suppress(OSError):  # whoever asked has given up
                    self.wfile.write(issuer.document)

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/jwks.json"
        finally:
            self.release()
            server.shutdown()
            thread.join()
            server.server_close()
