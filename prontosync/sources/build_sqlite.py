"""A new SQLite database from definitions and rows: built beside its place, then put there whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from prontosync.model.schema import DatabaseDdl
from prontosync.sources.bindings import RowBinder
from prontosync.sources.connection import Connection, ConstraintFailed, connected
from prontosync.sources.contract import ConstraintBroken, SourceTable, SourceUnfit
from prontosync.sources.statements import literal, quoted

Tables = Sequence[tuple[SourceTable, Iterator[pa.RecordBatch]]]
_BEFORE = ("page_size", "encoding", "auto_vacuum")
_AFTER = ("user_version", "application_id", "journal_mode")
_TABLE, _INDEX, _TRIGGER = range(3)


def build_database(path: Path, is_empty: Callable[[], bool], tables: Tables, database: DatabaseDdl) -> None:
    """The contract's ``Source.build``."""
    _check_place(path, is_empty)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".new", dir=path.parent)
    os.close(handle)
    new = Path(name)
    try:
        with connected(new, "rw", 0) as connection:
            _fill(connection, tables, database)
        new.chmod(0o666 & ~_umask())
        _flush(new)
        _place(new, path, is_empty)
        _flush(path.parent)
    finally:
        for ending in ("", "-journal", "-wal", "-shm"):
            Path(name + ending).unlink(missing_ok=True)


def _check_place(path: Path, is_empty: Callable[[], bool]) -> None:
    if not is_empty():
        raise SourceUnfit(f'database "{path}" is not empty', "move it away, or restore to another place")
    for ending in ("-journal", "-wal"):
        leftover = path.with_name(path.name + ending)
        if leftover.exists() and leftover.stat().st_size > 0:
            raise SourceUnfit(
                f'"{leftover}" is left of an older database and would be taken for a part of the new one',
                f'move it away, it may hold the last sales before the crash: mv "{leftover}" …',
            )


def _place(new: Path, path: Path, is_empty: Callable[[], bool]) -> None:
    """Linking never overwrites; a file without a table is replaced."""
    try:
        path.hardlink_to(new)
    except FileExistsError:
        _check_place(path, is_empty)
        new.replace(path)


def _fill(connection: Connection, tables: Tables, database: DatabaseDdl) -> None:
    for name in _BEFORE:
        _set(connection, name, database)
    # The file is nobody's until it is in its place, where it comes synced.
    connection.run("PRAGMA journal_mode = OFF")
    connection.run("PRAGMA synchronous = OFF")
    connection.run("PRAGMA foreign_keys = OFF")
    connection.run("BEGIN")
    try:
        _define(connection, tables, _TABLE)
        for table, batches in tables:
            _insert(connection, table, batches)
        # Triggers would fire on the rows, and indexes are quicker to make at once.
        _define(connection, tables, _INDEX)
        _count(connection, database)
        _define(connection, tables, _TRIGGER)
        for statement in database.statements:
            connection.run(statement)
    except ConstraintFailed as error:
        raise ConstraintBroken(f"the rows do not fit their own definition: {error}") from error
    connection.run("COMMIT")
    for name in _AFTER:
        _set(connection, name, database)


def _set(connection: Connection, name: str, database: DatabaseDdl) -> None:
    value = database.settings.get(name)
    if value is not None:
        connection.run(f"PRAGMA main.{name} = {literal(value)}")


def _define(connection: Connection, tables: Tables, kind: int) -> None:
    for table, _ in tables:
        for statement in table.ddl.statements:
            if _kind(statement) == kind:
                connection.run(statement)


def _kind(statement: str) -> int:
    """SQLite keeps each definition with its own CREATE in front, written by itself in capitals."""
    if statement.startswith("CREATE TRIGGER"):
        return _TRIGGER
    return _INDEX if statement.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX")) else _TABLE


def _insert(connection: Connection, table: SourceTable, batches: Iterator[pa.RecordBatch]) -> None:
    binder = RowBinder(table)
    columns = ", ".join(quoted(column.name) for column in binder.columns)
    sql = f"INSERT INTO main.{quoted(table.name)} ({columns}) VALUES ({', '.join(binder.values())})"
    try:
        connection.bind(sql, binder.schema(), map(binder.encoded, batches))
    except ConstraintFailed as error:
        raise ConstraintBroken(f'table "{table.name}": its rows do not fit its definition: {error}') from error


def _count(connection: Connection, database: DatabaseDdl) -> None:
    for name, counter in database.sequences.items():
        connection.run(f"DELETE FROM main.sqlite_sequence WHERE name = {literal(name)}")
        connection.run(f"INSERT INTO main.sqlite_sequence (name, seq) VALUES ({literal(name)}, {int(counter)})")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
