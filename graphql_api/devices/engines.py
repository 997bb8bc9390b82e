"""From a database URL to SQLAlchemy engines: what is particular to SQLite and to PostgreSQL."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

from graphql_api.devices.sqlite_file import SqliteFile

__all__ = ["LIBPQ_DEFAULTS", "Engines", "UnusableDatabaseError", "make_engines"]

SQLITE_READERS = 3
POSTGRESQL_WRITERS = 4
POSTGRESQL_READERS = 4

SQLITE_BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that writes to the same file."""

CONNECT_TIMEOUT = 4
"""Seconds to wait for PostgreSQL to accept a connection."""

LIBPQ_DEFAULTS = {
    "connect_timeout": str(CONNECT_TIMEOUT),
    "application_name": "device-status",
    # A server whose machine is gone does not say so: notice within seconds instead of hours.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

_POSTGRESQL_SESSION = "SET lock_timeout = '10s'; SET statement_timeout = '30s'"
"""Nobody waits for ever for a school's row that a stopped process holds."""


class UnusableDatabaseError(RuntimeError):
    """The database that the settings name can't serve as the store; the text says why."""


@dataclass(frozen=True, slots=True)
class Engines:
    """Two ways into one database, and how many threads may go each at a time."""

    writer: Engine
    reader: Engine
    """Every transaction sees one moment, and can't write on PostgreSQL."""
    writers: int
    readers: int
    file: SqliteFile | None = None
    """Of a SQLite database."""

    def dispose(self) -> None:
        """Close the connections. They must have been given back."""
        self.reader.dispose()
        self.writer.dispose()


def make_engines(text: str) -> Engines:
    """The engines for a database URL; nothing but the file system is looked at yet.

    Raises:
        ValueError: the URL is none, or names something else than a SQLite file or a PostgreSQL database.
        UnusableDatabaseError: the SQLite file can't be where the URL wants it.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The text may hold a password: it is not repeated.
        raise ValueError("expected a database URL like sqlite:///device-status.db or postgresql://host/name") from None
    match url.drivername:
        case "sqlite":
            return _sqlite(url)
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return _postgresql(url)
    raise ValueError(f"expected a database URL that begins with sqlite:// or postgresql://, not {url.drivername}://")


def _sqlite(url: URL) -> Engines:
    if url.database in {None, "", ":memory:"}:
        raise ValueError(
            "expected the path of a file after sqlite:///, like sqlite:///device-status.db: "
            "a database in memory has no log to resume from after a restart"
        )
    if url.query or url.host or url.username:
        raise ValueError(
            "expected nothing but a path in the SQLite URL: sqlite:///relative.db or sqlite:////absolute.db"
        )
    file = Path(str(url.database)).absolute()
    _check_file(file)
    options: dict[str, Any] = {
        "poolclass": QueuePool,
        "max_overflow": 0,
        # The driver begins no transaction by itself: the hooks below say which kind begins.
        "connect_args": {"isolation_level": None, "timeout": SQLITE_BUSY_TIMEOUT},
    }
    file_url = URL.create("sqlite", database=str(file))
    writer = create_engine(file_url, pool_size=1, **options)
    reader = create_engine(file_url, pool_size=SQLITE_READERS, **options)
    watched = SqliteFile(file)
    watched.watch(writer)
    watched.watch(reader)
    event.listen(writer, "connect", _prepare_writer)
    event.listen(writer, "begin", _begin_write)
    event.listen(reader, "begin", _begin_read)
    return Engines(writer, reader, 1, SQLITE_READERS, watched)


def _check_file(file: Path) -> None:
    if not file.parent.is_dir():
        raise UnusableDatabaseError(f"the SQLite file {file} can't be made: there is no directory {file.parent}")
    if file.exists() and not file.is_file():
        raise UnusableDatabaseError(f"{file} is not a file, so it can't be the SQLite database")
    # SQLite puts two more files beside the database: the directory must be writable as well.
    for path in (file.parent, file):
        if path.exists() and not os.access(path, os.W_OK):
            raise UnusableDatabaseError(f"the SQLite file {file} can't be used: {path} is not writable")


def _prepare_writer(connection: Any, _record: object) -> None:
    give_up = time.monotonic() + SQLITE_BUSY_TIMEOUT
    while True:
        try:
            # Persistent, but not waiting for the lock as other statements do: several processes
            # that make the file at once may find it locked here.
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except connection.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
    # A round that was confirmed survives a loss of power.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_write(connection: Connection) -> None:
    # A deferred transaction that reads first can fail when it wants to write. This one waits its turn.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_read(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _postgresql(url: URL) -> Engines:
    url = url.set(drivername="postgresql+psycopg", query={**LIBPQ_DEFAULTS, **url.query})
    # As many connections as threads: no thread ever waits for one. Stale ones cost no ping on
    # every call: a transaction that finds its connection dead is run again on a fresh one.
    writer = create_engine(url, pool_size=POSTGRESQL_WRITERS + POSTGRESQL_READERS, max_overflow=0)
    event.listen(writer, "connect", _prepare_session)
    reader = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return Engines(writer, reader, POSTGRESQL_WRITERS, POSTGRESQL_READERS)


def _prepare_session(connection: Any, _record: object) -> None:
    connection.execute(_POSTGRESQL_SESSION)
    connection.commit()


def check(engines: Engines) -> None:
    """Look whether the database is there and can hold what is to come.

    Raises:
        UnusableDatabaseError: it is something else than a database, or knows no Unicode.
        sqlalchemy.exc.OperationalError: it can't be reached now.
    """
    try:
        with engines.writer.connect() as connection:
            if connection.dialect.name == "postgresql":
                encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
                if encoding != "UTF8":
                    raise UnusableDatabaseError(f"the PostgreSQL database must be in UTF8, but it is in {encoding}")
    except OperationalError as error:
        if engines.writer.dialect.name == "sqlite":
            raise UnusableDatabaseError(
                f"the SQLite file {engines.writer.url.database} can't be used: {error.orig}"
            ) from error
        raise
    except DatabaseError as error:
        raise UnusableDatabaseError(f"{engines.writer.url.database} can't be used: {error.orig}") from error
