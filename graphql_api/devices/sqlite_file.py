"""The file of a SQLite database, which may be replaced or removed while connections to it are open.

A connection stays with the file that it has opened, whatever the path leads to by now: it would read and write a file
that nobody else sees. So each one is looked at before it is used, and given up when its file is no longer the one at
the path. What SQLite keeps beside the file of before must not be taken for that of the new one: SQLite would copy the
pages of one database into the other (sqlite.org/howtocorrupt.html, section 4.4).
"""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

__all__ = ["FileGoneError", "SqliteFile"]

_Identity = tuple[int, int] | None

_COMPANIONS = ("-wal", "-shm")


class FileGoneError(sqlite3.OperationalError):
    """The database was here, and is not any more. It is not made anew until :meth:`SqliteFile.forget` is called."""


class SqliteFile:
    """Looks after the connections that engines make to the file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._identity: _Identity = None
        """Of the file that connections are made to; None before the first one."""
        self._companions: dict[str, _Identity] = {}

    def watch(self, engine: Engine) -> None:
        """Look after this engine's connections."""
        event.listen(engine, "do_connect", self._before_connect)
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", self._check)
        event.listen(engine, "checkin", self._remember_companions)

    def forget(self) -> None:
        """The file that is gone is to be made anew."""
        with self._lock:
            if _identity(self._path) is None:
                self._renew(None)

    def _before_connect(self, *_arguments: object) -> None:
        with self._lock:
            found = _identity(self._path)
            if found is None and self._identity is not None:
                raise FileGoneError("the file is gone")
            if found != self._identity:
                self._renew(found)

    def _connected(self, _connection: object, record: Any) -> None:
        with self._lock:
            found = _identity(self._path)
            if self._identity is None:
                self._identity = found
            # The first of several connections makes them, and the last one takes them away.
            self._companions = {}
            # Where it was replaced between the two looks, which one was opened is not known.
            record.info["file"] = found if found == self._identity else None

    def _check(self, _connection: object, record: Any, _proxy: object) -> None:
        if _identity(self._path) != record.info["file"]:
            raise DisconnectionError("another file is at the path now")

    def _remember_companions(self, _connection: object, record: Any) -> None:
        if len(self._companions) == len(_COMPANIONS) or record.info.get("file") is None:
            return
        with self._lock:
            if record.info["file"] == self._identity == _identity(self._path):
                found = {suffix: _identity(Path(f"{self._path}{suffix}")) for suffix in _COMPANIONS}
                self._companions = {suffix: identity for suffix, identity in found.items() if identity}

    def _renew(self, found: _Identity) -> None:
        for suffix, identity in self._companions.items():
            companion = Path(f"{self._path}{suffix}")
            if _identity(companion) == identity:
                companion.unlink(missing_ok=True)
        self._companions = {}
        self._identity = found


def _identity(path: Path) -> _Identity:
    try:
        # Before each transaction: it takes a third of the time of Path.stat.
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
