"""Making the tables of a database that is found without them while the service runs."""

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from graphql_api.devices.engines import Engines, UnusableDatabaseError
from graphql_api.devices.migrations import Migration
from graphql_api.devices.sqlite_file import FileGoneError
from graphql_api.devices.tables import metadata
from graphql_api.errors import Unavailable

__all__ = ["Renewal", "lacks_tables"]

logger = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that a database is left alone that is empty or gone: somebody may be about to restore it."""

_NO_SUCH_TABLE = "42P01"
"""SQLSTATE of a table that is not there."""

_NOT_IN_FILE = frozenset(f"no such table: {name}" for name in metadata.tables)
"""What SQLite says of a table that is not there."""

_EMPTY = "The store is empty, or being restored. Repeat the call in a few seconds."


class Renewal:
    """Notices that a database was swapped for one without tables, and makes them. For use in worker threads.

    ``prepare`` brings a database to this version's tables, as at the start: of several processes one does it, under
    the lock of the migrations, and the others find nothing to do.
    """

    def __init__(self, engines: Engines, prepare: Callable[[Engines], Migration]) -> None:
        self._engines = engines
        self._prepare = prepare
        self._lock = threading.Lock()
        self._empty_since: float | None = None

    def found_tables(self) -> None:
        """A transaction has succeeded."""
        self._empty_since = None

    def make_tables(self) -> None:
        """A transaction has found no tables: make them, unless somebody may be about to. To be repeated then.

        Raises:
            Unavailable: the tables are not there yet.
        """
        with self._lock:
            now = time.monotonic()
            if self._empty_since is None:
                self._empty_since = now
                logger.warning("The database was found to be empty or gone while the service runs.")
            if now - self._empty_since < GRACE:
                raise Unavailable(_EMPTY)
            if self._engines.file:
                self._engines.file.forget()
            try:
                migration = self._prepare(self._engines)
            except (SQLAlchemyError, UnusableDatabaseError) as error:
                logger.warning("The database is another one now, and can't be used: %s", error)
                raise Unavailable(_EMPTY) from error
            if migration.before is None:
                logger.warning("The database was empty, so its tables were made anew. All history begins again.")
            self._empty_since = None


def lacks_tables(error: SQLAlchemyError) -> bool:
    """Whether this is the error of a database that is gone, or lacks a table of ours."""
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlstate", None) == _NO_SUCH_TABLE:
        # The text is in the server's language, and has the name in quotes.
        return any(f'"{name}"' in str(cause) for name in metadata.tables)
    return isinstance(cause, FileGoneError) or str(cause) in _NOT_IN_FILE
