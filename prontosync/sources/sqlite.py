"""A live SQLite database: which way it is opened, so that reading leaves no trace and the till's locks stay whole."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from prontosync.model.objects import Changes
from prontosync.model.progress import SILENT, Progress
from prontosync.model.schema import DatabaseDdl, TableSchema
from prontosync.sources.contract import (
    MOST_CHANGED,
    ChangedRows,
    LeftOut,
    Mark,
    RowChanges,
    Scan,
    SourceTable,
    SourceUnfit,
    StateRow,
    TableTracking,
    TrackStatus,
)
from prontosync.sources.statements import quoted
from prontosync.sources.survey import Selection, Survey, survey

if TYPE_CHECKING:
    import pyarrow as pa

    from prontosync.sources.connection import Connection, Mode

T = TypeVar("T")
BUSY_SECONDS = 30.0
PRUNE_BUSY_SECONDS = 0.5
_TRIES = 5


class SqliteState:
    """The contract's SourceState. ``held_seconds``: how long a till in rollback-journal mode could not write."""

    def __init__(
        self,
        connection: Connection,
        found: Survey,
        state_row: StateRow | None,
        held_seconds: float = 0.0,
        *,
        holds_till: bool = False,
        second: Connection | None = None,
    ) -> None:
        self.tables = tuple(sorted(found.shapes))
        self.left_out: tuple[LeftOut, ...] = found.left_out
        self.database: DatabaseDdl = found.database
        self.state_row = state_row
        self.held_seconds, self.holds_till = held_seconds, holds_till
        self._connection, self._found = connection, found
        lanes = [connection, second] if second else [connection]
        self.lanes = len(lanes)
        self._lanes: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        for lane in lanes:
            self._lanes.put(lane)
        self._doubts: dict[str, str] = {}
        self.doubts: Mapping[str, str] = self._doubts

    def describe(self, table: str) -> SourceTable:
        shape = self._found.shapes[table]
        return shape.described([plans[0] for plans in shape.chains])

    def scan(
        self,
        table: str,
        consume: Callable[[Scan], T],
        expected: TableSchema | None = None,
        least: Mapping[str, str] | None = None,
    ) -> T:
        from prontosync.sources.scan import TableReader

        lane = self._lanes.get()
        try:
            return TableReader(lane, self._found.shapes[table], self._found.utf8).scan(consume, expected, least)
        finally:
            self._lanes.put(lane)

    def size_hint(self, table: str) -> int:
        live = self._found.shapes[table].live
        if not live.rowid:
            return 0
        return self._connection.value(f"SELECT max({live.rowid}) FROM main.{quoted(table)}") or 0

    @property
    def tracking(self) -> Mapping[str, TableTracking]:
        return self._tracked[0]

    @property
    def untracked(self) -> Mapping[str, str]:
        return self._tracked[1]

    def changed(
        self,
        table: str,
        since: Mark,
        token: str,
        expected: SourceTable,
        consume: Callable[[ChangedRows], T],
        *,
        rows: int | None = None,
        highest: int | None = None,
        extra_keys: pa.Table | None = None,
        limit: int = MOST_CHANGED,
    ) -> T | None:
        from prontosync.sources.capture_read import ChangeReader, Doubt, Wanted

        wanted = Wanted(since, token, expected, rows, highest, extra_keys, limit)
        try:
            if table not in self.tracking:
                raise Doubt(self.untracked.get(table, "it is not tracked"))
            shape = self._found.shapes[table]
            return ChangeReader(self._connection, shape, self._found.utf8, self.tracking[table], wanted).read(consume)
        except Doubt as doubt:
            self._doubts[table] = str(doubt)
            return None

    @cached_property
    def _tracked(self) -> tuple[dict[str, TableTracking], dict[str, str]]:
        from prontosync.sources.capture_objects import read_tracking

        return read_tracking(self._connection, self._found.shapes)

    def track_status(self) -> tuple[TrackStatus, ...]:
        """The contract's ``Source.track_status``, of this state."""
        from prontosync.sources.capture import status

        return status(self._connection, self._found.shapes)


class SqliteSource:
    """The contract's Source. ``temp`` is a private folder for the copy that rollback-journal mode needs."""

    def __init__(
        self,
        path: Path,
        *,
        temp: Path,
        selection: Selection | None = None,
        busy_seconds: float = BUSY_SECONDS,
        progress: Progress = SILENT,
    ) -> None:
        # SQLite keeps a log or journal beside the file itself, not beside a link to it.
        self.path = Path(os.path.realpath(path))
        self.url = f"sqlite:///{path}"
        self._temp, self._busy, self._progress = temp, busy_seconds, progress
        self._selection = selection or Selection()

    @contextmanager
    def read(self, *, brief: bool = False) -> Iterator[SqliteState]:
        with ExitStack() as stack:
            yield self._read_in_place(stack, brief) or self._read_copy(stack)

    def apply(
        self,
        changes: Iterable[RowChanges],
        note: StateRow,
        before_commit: Callable[[], None] | None = None,
        *,
        statements: Sequence[str] = (),
        made: Sequence[str] = (),
    ) -> Mapping[str, Changes]:
        from prontosync.sources.apply_sqlite import Definitions, apply_changes
        from prontosync.sources.connection import connected

        with connected(self._existing(), "rw", self._busy) as connection:
            definitions = Definitions(tuple(statements), tuple(made))
            return apply_changes(connection, changes, note, before_commit, self._progress, definitions)

    def state_row(self) -> StateRow | None:
        from prontosync.sources.statetable import read_state_row

        self._existing()
        return self._glance(read_state_row)

    def is_empty(self) -> bool:
        from prontosync.sources.catalog import has_tables

        if not self.path.exists() or self.path.stat().st_size == 0:
            return True
        return not self._glance(has_tables)

    def build(self, tables: Sequence[tuple[SourceTable, Iterator[pa.RecordBatch]]], database: DatabaseDdl) -> None:
        from prontosync.sources.build_sqlite import build_database

        build_database(self.path, self.is_empty, tables, database, self._progress)

    def track_enable(self, tables: Sequence[str] | None = None) -> tuple[TrackStatus, ...]:
        from prontosync.sources.capture import enable, status

        with self._tracker() as connection:
            shapes = self._survey(connection).shapes
            enable(connection, shapes, tables)
            return status(connection, shapes)

    def track_disable(self) -> None:
        from prontosync.sources.capture import disable

        with self._tracker() as connection:
            disable(connection)

    def track_status(self) -> tuple[TrackStatus, ...]:
        with self.read(brief=True) as state:
            return state.track_status()

    def track_prune(self, marks: Mapping[str, Mark]) -> int:
        from prontosync.sources.capture import prune
        from prontosync.sources.connection import connected

        with connected(self._existing(), "rw", PRUNE_BUSY_SECONDS) as connection:
            return prune(connection, marks)

    @contextmanager
    def _tracker(self) -> Iterator[Connection]:
        """A transaction that writes."""
        from prontosync.sources.capture import transaction
        from prontosync.sources.connection import connected

        with connected(self._existing(), "rw", self._busy) as connection, transaction(connection):
            yield connection

    def _read_in_place(self, stack: ExitStack, brief: bool) -> SqliteState | None:
        """A read transaction on the live file, or None where that would be in the till's way."""
        journal = self._beside("-journal") and not self._beside("-wal")
        if journal and not brief:
            return None
        with ExitStack() as attempt:
            try:
                connection = attempt.enter_context(self._opened())
                wal = connection.value("PRAGMA journal_mode") == "wal"
                if not wal and not brief:
                    return None
                second = attempt.enter_context(self._opened()) if wal else None
                began = time.monotonic()
                second = self._begin(connection, second)
                state = self._state(connection, 0.0, holds_till=not wal, second=second)
            except SourceUnfit:
                # The journal of a till that crashed is in the way.
                if not journal:
                    raise
                return None
            stack.push(attempt.pop_all())
        if not wal:
            stack.callback(self._held, state, began)
        return state

    @staticmethod
    def _begin(connection: Connection, second: Connection | None) -> Connection | None:
        """Begin to read, and with a second connection the same state; None where writers give no moment for that.

        A connection's data_version changes with every commit of another one. So where the second sees none between
        before the first began and after it began itself, both see one state, and nobody was held for it.
        """
        for _ in range(_TRIES if second else 0):
            assert second is not None
            before = second.value("PRAGMA data_version")
            for one in (connection, second):
                one.run("BEGIN")
                one.value("SELECT count(*) FROM (SELECT 1 FROM main.sqlite_schema LIMIT 1)")
            if second.value("PRAGMA data_version") == before:
                return second
            for one in (connection, second):
                one.run("COMMIT")
        connection.run("BEGIN")
        return None

    @staticmethod
    def _held(state: SqliteState, began: float) -> None:
        state.held_seconds = time.monotonic() - began

    def _read_copy(self, stack: ExitStack) -> SqliteState:
        connection, second, held = stack.enter_context(self._copied())
        connection.run("BEGIN")
        return self._state(connection, held, second=second)

    def _glance(self, look: Callable[[Connection], T]) -> T:
        """Read something small from the live file, or from a copy where a crashed till's journal forbids that."""
        try:
            with self._opened() as connection:
                return look(connection)
        except SourceUnfit:
            if not self._beside("-journal"):
                raise
        with self._copied() as (connection, _, _):
            return look(connection)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        """The live file, opened so that the folder is afterwards as it was.

        Beside a till that is shut, a reader of a WAL database makes -wal and -shm, and only one that may write removes
        them. Where there is a -wal already, one that may write would move a crashed till's pages into the database.
        """
        from prontosync.sources.connection import connected

        mode: Mode = "ro" if self._beside("-wal") or self._beside("-journal") else "rw"
        with connected(self._existing(), mode, self._busy) as connection:
            connection.run("PRAGMA query_only = ON")
            yield connection

    @contextmanager
    def _copied(self) -> Iterator[tuple[Connection, Connection, float]]:
        """Two connections to a private copy, and for how long making it held other writers."""
        from prontosync.sources.connection import connected
        from prontosync.sources.copying import copied

        with copied(self._existing(), self._temp, self._busy, self._progress) as (copy, held):  # noqa: SIM117
            with connected(copy, "rw", self._busy) as connection, connected(copy, "rw", self._busy) as second:
                yield connection, second, held

    def _state(
        self, connection: Connection, held: float, *, holds_till: bool = False, second: Connection | None = None
    ) -> SqliteState:
        from prontosync.sources.statetable import read_state_row

        found = self._survey(connection)
        row = read_state_row(connection)
        return SqliteState(connection, found, row, held, holds_till=holds_till, second=second)

    def _survey(self, connection: Connection) -> Survey:
        from prontosync.sources.catalog import read_catalog

        return survey(read_catalog(connection), self._selection)

    def _existing(self) -> Path:
        if not self.path.exists():
            from prontosync.sources.connection import missing

            raise missing(self.path)
        return self.path

    def _beside(self, ending: str) -> bool:
        return self.path.with_name(self.path.name + ending).exists()
