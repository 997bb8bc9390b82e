"""The service with a probe in its event loop; its arguments are those of ``device-status serve``.

Whatever holds the loop up makes a timer of the probe late: how late at the most is the longest pause. What the loop's
thread has computed between two looks, at the most, is how long it did not let the loop breathe by its own doing: other
processes on the core make no difference there. At SIGUSR1 both are written to the standard output, as ``pause:`` and
seconds, and the probe begins anew.
"""

import argparse
import asyncio
import signal
import sys
import time

from graphql_api.app import create_app
from graphql_api.cli.serving import configure
from graphql_api.delivery.server import run_server
from graphql_api.settings import load_settings

__all__ = ["Probe", "main"]

# Seconds between two looks of the probe: a pause may have been longer by as much.
_INTERVAL = 0.0005


class Probe:
    """Looks how late the loop is."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._longest = self._computed = 0.0
        self._loop.add_signal_handler(signal.SIGUSR1, self._tell)
        self._arm()

    def _arm(self) -> None:
        due = self._loop.time() + _INTERVAL
        self._loop.call_at(due, self._look, due, time.thread_time())

    def _look(self, due: float, computed: float) -> None:
        self._longest = max(self._longest, self._loop.time() - due)
        self._computed = max(self._computed, time.thread_time() - computed)
        self._arm()

    def _tell(self) -> None:
        sys.stdout.write(f"pause: {self._longest:.6f} {self._computed:.6f}\n")
        sys.stdout.flush()
        self._longest = self._computed = 0.0


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    settings = load_settings()
    probes = []
    run_server(
        configure(settings, create_app(settings), "127.0.0.1", port), on_listening=lambda _: probes.append(Probe())
    )


if __name__ == "__main__":
    main()
