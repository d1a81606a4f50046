"""From the rows that a live database noted as touched to the next state of their table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.arrow import arrow_schema
from prontosync.history.carried import Carried, LiveColumns, Shown
from prontosync.history.live_view import LiveView
from prontosync.history.recast import Recasting
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.keys import key_to_text
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import differences
from prontosync.sources.contract import BEFORE, PRESENT, ChangedRows
from prontosync.tables.compare import deltas_between
from prontosync.tables.keyset import in_order, split
from prontosync.tables.order import key_at, stumble
from prontosync.tables.patch import patch_schema, row_changes
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes

if TYPE_CHECKING:
    from prontosync.history.live_rows import DisputedRows

FEW_SEGMENTS = 32
"""Noted rows that lie in so many segments at most are compared with what the head holds; of more, the notes tell what
was inserted, updated and deleted, and a row that was written without being changed counts as updated."""
MOST_BYTES = 64 << 20
SHOWN_KEYS = 5


@dataclass(frozen=True)
class Missed:
    """Changed rows of a table that no trigger noted: how many, and the keys of some."""

    rows: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class CapturedRows:
    """The rows of ``table`` that were touched, in key order, in memory, in the columns that the live database has of
    it (``view``)."""

    table: StoredTable
    rows: pa.Table
    view: LiveView

    @staticmethod
    def of(table: StoredTable, view: LiveView, changed: ChangedRows) -> CapturedRows | None:
        """None where they are too much for memory; a full read streams."""
        live = [*view.narrow.names, PRESENT, BEFORE]
        extra = [pa.field(PRESENT, pa.bool_()), pa.field(BEFORE, pa.bool_())]
        batches: list[pa.RecordBatch] = []
        size = 0
        for batch in changed.batches:
            batches.append(batch)
            size += batch.nbytes
            if size > MOST_BYTES:
                return None
        rows = pa.Table.from_batches(batches, schema=pa.schema([*arrow_schema(view.live), *extra]))
        return CapturedRows(table, in_order(rows.rename_columns(live), table.schema.key), view)

    def state(self, disputed: DisputedRows | None, exact: bool) -> TableState | None:
        """The state after ``table`` with these rows; None where two of them have one key. ``exact``: the table holds
        nothing but what was there when the notes began."""
        table, rows = self.table, self.rows
        if not rows.num_rows and disputed is None:
            return table.state
        if stumble(rows, table.schema) is not None:
            return None
        keys = rows.select(table.schema.key)
        if exact and disputed is None and not self.view.carried and table.touched(keys) > FEW_SEGMENTS:
            patch, counts = self._as_noted()
        else:
            patch, counts = self._as_compared(keys, disputed)
        return store_changes(table, patch, counts=counts) if patch.num_rows else table.state

    def missed(self, after: TableState) -> Missed | None:
        """What differs between the table and a later state of it and is not among these rows."""
        table = self.table
        later = StoredTable(table.store, table.engine, table.name, after)
        if differences(table.schema, later.schema):
            return None
        count = 0
        keys: list[str] = []
        for delta in deltas_between(table, later):
            _, missed = split(delta.keys(), self.rows, table.schema.key)
            shown = range(min(SHOWN_KEYS - len(keys), missed.num_rows))
            keys += [key_to_text(key_at(missed, table.schema, n), table.schema) for n in shown]
            count += missed.num_rows
        return Missed(count, tuple(keys)) if count else None

    def _as_noted(self) -> tuple[pa.Table, Changes]:
        """A patch of what the notes say: which rows were there, and which are."""
        schema = self.table.schema
        real = self.rows.filter(pc.or_(self.rows.column(PRESENT), self.rows.column(BEFORE)))
        present, before = real.column(PRESENT), real.column(BEFORE)
        kinds = pc.if_else(present, UPSERT, DELETE)
        patch = real.select(schema.names).append_column(CHANGE, kinds).cast(patch_schema(schema))
        inserted = pc.sum(pc.and_not(present, before).cast(pa.int64())).as_py() or 0
        deleted = pc.sum(pc.invert(present).cast(pa.int64())).as_py() or 0
        return patch, Changes(inserted, patch.num_rows - inserted - deleted, deleted)

    def _as_compared(self, keys: pa.Table, disputed: DisputedRows | None) -> tuple[pa.Table, Changes]:
        """A patch of what differs from what the table holds; disputed rows as it shows them."""
        table = self.table
        narrow = self.view.narrow
        present = self.rows.filter(self.rows.column(PRESENT)).select(narrow.names)
        if disputed is not None:
            shown = pa.Table.from_batches(disputed.rows(present.to_batches()), schema=arrow_schema(narrow))
            present = in_order(shown, table.schema.key)
        if self.view.carried:
            columns = LiveColumns(table.schema, narrow, Recasting(narrow, narrow, table.ddl))
            present = Carried(table, columns, disputed.shown if disputed else Shown()).at(present)
        return row_changes(table.schema, table.rows_at(keys), present)


def next_state(
    table: StoredTable, view: LiveView, changed: ChangedRows, disputed: DisputedRows | None, exact: bool
) -> TableState | None:
    """``CapturedRows.state`` of the rows that a source gives; None where they do not tell it."""
    rows = CapturedRows.of(table, view, changed)
    return rows.state(disputed, exact) if rows is not None else None
