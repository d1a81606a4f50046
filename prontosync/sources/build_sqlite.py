"""A new SQLite database from definitions and rows: built beside its place, then put there whole."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from prontosync.errors import Damaged
from prontosync.model.progress import SILENT, Progress
from prontosync.model.schema import DatabaseDdl
from prontosync.sources.bindings import RowBinder
from prontosync.sources.connection import Connection, ConstraintFailed, connected
from prontosync.sources.contract import ConstraintBroken, SourceTable, SourceUnfit
from prontosync.sources.statements import literal, quoted

Tables = Sequence[tuple[SourceTable, Iterator[pa.RecordBatch]]]
_BEFORE = ("page_size", "encoding", "auto_vacuum")
_AFTER = ("user_version", "application_id", "journal_mode")
_TABLE, _INDEX, _TRIGGER = range(3)
_CREATE = re.compile(r"CREATE (TABLE|INDEX|UNIQUE INDEX|TRIGGER|VIEW) ")


class BadDefinition(Damaged):
    """A snapshot whose definitions are not those of a database: restoring runs nothing else."""

    id = "bad-definition"


def build_database(
    path: Path, is_empty: Callable[[], bool], tables: Tables, database: DatabaseDdl, progress: Progress = SILENT
) -> None:
    """The contract's ``Source.build``."""
    _check_place(path, is_empty)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".new", dir=path.parent)
    os.close(handle)
    new = Path(name)
    try:
        _check_statements(tables, database)
        with connected(new, "rw", 0) as connection:
            _fill(connection, tables, database, progress)
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


def _fill(connection: Connection, tables: Tables, database: DatabaseDdl, progress: Progress) -> None:
    for name in _BEFORE:
        _set(connection, name, database)
    # The file is nobody's until it is in its place, where it comes synced.
    connection.run("PRAGMA journal_mode = OFF")
    connection.run("PRAGMA synchronous = OFF")
    connection.run("PRAGMA foreign_keys = OFF")
    connection.run("BEGIN")
    try:
        _define(connection, tables, _TABLE, SILENT)
        counts = {table.name: _insert(connection, table, batches) for table, batches in tables}
        # Triggers would fire on the rows, and indexes are quicker to make at once.
        _define(connection, tables, _INDEX, progress)
        _count(connection, database)
        _define(connection, tables, _TRIGGER, SILENT)
        for statement in database.statements:
            connection.run(statement)
    except ConstraintFailed as error:
        raise ConstraintBroken(f"the rows do not fit their own definition: {error}") from error
    _check_built(connection, tables, database, counts)
    connection.run("COMMIT")
    for name in _AFTER:
        _set(connection, name, database)


def _set(connection: Connection, name: str, database: DatabaseDdl) -> None:
    value = database.settings.get(name)
    if value is not None:
        connection.run(f"PRAGMA main.{name} = {literal(value)}")


def _check_statements(tables: Tables, database: DatabaseDdl) -> None:
    """A snapshot comes from elsewhere: its definitions may only be what SQLite itself keeps. Raises BadDefinition."""
    for statement in [s for table, _ in tables for s in table.ddl.statements] + list(database.statements):
        if not _CREATE.match(statement):
            raise BadDefinition(f'the snapshot holds a definition that no database keeps: "{statement[:60]}"')


def _check_built(connection: Connection, tables: Tables, database: DatabaseDdl, counts: Mapping[str, int]) -> None:
    """The same definitions as asked for, and nothing but the rows given. Raises BadDefinition."""
    wanted = sorted([s for table, _ in tables for s in table.ddl.statements] + list(database.statements))
    found = connection.rows("SELECT sql FROM main.sqlite_schema WHERE sql IS NOT NULL AND name <> 'sqlite_sequence'")
    if sorted(row["sql"] for row in found) != wanted:
        raise BadDefinition("the snapshot's definitions do not give the database that they describe")
    for table, _ in tables:
        if connection.value(f"SELECT count(*) FROM main.{quoted(table.name)}") != counts[table.name]:
            raise BadDefinition(f'table "{table.name}" holds other rows than the snapshot gave it')


def _define(connection: Connection, tables: Tables, kind: int, progress: Progress) -> None:
    wanted = [(table.name, text) for table, _ in tables for text in table.ddl.statements if _kind(text) == kind]
    with progress.task("making indexes", len(wanted), "indexes") as task:
        for name, statement in wanted:
            task.at(f'making indexes of "{name}"')
            connection.run(statement)
            task.advance(1)


def _kind(statement: str) -> int:
    """SQLite keeps each definition with its own CREATE in front, written by itself in capitals."""
    if statement.startswith("CREATE TRIGGER"):
        return _TRIGGER
    return _INDEX if statement.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX")) else _TABLE


def _insert(connection: Connection, table: SourceTable, batches: Iterator[pa.RecordBatch]) -> int:
    """How many rows were given."""
    count = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += batch.num_rows
            yield batch

    binder = RowBinder(table)
    columns = ", ".join(quoted(column.name) for column in binder.columns)
    sql = f"INSERT INTO main.{quoted(table.name)} ({columns}) VALUES ({', '.join(binder.values())})"
    try:
        connection.bind(sql, binder.schema(), map(binder.encoded, counted()))
    except ConstraintFailed as error:
        raise ConstraintBroken(
            f'table "{table.name}": its rows do not fit its definition: {error}',
            "a column that is skipped needs a default, or must allow NULL, for the table to be restored",
        ) from error
    return count


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
