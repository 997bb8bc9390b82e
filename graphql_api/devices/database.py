"""Transactions in worker threads: begun, repeated where that is safe, and their errors put into words."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from anyio import CancelScope
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, NoResultFound, OperationalError, SQLAlchemyError
from sqlalchemy.exc import InterfaceError as DriverInterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from graphql_api.devices.engines import Engines, check, make_engines
from graphql_api.devices.group_commit import GroupCommit, Write
from graphql_api.devices.migrations import Migration, migrate
from graphql_api.devices.renewal import Renewal, lacks_tables
from graphql_api.devices.workers import Workers, WorkerStatistics
from graphql_api.errors import Unavailable

__all__ = ["Database", "migrate_database"]

T = TypeVar("T")

ATTEMPTS = 4

_ROLLED_BACK = frozenset({"40001", "40P01"})
"""SQLSTATEs of a serialization failure and a deadlock: another transaction came first."""
_READ_ONLY = "25006"
"""SQLSTATE of a server that a failover has made a standby."""

_GONE = "The store can't be reached now. Repeat the call in a few seconds."
_LOST = (
    "The answer of the store was lost: the round may have been recorded. "
    "Repeat it; with the same observedAt that does no harm."
)


class _CommitLostError(Exception):
    """A COMMIT failed: whether it took effect is not known."""


class Database:
    """One database: each call is one transaction in a worker thread.

    A transaction whose connection turns out to be dead before its COMMIT, or that the database gave
    up in favour of another, is run again: what it does must depend on nothing but its connection.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._writers = Workers("store-write", engines.writers)
        self._readers = Workers("store-read", engines.readers)
        self._renewal = Renewal(engines, _prepare)
        self._commits = GroupCommit(self._writers, partial(_commit, self._renewal, engines.writer))

    @classmethod
    async def open(cls, url: str) -> Self:
        """Reach the database, and migrate it.

        Raises:
            ValueError: the URL is none of a SQLite file or a PostgreSQL database.
            UnusableDatabaseError: the database can't serve: see :mod:`graphql_api.devices.engines`.
            Unavailable: it can't be reached now.
        """
        self = cls(make_engines(url))
        try:
            await self._writers.run(lambda: _prepare(self._engines))
        except BaseException:
            await self.close()
            raise
        return self

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction that sees one moment.

        Raises:
            Unavailable: the database can't be reached, or too many calls are waiting.
        """
        return await self._readers.run(lambda: _repeat(self._renewal, lambda: _read(self._engines.reader, work)))

    async def write(self, work: Callable[[Connection], T], *, school: str | None = None) -> T:
        """Run ``work`` in a transaction, and commit; an exception of ``work`` rolls back and leaves here.

        Those of one school that wait are committed together, on SQLite those of all schools, each with a savepoint
        of its own: what one does wrong is undone for it alone. One of no school is committed alone.

        Raises:
            Unavailable: nothing was written; or, as its text says, the answer to the COMMIT was lost.
        """
        if school is None:
            return await self._writers.run(lambda: _repeat(self._renewal, lambda: _write(self._engines.writer, work)))
        # PostgreSQL locks schools one by one: two transactions that want the same two could wait for each other.
        return await self._commits.run(school if self._engines.writers > 1 else None, work)

    async def close(self) -> None:
        """Wait for what runs, end the threads, close the connections. May be repeated; is not cancelled half-way."""
        with CancelScope(shield=True):
            await self._writers.close()
            await self._readers.close()
            self._engines.dispose()

    def statistics(self) -> tuple[WorkerStatistics, WorkerStatistics]:
        """Of the writes, and of the reads."""
        return self._commits.statistics(), self._readers.statistics()


def migrate_database(url: str) -> Migration:
    """Bring a database to this version's tables, and tell from and to which revision it moved.

    Raises what :meth:`Database.open` raises.
    """
    engines = make_engines(url)
    try:
        return _prepare(engines)
    finally:
        engines.dispose()


def _prepare(engines: Engines) -> Migration:
    try:
        check(engines)
        return migrate(engines)
    except SQLAlchemyError as error:
        if not _is_unavailable(error):
            raise
        raise Unavailable(_GONE) from error


def _repeat(renewal: Renewal, transact: Callable[[], T]) -> T:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            result = transact()
        except _CommitLostError as lost:
            raise Unavailable(_LOST) from lost.__cause__
        except SQLAlchemyError as error:
            if attempt < ATTEMPTS and lacks_tables(error):
                renewal.make_tables()
                continue
            if attempt < ATTEMPTS and _is_worth_repeating(error):
                continue
            if _is_unavailable(error):
                raise Unavailable(_GONE) from error
            raise
        renewal.found_tables()
        return result
    raise AssertionError("unreachable: the last attempt returns or raises")


def _read(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.connect() as connection, connection.begin() as transaction:
        result = work(connection)
        # There is nothing to commit, and so no answer to a COMMIT that could be lost.
        transaction.rollback()
        return result


def _write(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        transaction = connection.begin()
        try:
            result = work(connection)
        except DBAPIError as error:
            if _state(error) == _READ_ONLY:
                # The next attempt is to find the new primary.
                connection.invalidate(error)
            raise
        try:
            transaction.commit()
        except DBAPIError as error:
            if _state(error) in _ROLLED_BACK:
                raise
            raise _CommitLostError from error
        return result


def _commit(renewal: Renewal, engine: Engine, writes: Sequence[Write[Any]]) -> None:
    alone = len(writes) == 1
    work: Callable[[Connection], list[Any]] = partial(_each_alone if alone else _each_undoable, writes)
    try:
        outcomes = _repeat(renewal, lambda: _write(engine, work))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the callers'
        outcomes = [error] * len(writes)
    for write, outcome in zip(writes, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            write.outcome.set_exception(outcome)
        else:
            write.outcome.set_result(outcome)


def _each_alone(writes: Sequence[Write[Any]], connection: Connection) -> list[Any]:
    return [write.work(connection) for write in writes]


def _each_undoable(writes: Sequence[Write[Any]], connection: Connection) -> list[Any]:
    outcomes: list[Any] = []
    for write in writes:
        savepoint = connection.begin_nested()
        try:
            outcome = write.work(connection)
            savepoint.commit()
        except Exception as error:  # noqa: BLE001 - it is the caller's of this one
            outcome = _own_failure(error, connection)
            # Where a full disk made SQLite give up all of the transaction there is no savepoint any more. What this
            # raises then is for all of them: what was done before is undone, and what came next would go by itself.
            savepoint.rollback()
        outcomes.append(outcome)
    return outcomes


def _own_failure(error: Exception, connection: Connection) -> Exception:
    if not isinstance(error, SQLAlchemyError):
        return error
    if _is_worth_repeating(error) or lacks_tables(error) or connection.invalidated:
        raise error
    return Unavailable(_GONE) if _is_unavailable(error) else error


def _state(error: SQLAlchemyError) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _is_worth_repeating(error: SQLAlchemyError) -> bool:
    if _state(error) in _ROLLED_BACK or _state(error) == _READ_ONLY:
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _is_unavailable(error: SQLAlchemyError) -> bool:
    # No result: of the epoch's row, while a dump of a database is being loaded.
    if isinstance(error, OperationalError | DriverInterfaceError | PoolTimeoutError | NoResultFound):
        return True
    if _state(error) == _READ_ONLY:
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated
