"""Databases that are nobody's live ones yet: made and used as a till would, for the demo."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from prontosync.sources.door import door

Statement = tuple[str, Sequence[Any]]
"""SQL, and the values of its placeholders."""


def make_database(path: Path, script: str) -> None:
    """A new SQLite database with what the script defines and inserts."""
    path.touch(exist_ok=False)
    with door(path, "sqlite3"), closing(sqlite3.connect(path)) as database, database:
        database.executescript(script)


def work(path: Path, statements: Iterable[Statement]) -> None:
    """One transaction, foreign keys enforced."""
    with door(path, "sqlite3"), closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("BEGIN IMMEDIATE")
        for sql, values in statements:
            database.execute(sql, values)


def ask(path: Path, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The column names and rows of a query."""
    with door(path, "sqlite3"), closing(sqlite3.connect(path)) as database:
        cursor = database.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()
