"""What a live database must do for the rest of the program.

A source is opened for one thing at a time and belongs to somebody else: reading leaves no trace and takes one committed
state over all tables; writing is one guarded transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from prontosync.errors import Busy, Moved, NotFound, Unfit
from prontosync.model.objects import Changes
from prontosync.model.schema import DatabaseDdl, Ddl, TableSchema
from prontosync.model.values import Row

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
PRESENT, BEFORE = "_ps_present", "_ps_before"
MOST_CHANGED = 100_000


class SourceMissing(NotFound):
    id = "source-missing"


class SourceBusy(Busy):
    """The live database stayed locked for longer than the time-out."""

    id = "source-busy"


class SourceUnfit(Unfit):
    """A value, name or schema that cannot be carried exactly; the message names table, column and row."""

    id = "source-unfit"


class SchemaMoved(Unfit):
    """The live schema is not the one that the rows were made for."""

    id = "schema-moved"


class RefusedRow(NamedTuple):
    """A row that was to be written: its table, and its key in the order of the schema's."""

    table: str
    key: Row


class ConstraintBroken(Unfit):
    """The live database does not accept a row; the message names table, key and constraint. Nothing was written.

    ``row`` is the row that would have to be left as it is for the others to be accepted, None where that is not
    known."""

    id = "constraint"

    def __init__(self, message: str, hint: str | None = None, row: RefusedRow | None = None) -> None:
        super().__init__(message, hint)
        self.row = row


class RowsMoved(Moved):
    """A row is not as the apply expected it; the message names it. Nothing was written."""

    id = "rows-moved"


@dataclass(frozen=True)
class TableOptions:
    """What the configuration says about reading a table: a ``key`` where the source has none, columns to ``skip``.
    ``ended`` are columns that count as skipped where they are there and no part of the key."""

    key: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    ended: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SourceTable:
    """A table as it is read: the logical schema and the source's own definition."""

    name: str
    schema: TableSchema
    ddl: Ddl


@dataclass(frozen=True)
class LeftOut:
    """A table that is not read, why, and the line to configure or the thing to do."""

    name: str
    reason: str
    hint: str | None


@dataclass(frozen=True)
class StateRow:
    """The row of ``_prontosync_state``."""

    repository: str
    branch: str
    commit: str
    counter: int


@dataclass(frozen=True)
class Scan:
    """One table being read. ``batches`` come in the Arrow types of ``engine.arrow.arrow_schema(table.schema)``, columns
    in schema order; ``ordered`` tells whether the rows come in key order."""

    table: SourceTable
    batches: Iterator[pa.RecordBatch]
    ordered: bool


@dataclass(frozen=True)
class Mark:
    """A place in the notes of a table: the number of the newest note, and what was drawn for it. ``Mark(0, 0)`` is the
    place before the first note."""

    seq: int
    r: int


@dataclass(frozen=True)
class TableTracking:
    """A table whose touched keys are noted. ``mark`` is where its notes stand in the state that is open; ``counted``
    tells that ``changed`` counts its rows, however many, for a row may go without a note.

    Notes tell what was touched since an earlier mark only where ``token`` is the same as it was then: it is another one
    as soon as the table's notes began anew, or anything in the database was defined otherwise.
    """

    number: int
    token: str
    mark: Mark
    counted: bool


@dataclass(frozen=True)
class TrackStatus:
    """How a table is tracked. ``asked`` tells whether tracking was enabled for it, be it gone since; ``reason`` is why
    its notes cannot be relied on, or else why it cannot be tracked, None where neither is so; ``notes`` counts those
    that are kept."""

    table: str
    asked: bool
    reason: str | None
    notes: int


@dataclass(frozen=True)
class ChangedRows:
    """Rows whose keys were noted. ``batches`` come in ``engine.arrow.arrow_schema(table.schema)`` and two columns more:
    ``PRESENT``, whether the row is there now, and ``BEFORE``, whether it was there at the mark (NULL where the key was
    not noted). Each key comes once, in no order. Of a row that is gone, all but the key is NULL."""

    table: SourceTable
    batches: Iterator[pa.RecordBatch]


class SourceState(Protocol):
    """One committed state over all tables, while it is open."""

    tables: tuple[str, ...]
    """The tables that are read, in name order."""
    left_out: tuple[LeftOut, ...]
    database: DatabaseDdl
    state_row: StateRow | None
    held_seconds: float
    """How long the database's other writers had to wait for this reading to be possible; 0.0 where they had not to. Of
    a state that ``holds_till`` it is known when that is closed."""
    holds_till: bool
    """Whether the other writers cannot commit while this state is open."""
    lanes: int
    """So many tables may be scanned at once, each by a thread of its own."""
    doubts: Mapping[str, str]
    """Why ``changed`` gave None, by table."""

    @property
    def tracking(self) -> Mapping[str, TableTracking]:
        """The tables whose notes can be relied on; none where tracking is off."""
        ...

    @property
    def untracked(self) -> Mapping[str, str]:
        """The tables for which tracking was enabled and cannot be relied on, and why."""
        ...

    def describe(self, table: str) -> SourceTable:
        """The table by its declared types, without reading rows."""
        ...

    def scan(
        self,
        table: str,
        consume: Callable[[Scan], T],
        expected: TableSchema | None = None,
        least: Mapping[str, str] | None = None,
    ) -> T:
        """Give the table's rows to ``consume``, in bounded memory, and return what it returned.

        Where rows turn out not to fit the declared types, ``consume`` is left by an exception (in the midst of its
        iteration) and called again from the start with wider types; so it may be called several times, and what an
        abandoned call did must not matter. ``expected`` (the schema of an earlier state) only saves such a restart,
        it never changes the outcome. ``least`` has types by column: one that the column may have is used where its
        values would fit a narrower one too. Raises SourceUnfit, SourceBusy.

        Where all ``lanes`` are in use, it waits for one.
        """
        ...

    def size_hint(self, table: str) -> int:
        """About how many rows a table has, told at once; 0 where that is not known."""
        ...

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
        """Give the rows whose keys were noted after ``since`` to ``consume``, and return what it returned.

        The rest of the table is as it was at the mark. None means doubt: read the table in full (``doubts`` says why;
        what ``consume`` did meanwhile must not matter, and it may be called several times, as in ``scan``). There is
        doubt where the notes do not go on from ``since`` and ``token``, where the table as it is now, or one of the
        values, is not exactly ``expected``, and where more than ``limit`` keys were noted. There is doubt too where
        rows came or went without triggers: where the live table had ``rows`` rows at the mark and has not as many as
        follow from the notes now (looked at in small tables, and in those that are ``counted``, which need it), and
        where its highest key, in a table whose key is the rowid, is neither noted nor up to ``highest``, the highest at
        the mark. ``extra_keys`` (the key's columns in their logical types) are read too. Raises SourceUnfit,
        SourceBusy.
        """
        ...


@dataclass(frozen=True)
class RowChanges:
    """What to write to one table, or a piece of it. All four are Arrow tables in ``arrow_schema(table.schema)``.

    ``old`` and ``new`` are of equal length, row by row with equal keys. ``old`` and ``deletes`` are before-images: what
    the live row must hold. Only columns in which ``new`` differs from ``old`` are set.
    """

    table: SourceTable
    deletes: pa.Table
    inserts: pa.Table
    old: pa.Table
    new: pa.Table

    @property
    def rows(self) -> int:
        return int(self.deletes.num_rows + self.inserts.num_rows + self.new.num_rows)


class Source(Protocol):
    url: str

    def read(self, *, brief: bool = False) -> AbstractContextManager[SourceState]:
        """Open one committed state. Raises SourceMissing, SourceBusy.

        ``brief`` promises to be done within about a second, with small look-ups only: then a database that only a copy
        would let be read at leisure may be read in place, where other writers have to wait (``holds_till``).
        """
        ...

    def apply(
        self,
        changes: Iterable[RowChanges],
        note: StateRow,
        before_commit: Callable[[], None] | None = None,
        *,
        statements: Sequence[str] = (),
        made: Sequence[str] = (),
    ) -> Mapping[str, Changes]:
        """Write all changes and the state row in one transaction, or nothing. ``statements`` change definitions, in the
        same transaction and before any row; ``made`` are tables that they make.

        Pieces of one table's changes come one after the other. They are gone through in bounded memory, and again for
        the name of a row that is refused.
        A row that is inserted with NULL gets the column's default where NULL is not allowed.
        The live definition of each table must still be ``table.ddl`` (SchemaMoved). Each update and delete must find
        its row exactly as its before-image says, an insert must find none (RowsMoved); foreign keys of touched rows
        must hold (ConstraintBroken, naming the row); touched rows are read again before the commit and must be as asked
        (a trigger that rewrites them: ConstraintBroken). ``before_commit`` is called last, inside the transaction; what
        it raises rolls back. Raises SourceBusy when the database stays locked.
        """
        ...

    def state_row(self) -> StateRow | None:
        """The row that the last apply noted, or None."""
        ...

    def is_empty(self) -> bool:
        """Whether there is no database yet, or one without a table."""
        ...

    def build(self, tables: Sequence[tuple[SourceTable, Iterator[pa.RecordBatch]]], database: DatabaseDdl) -> None:
        """Create the database from nothing: definitions, rows, indexes, triggers, views. Raises Unfit where it is not
        empty. All or nothing: a build that fails leaves no file."""
        ...

    def track_enable(self, tables: Sequence[str] | None = None) -> tuple[TrackStatus, ...]:
        """Note the touched keys of ``tables`` (None: of all that can be tracked) beside those that are tracked already.

        What is there and right is kept with its notes, what is not is made anew, what is left of tables that are gone
        is removed: all of it or nothing. Raises SourceUnfit for a table that cannot be tracked, SourceBusy.
        """
        ...

    def track_disable(self) -> None:
        """Remove all that ``track_enable`` made. Raises SourceBusy."""
        ...

    def track_status(self) -> tuple[TrackStatus, ...]:
        """How each table is tracked, in name order. Raises SourceMissing, SourceBusy."""
        ...

    def track_prune(self, marks: Mapping[str, Mark]) -> int:
        """Remove the notes before these marks, by tables, and tell how many those were. Gives way to other writers:
        what it did not come to is left for the next time."""
        ...
