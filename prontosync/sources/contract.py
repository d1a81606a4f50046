"""What a live database must do for the rest of the program.

A source is opened for one thing at a time and belongs to somebody else: reading leaves no trace and takes one committed
state over all tables; writing is one guarded transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import pyarrow as pa

from prontosync.errors import Busy, Moved, NotFound, Unfit
from prontosync.model.objects import Changes
from prontosync.model.schema import DatabaseDdl, Ddl, TableSchema

T = TypeVar("T")


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


class ConstraintBroken(Unfit):
    """The live database does not accept a row; the message names table, key and constraint. Nothing was written."""

    id = "constraint"


class RowsMoved(Moved):
    """A row is not as the apply expected it; the message names it. Nothing was written."""

    id = "rows-moved"


@dataclass(frozen=True)
class TableOptions:
    """What the configuration says about reading a table: a ``key`` where the source has none, columns to ``skip``."""

    key: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


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


class SourceState(Protocol):
    """One committed state over all tables, while it is open."""

    tables: tuple[str, ...]
    """The tables that are read, in name order."""
    left_out: tuple[LeftOut, ...]
    database: DatabaseDdl
    state_row: StateRow | None
    held_seconds: float
    """How long the database's other writers had to wait for this reading to be possible; 0.0 where they had not to."""

    def describe(self, table: str) -> SourceTable:
        """The table by its declared types, without reading rows."""
        ...

    def scan(self, table: str, consume: Callable[[Scan], T], expected: TableSchema | None = None) -> T:
        """Give the table's rows to ``consume``, in bounded memory, and return what it returned.

        Where rows turn out not to fit the declared types, ``consume`` is left by an exception (in the midst of its
        iteration) and called again from the start with wider types; so it may be called several times, and what an
        abandoned call did must not matter. ``expected`` (the schema of an earlier state) only saves such a restart,
        it never changes the outcome. Raises SourceUnfit, SourceBusy.
        """
        ...


@dataclass(frozen=True)
class RowChanges:
    """What to write to one table. All four are Arrow tables in ``arrow_schema(table.schema)``.

    ``old`` and ``new`` are of equal length, row by row with equal keys. ``old`` and ``deletes`` are before-images: what
    the live row must hold. Only columns in which ``new`` differs from ``old`` are set.
    """

    table: SourceTable
    deletes: pa.Table
    inserts: pa.Table
    old: pa.Table
    new: pa.Table


class Source(Protocol):
    url: str

    def read(self) -> AbstractContextManager[SourceState]:
        """Open one committed state. Raises SourceMissing, SourceBusy."""
        ...

    def apply(
        self, changes: Sequence[RowChanges], note: StateRow, before_commit: Callable[[], None] | None = None
    ) -> Mapping[str, Changes]:
        """Write all changes and the state row in one transaction, or nothing.

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
