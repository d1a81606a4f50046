"""What doltlite is asked to do, in a process where it stands in for SQLite.

``import FILE NEW`` | ``sql FILE STATEMENT…`` | ``merge FILE BRANCH`` | ``edit FILE NAME NUMBER``
| ``serve FOLDER PORT`` | ``probe``
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import ClassVar

import doltlite  # isort: skip  # before sqlite3, whose place it takes
import sqlite3

from tests.benchmarks.edits import Edit


class ServeOptions(ctypes.Structure):
    """What its server takes. By itself it gives a request 30 seconds, which is too short for slow lines."""

    _fields_: ClassVar = [
        ("folder", ctypes.c_char_p),
        ("port", ctypes.c_int),
        ("address", ctypes.c_char_p),
        ("certificate", ctypes.c_char_p),
        ("key", ctypes.c_char_p),
        ("authorized", ctypes.c_char_p),
        ("audience", ctypes.c_char_p),
        ("timeout_ms", ctypes.c_int),
        ("reserved", ctypes.c_void_p * 4),
    ]


def main(task: str, *words: str) -> None:
    match task:
        case "import":
            _import(*words)
        case "sql":
            _sql(*words)
        case "merge":
            _merge(*words)
        case "edit":
            Edit(words[1], int(words[2])).make(_connect(words[0]))
        case "serve":
            options = ServeOptions(words[0].encode(), int(words[1]), b"127.0.0.1", timeout_ms=3_600_000)
            library = ctypes.CDLL(doltlite.libdoltlite_path())
            sys.exit(library.doltliteServeOpts(ctypes.byref(options)))
        case "probe":
            sqlite3.connect(":memory:").execute("SELECT dolt_version()")


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def _import(source: str, target: str) -> None:
    """Take over tables and rows, then indexes, and commit."""
    db = _connect(target)
    db.execute("ATTACH ? AS old", (source,))
    made = "SELECT type, name, sql FROM old.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
    parts = db.execute(made).fetchall()
    tables = [(name, sql) for kind, name, sql in parts if kind == "table" and not name.startswith("sqlite_")]
    for _, sql in tables:
        db.execute(sql)
    db.execute("BEGIN")
    for name, _ in tables:
        db.execute(f'INSERT INTO main."{name}" SELECT * FROM old."{name}"')
    db.execute("COMMIT")
    for kind, _, sql in parts:
        if kind == "index":
            db.execute(sql)
    db.execute("SELECT dolt_commit('-A', '-m', 'snapshot 0')").fetchall()


def _sql(path: str, *statements: str) -> None:
    db = _connect(path)
    for statement in statements:
        for row in db.execute(statement):
            sys.stdout.write(f"{row}\n")


def _merge(path: str, branch: str) -> None:
    """Prints how many conflicts there were."""
    db = _connect(path)
    db.execute("BEGIN")
    with suppress(sqlite3.OperationalError):  # that there are conflicts is an error
        db.execute("SELECT dolt_merge(?)", (branch,)).fetchall()
    conflicts = db.execute("SELECT * FROM dolt_conflicts").fetchall()
    for table, _ in conflicts:
        db.execute("SELECT dolt_conflicts_resolve('--ours', ?)", (table,)).fetchall()
    db.execute("SELECT dolt_commit('-A', '-m', 'merge')").fetchall()
    sys.stdout.write(f"{sum(number for _, number in conflicts)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
