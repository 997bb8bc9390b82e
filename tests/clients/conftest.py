"""Stock clients: the packages of the JavaScript ones, installed once, and a school that is reported on."""

import functools
import shutil
import subprocess
from collections.abc import Awaitable, Callable

import pytest

from tests.clients.programs import IN_JAVASCRIPT, IN_PYTHON, JAVASCRIPT, Recipe
from tests.faults.history import History, read_history
from tests.faults.publisher import Publisher
from tests.wire.conftest import secret, server, settings  # noqa: F401 - fixtures


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
    result = subprocess.run([npm, "ci"], cwd=JAVASCRIPT, capture_output=True, text=True, check=False, timeout=50)
    if result.returncode:
        pytest.skip(f"the JavaScript clients are left out: npm could not install them: {result.stderr.strip()}")
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
