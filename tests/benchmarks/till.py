"""A live database as the programs that copy it see it: its tables, and a consistent copy of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def keys_of(path: Path) -> dict[str, str]:
    """By table, the columns of its key, as ORDER BY takes them."""
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
        return {table: ", ".join(_key(db, table)) for (table,) in tables if _is_shop(table)}


def copy_shop(source: Path, target: Path) -> None:
    """The copy is in WAL mode too."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = WAL")


def size_of(folder: Path) -> int:
    """Bytes of all the files below a folder, or of one file, none counted twice."""
    if folder.is_file():
        return folder.stat().st_size
    return sum({path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}.values())


def _is_shop(table: str) -> bool:
    """Not SQLite's own, and none that a program keeps beside the shop's."""
    return not table.startswith(("sqlite_", "_ps", "prontosync"))


def _key(db: sqlite3.Connection, table: str) -> list[str]:
    columns = db.execute(f"SELECT name, pk FROM pragma_table_info('{table}') WHERE pk ORDER BY pk").fetchall()
    return [name for name, _ in columns]
