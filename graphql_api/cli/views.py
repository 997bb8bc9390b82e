"""How ``watch`` shows events: as a table in the terminal, as lines for people, as JSON for programs."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.live import Live

from graphql_api.cli.board import Board
from graphql_api.cli.table import render
from graphql_api.moment import SECOND, now

__all__ = ["JsonLines", "LiveTable", "TextLines"]

REFRESH_INTERVAL = 0.2
"""Seconds between two looks at whether the table has to be drawn again."""

AGES_INTERVAL = SECOND
"""Microseconds after which it is drawn again even without news: it tells how long ago things were."""


def _tell(sentence: str) -> None:
    typer.echo(sentence, err=True)


class JsonLines:
    """One line for each event on stdout, and nothing else there."""

    def connected(self) -> None:
        """Nothing to say: the events that follow are of the kind SNAPSHOT."""

    def show(self, event: dict[str, Any]) -> None:
        """Write the event, at once."""
        print(json.dumps(event), flush=True)  # noqa: T201 (what the command is for)

    def trouble(self, sentence: str) -> None:
        """Tell it on stderr."""
        _tell(sentence)


class TextLines:
    """A line for each change, where there is no terminal for a table."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._troubled = False

    def connected(self) -> None:
        """Say so, if there was trouble."""
        if self._troubled:
            _tell("Connected again.")
        self._troubled = False

    def show(self, event: dict[str, Any]) -> None:
        """Write what has changed, at once."""
        row = self._board.apply(event)
        when = datetime.fromtimestamp(row.changed_at / SECOND).astimezone().isoformat(" ", "seconds")
        became = f"{row.previous} -> {row.status}" if row.previous else str(row.status)
        print(f"{when}  {row.device_id}  {became}", flush=True)  # noqa: T201 (what the command is for)

    def trouble(self, sentence: str) -> None:
        """Tell it on stderr."""
        self._troubled = True
        _tell(sentence)


class LiveTable:
    """A table that fills the terminal and is kept up to date."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._state = "connecting"
        self._alive = False
        self._drawn_at = 0

    def connected(self) -> None:
        """Begin anew: a snapshot follows."""
        self._board.clear()
        self._state, self._alive = "live", True
        self._drawn_at = 0

    def show(self, event: dict[str, Any]) -> None:
        """Take the event into the table."""
        self._board.apply(event)
        self._drawn_at = 0

    def trouble(self, sentence: str) -> None:
        """Tell it under the table."""
        self._state, self._alive = sentence, False
        self._drawn_at = 0

    async def keep_drawing(self) -> None:
        """Draw until cancelled. Events that come together are drawn together."""
        with self._screen() as live:
            while True:
                if now() - self._drawn_at >= AGES_INTERVAL:
                    self._drawn_at = now()
                    live.update(
                        render(self._board, now(), self._state, alive=self._alive, size=self._console.size),
                        refresh=True,
                    )
                await asyncio.sleep(REFRESH_INTERVAL)

    @contextmanager
    def _screen(self) -> Iterator[Live]:
        # The terminal's other screen: what was there before is back when this ends.
        with Live(console=self._console, screen=True, auto_refresh=False, redirect_stderr=False) as live:
            yield live
