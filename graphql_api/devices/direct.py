"""Statements that each recorded round needs, handed to the driver by the shortest way.

SQLAlchemy compiles them, keeps the connections, and says what an error means. But what it does around each single
execution (contexts, events, result objects) took half of the time of recording a round of one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Dialect, Select

__all__ = ["Direct", "run", "run_for_each"]

Row = tuple[Any, ...]


class Direct:
    """A query, compiled once for each engine."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """What it finds. Belongs inside a transaction that has begun.

        Raises:
            sqlalchemy.exc.DBAPIError: as when SQLAlchemy executes it.
        """
        compiled = self._compiled.get(connection.dialect.name)
        if compiled is None:
            compiled = self._compiled[connection.dialect.name] = _Compiled.of(self._statement, connection.dialect)
        values = compiled.values(parameters)
        with _cursor(connection, compiled.text) as cursor:
            cursor.execute(compiled.text, values)
            found: Sequence[Row] = cursor.fetchall()
        return found


def run(connection: Connection, text: str, values: Sequence[object]) -> None:
    """Execute a statement in the driver's own words. Belongs inside a transaction, too.

    Raises:
        sqlalchemy.exc.DBAPIError: as when SQLAlchemy executes it.
    """
    with _cursor(connection, text) as cursor:
        cursor.execute(text, values)


def run_for_each(connection: Connection, text: str, rows: Sequence[Sequence[object]]) -> None:
    """As :func:`run`, for each of these rows. For SQLite: psycopg's ``executemany`` hides that a connection is dead."""
    with _cursor(connection, text) as cursor:
        cursor.executemany(text, rows)


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    names: Sequence[str]
    converters: Mapping[str, Callable[[Any], Any]]
    is_positional: bool

    @classmethod
    def of(cls, statement: Select[Any], dialect: Dialect) -> "_Compiled":
        compiled = statement.compile(dialect=dialect)
        converters = {
            name: convert
            for name, bound in compiled.binds.items()
            if (convert := bound.type.dialect_impl(dialect).bind_processor(dialect))
        }
        places = compiled.positiontup
        return cls(str(compiled), places or list(compiled.binds), converters, is_positional=bool(places))

    def values(self, given: Mapping[str, Any]) -> Any:
        """The parameters as the driver wants them."""
        converted = {**given, **{name: convert(given[name]) for name, convert in self.converters.items()}}
        return tuple(converted[name] for name in self.names) if self.is_positional else converted


@contextmanager
def _cursor(connection: Connection, text: str) -> Iterator[Any]:
    cursor = connection.connection.cursor()
    try:
        yield cursor
    except connection.dialect.loaded_dbapi.Error as error:
        # The one way to what SQLAlchemy makes of a driver's error: with a connection that is dead all older ones go.
        connection._handle_dbapi_exception(error, text, None, cursor, None)  # noqa: SLF001 - see above
    cursor.close()
