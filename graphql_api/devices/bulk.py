"""Many rows in one statement, the fastest way of each engine.

SQLite repeats a prepared statement for each row, without a round trip. PostgreSQL takes one array
for each column. SQLAlchemy's own executemany builds a dictionary for every row, which took half
of the time of recording a round.
"""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Connection, Table

from graphql_api.devices.direct import run, run_for_each

__all__ = ["Bulk", "bulk_insert", "bulk_update"]


class Bulk:
    """A statement on many rows: tuples whose values stand in the order of the columns it was made for."""

    def __init__(self, sqlite: str, postgresql: str) -> None:
        self._sqlite = sqlite
        self._postgresql = postgresql

    def execute(self, connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
        """Write the rows; none is fine."""
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            columns = tuple(list(column) for column in zip(*rows, strict=True))
            run(connection, self._postgresql, columns)
        else:
            run_for_each(connection, self._sqlite, rows)


def bulk_insert(table: Table) -> Bulk:
    """Insert rows with all the columns of the table, in their order."""
    columns = list(table.columns)
    names, marks = _names(columns), ", ".join("?" for _ in columns)
    # All names come from the tables of this package.
    return Bulk(
        f"INSERT INTO {table.name} ({names}) VALUES ({marks})",  # noqa: S608 - our names
        f"INSERT INTO {table.name} ({names}) SELECT * FROM {_unnest(columns)}",  # noqa: S608 - our names
    )


def bulk_update(table: Table, columns: Sequence[Column[object]]) -> Bulk:
    """Set these columns of the rows with these primary keys: the values come first, then the keys."""
    keys = list(table.primary_key.columns)
    given = [*columns, *keys]
    values = ", ".join(f"{column.name} = ?" for column in columns)
    from_given = ", ".join(f"{column.name} = given.{column.name}" for column in columns)
    same_key = " AND ".join(f"{table.name}.{key.name} = given.{key.name}" for key in keys)
    return Bulk(
        f"UPDATE {table.name} SET {values} WHERE " + " AND ".join(f"{key.name} = ?" for key in keys),  # noqa: S608 - our names
        f"UPDATE {table.name} SET {from_given} FROM {_unnest(given)} AS given ({_names(given)}) WHERE {same_key}",  # noqa: S608 - our names
    )


def _names(columns: Sequence[Column[object]]) -> str:
    return ", ".join(column.name for column in columns)


def _unnest(columns: Sequence[Column[object]]) -> str:
    arrays = ("%s::bigint[]" if isinstance(column.type, BigInteger) else "%s::text[]" for column in columns)
    return f"unnest({', '.join(arrays)})"
