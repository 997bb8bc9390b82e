"""Bringing a database to the tables of this version, step by step, by Alembic.

Safe when several processes start at once: the first one takes a lock and migrates, the others
wait and find nothing to do. All steps are one transaction: a failing one leaves nothing behind.
"""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from graphql_api.devices.engines import Engines, UnusableDatabaseError

__all__ = ["Migration", "migrate"]

# Alembic reports the dialect and each step at INFO; what happened is told by `Migration` instead.
logging.getLogger("alembic").setLevel(logging.WARNING)

# Alembic keeps the running migration in a module: one at a time per process.
_one_at_a_time = threading.Lock()

# Any number will do, as long as every version of this service takes the same.
_ADVISORY_LOCK = 0x6465766963655374


@dataclass(frozen=True, slots=True)
class Migration:
    """From which revision to which a database was moved; the same when there was nothing to do."""

    before: str | None
    """None: the database was empty."""
    after: str


def migrate(engines: Engines) -> Migration:
    """Bring the database to this version's revision.

    Raises:
        UnusableDatabaseError: the database was made by a newer version of the service.
    """
    script = ScriptDirectory(str(Path(__file__).parent))
    newest = script.get_current_head()
    if newest is None:
        raise RuntimeError("the package holds no migrations: it was built wrongly")
    with engines.reader.connect() as connection:
        before = _revision(connection, script)
    if before == newest:
        # The usual start. It takes no lock, and needs no right to change tables.
        return Migration(before, newest)
    with _one_at_a_time, engines.writer.begin() as connection:
        _lock(connection)
        before = _revision(connection, script)
        if before != newest:
            config = Config()
            config.set_main_option("script_location", script.dir.replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, newest)
    return Migration(before, newest)


def _revision(connection: Connection, script: ScriptDirectory) -> str | None:
    found = MigrationContext.configure(connection).get_current_revision()
    known = {step.revision for step in script.walk_revisions()}
    if found is not None and found not in known:
        raise UnusableDatabaseError(
            f"the database is at revision {found}, which this version of the service does not know "
            f"(it knows up to {script.get_current_head()}): it was made by a newer one; run that, or restore a backup"
        )
    return found


def _lock(connection: Connection) -> None:
    # On SQLite the transaction has begun with BEGIN IMMEDIATE: the file is locked already.
    if connection.dialect.name == "postgresql":
        # Another process may be at it for long: that is no reason to give up.
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
