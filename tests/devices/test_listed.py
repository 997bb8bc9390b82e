"""A column that is one of many ids, as SQL."""

import json
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from graphql_api.devices.listed import listed
from graphql_api.devices.tables import device, metadata, school


@pytest.mark.parametrize(
    "statement",
    [
        select(school.c.head).where(listed(school.c.school_id, "ids")),
        select(device.c.status).where(device.c.school_id == "s", listed(device.c.device_id, "ids")),
    ],
)
def test_sqlite_looks_the_ids_up(statement):
    """Of many rows SQLite reads those that are listed, by their key, alone or beside another condition."""
    compiled = statement.compile(dialect=sqlite.dialect())
    values = [compiled.params[name] or json.dumps(["a", "b"]) for name in compiled.positiontup]
    with closing(sqlite3.connect(":memory:")) as connection:
        for table in metadata.sorted_tables:
            columns = ", ".join(f"{column.name}" for column in table.columns)
            key = ", ".join(column.name for column in table.primary_key)
            connection.execute(f"CREATE TABLE {table.name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {compiled}", values)]
    assert plan[0] in {
        "SEARCH school USING PRIMARY KEY (school_id=?)",
        "SEARCH device USING PRIMARY KEY (school_id=? AND device_id=?)",
    }
