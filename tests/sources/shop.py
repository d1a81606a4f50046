"""Databases as a till leaves them, made and looked at with Python's own SQLite while nothing else has them open."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.sources.contract import RowChanges, SourceTable, StateRow
from prontosync.sources.sqlite import SqliteSource
from prontosync.sources.statements import quoted
from prontosync.sources.survey import Selection

Row = dict[str, Any]
NOTE = StateRow("repository", "stores/012", "c" * 64, 1)


def make(path: Path, *statements: str, rows: Iterable[tuple[str, Sequence[Any]]] = (), journal: str = "delete") -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as till:
        till.execute("PRAGMA synchronous = OFF")
        till.execute(f"PRAGMA journal_mode = {journal}")
        till.execute("BEGIN")
        for statement in statements:
            till.execute(statement)
        for statement, values in rows:
            till.execute(statement, values)
        till.execute("COMMIT")
    return path


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as till:
        return till.execute(sql).fetchall()


def stored(path: Path, table: str, columns: Sequence[str], order: str = "1") -> list[tuple[Any, ...]]:
    """Storage classes and values to the bit."""
    both = ", ".join(
        f"typeof({quoted(c)}), iif(typeof({quoted(c)}) = 'text', CAST({quoted(c)} AS BLOB), {quoted(c)})"
        for c in columns
    )
    found = ask(path, f"SELECT {both} FROM {quoted(table)} ORDER BY {order}")
    return [tuple(struct.pack("<d", v) if isinstance(v, float) else v for v in row) for row in found]


def source(path: Path, busy_seconds: float = 0.2, **selection: Any) -> SqliteSource:
    return SqliteSource(path, temp=path.parent / "private", selection=Selection(**selection), busy_seconds=busy_seconds)


def read(live: SqliteSource) -> dict[str, tuple[SourceTable, pa.Table]]:
    with live.read() as state:
        return {name: state.scan(name, lambda scan: (scan.table, whole(scan))) for name in state.tables}


def whole(scan: Any) -> pa.Table:
    return pa.Table.from_batches(list(scan.batches), schema=arrow_schema(scan.table.schema))


def rebuilt(path: Path, target: Path, **selection: Any) -> Path:
    """A new database from what is read of another one."""
    live = source(path, **selection)
    tables = read(live)
    with live.read() as state:
        database = state.database
    source(target).build([(table, iter(rows.to_batches())) for table, rows in tables.values()], database)
    return target


def changes(
    table: SourceTable,
    *,
    deletes: Sequence[Row] = (),
    inserts: Sequence[Row] = (),
    updates: Sequence[tuple[Row, Row]] = (),
) -> RowChanges:
    """``updates`` are (the old row, what changes in it)."""
    schema = arrow_schema(table.schema)

    def rows(given: Iterable[Row]) -> pa.Table:
        return pa.Table.from_pylist(list(given), schema=schema)

    return RowChanges(
        table,
        rows(deletes),
        rows(inserts),
        rows(old for old, _ in updates),
        rows({**old, **new} for old, new in updates),
    )


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for -shm, which holds nothing except the marks of who reads just now."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.name.endswith("-shm")}
