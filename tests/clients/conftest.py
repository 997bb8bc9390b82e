"""Stock clients: the packages of the JavaScript ones, installed once, and a school that is reported on."""

import functools
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from tests.clients.programs import IN_JAVASCRIPT, IN_PYTHON, JAVASCRIPT, Recipe
from tests.faults.history import History, read_history
from tests.faults.publisher import Publisher
from tests.wire.conftest import secret, server, settings  # noqa: F401 - fixtures

INSTALLING = 120
"""Seconds that npm may take."""

# What npm says where the repository's own files are wrong: any other failure is the registry's, or the way there.
OWN_FAULT = re.compile(r"\b(?:EUSAGE|EINTEGRITY|EJSONPARSE)\b")


def _install(npm: str) -> None:
    command = [npm, "ci", "--fetch-retries=1", "--ignore-scripts"]
    subprocess.run(command, cwd=JAVASCRIPT, capture_output=True, text=True, check=True, timeout=INSTALLING)


@pytest.fixture(scope="session")
def node() -> None:
    """Node with the clients' packages, as the lock file has them."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("the JavaScript clients need node and npm, which are not installed here")
    lock = (JAVASCRIPT / "package-lock.json").read_text()
    installed = JAVASCRIPT / "node_modules" / ".installed"
    if installed.exists() and installed.read_text() == lock:
        return
    try:
        _install(npm)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the JavaScript clients are left out: npm has not installed them in {INSTALLING} s")
    except subprocess.CalledProcessError as failed:
        reason = failed.stderr.strip()
        assert not OWN_FAULT.search(reason), reason
        pytest.skip(f"the JavaScript clients are left out: npm can't get them from its registry: {reason[:200]}")
    installed.write_text(lock)


@pytest.fixture
def publisher(server) -> Publisher:  # noqa: F811 - the fixture
    """The health checker, whose own token outlives the test."""
    return Publisher([server], "1", server.token("1", scopes=["devices:publish"], ttl=86_400))


@pytest.fixture(params=["in JavaScript", "in Python"])
def recipes(request) -> list[Recipe]:
    """All recipes of one language."""
    if request.param == "in Python":
        return IN_PYTHON
    request.getfixturevalue("node")
    return IN_JAVASCRIPT


@pytest.fixture
def history(settings) -> Callable[[], Awaitable[History]]:  # noqa: F811 - the fixture
    """Reads what the database holds of the school."""
    return functools.partial(read_history, settings.database_url.get_secret_value(), "1")
