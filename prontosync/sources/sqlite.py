"""A live SQLite database: which way it is opened, so that reading leaves no trace and the till's locks stay whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from prontosync.model.objects import Changes
from prontosync.model.schema import DatabaseDdl, TableSchema
from prontosync.sources.apply_sqlite import apply_changes
from prontosync.sources.build_sqlite import build_database
from prontosync.sources.catalog import has_tables, read_catalog
from prontosync.sources.connection import Connection, Mode, connected, missing
from prontosync.sources.contract import LeftOut, RowChanges, Scan, SourceTable, SourceUnfit, StateRow
from prontosync.sources.copying import copied
from prontosync.sources.scan import TableReader
from prontosync.sources.statetable import read_state_row
from prontosync.sources.survey import Selection, Survey, survey

T = TypeVar("T")
BUSY_SECONDS = 30.0


class SqliteState:
    """The contract's SourceState. ``held_seconds``: how long a till in rollback-journal mode could not write."""

    def __init__(
        self, connection: Connection, found: Survey, state_row: StateRow | None, held_seconds: float = 0.0
    ) -> None:
        self.tables = tuple(sorted(found.shapes))
        self.left_out: tuple[LeftOut, ...] = found.left_out
        self.database: DatabaseDdl = found.database
        self.state_row = state_row
        self.held_seconds = held_seconds
        self._connection, self._found = connection, found

    def describe(self, table: str) -> SourceTable:
        shape = self._found.shapes[table]
        return shape.described([plans[0] for plans in shape.chains])

    def scan(self, table: str, consume: Callable[[Scan], T], expected: TableSchema | None = None) -> T:
        reader = TableReader(self._connection, self._found.shapes[table], self._found.utf8)
        return reader.scan(consume, expected)


class SqliteSource:
    """The contract's Source. ``temp`` is a private folder for the copy that rollback-journal mode needs."""

    def __init__(
        self, path: Path, *, temp: Path, selection: Selection | None = None, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self._temp, self._busy = temp, busy_seconds
        self._selection = selection or Selection()

    @contextmanager
    def read(self) -> Iterator[SqliteState]:
        with self._reading() as connection:
            if connection is not None:
                yield self._state(connection, 0.0)
                return
        with self._copied() as (connection, held):
            connection.run("BEGIN")
            yield self._state(connection, held)

    def apply(
        self, changes: Sequence[RowChanges], note: StateRow, before_commit: Callable[[], None] | None = None
    ) -> Mapping[str, Changes]:
        with connected(self._existing(), "rw", self._busy) as connection:
            return apply_changes(connection, changes, note, before_commit)

    def state_row(self) -> StateRow | None:
        self._existing()
        return self._glance(read_state_row)

    def is_empty(self) -> bool:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return True
        return not self._glance(has_tables)

    def build(self, tables: Sequence[tuple[SourceTable, Iterator[pa.RecordBatch]]], database: DatabaseDdl) -> None:
        build_database(self.path, self.is_empty, tables, database)

    @contextmanager
    def _reading(self) -> Iterator[Connection | None]:
        """A read transaction on the live file, or None where that would be in the till's way."""
        if self._beside("-journal") and not self._beside("-wal"):
            yield None
            return
        with self._opened() as connection:
            if connection.value("PRAGMA journal_mode") == "wal":
                connection.run("BEGIN")
                yield connection
                return
        yield None

    def _glance(self, look: Callable[[Connection], T]) -> T:
        """Read something small from the live file, or from a copy where a crashed till's journal forbids that."""
        try:
            with self._opened() as connection:
                return look(connection)
        except SourceUnfit:
            if not self._beside("-journal"):
                raise
        with self._copied() as (connection, _):
            return look(connection)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        """The live file, opened so that the folder is afterwards as it was.

        Beside a till that is shut, a reader of a WAL database makes -wal and -shm, and only one that may write removes
        them. Where there is a -wal already, one that may write would move a crashed till's pages into the database.
        """
        mode: Mode = "ro" if self._beside("-wal") or self._beside("-journal") else "rw"
        with connected(self._existing(), mode, self._busy) as connection:
            connection.run("PRAGMA query_only = ON")
            yield connection

    @contextmanager
    def _copied(self) -> Iterator[tuple[Connection, float]]:
        with copied(self._existing(), self._temp, self._busy) as (copy, held):  # noqa: SIM117
            with connected(copy, "rw", self._busy) as connection:
                yield connection, held

    def _state(self, connection: Connection, held: float) -> SqliteState:
        found = survey(read_catalog(connection), self._selection)
        return SqliteState(connection, found, read_state_row(connection), held)

    def _existing(self) -> Path:
        if not self.path.exists():
            raise missing(self.path)
        return self.path

    def _beside(self, ending: str) -> bool:
        return self.path.with_name(self.path.name + ending).exists()
