"""Between the branch and the live database: pins, what a snapshot records, what an apply writes.

The branch's head equals what the live database holds, but for the disputed rows of its open conflicts: there the
database keeps the till's own row, and *pins* record it. A snapshot compares a disputed row with its pin; an apply
leaves disputed cells as the till has them.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine
from prontosync.errors import Unfit
from prontosync.history.carried import LiveColumns, Shown
from prontosync.history.disputes import Dispute, Disputes, Key, Origin, keys_table, name_order, rows_by_key, rows_table
from prontosync.history.policies import NO_POLICIES, NOBODY, Policies
from prontosync.history.row_merge import RowMerge
from prontosync.history.sets import (
    Cells,
    Rows,
    State,
    applied_row,
    as_state,
    canonical_row,
    snapshot_row,
    state_of,
)
from prontosync.model.changes import PRESENT
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row
from prontosync.tables import parquet
from prontosync.tables.compare import Delta, Deltas, compare, delta_of, deltas_between, gathered
from prontosync.tables.keyset import in_order, not_among
from prontosync.tables.order import as_rows
from prontosync.tables.patch import key_join
from prontosync.tables.ranges import side_by_side
from prontosync.tables.reader import StoredTable


class KeyChanged(Unfit):
    id = "key-changed"


Pins = Mapping[Key, Row | None]
"""For each disputed key the live row, canonical, or None where the live database had none."""


def encode_pins(schema: TableSchema, pins: Pins) -> bytes:
    """The bytes of a pin file."""
    rows = [row if row is not None else _only_key(schema, key) for key, row in pins.items()]
    present = pa.array([row is not None for row in pins.values()], pa.bool_())
    table = rows_table(schema, rows).append_column(PRESENT, present)
    return parquet.encode(table, "candidates")


def decode_pins(schema: TableSchema, data: bytes) -> Pins:
    """Raises MalformedObject."""
    arrow = arrow_schema(schema).append(pa.field(PRESENT, pa.bool_()))
    table = parquet.decode(data, arrow)
    rows = rows_by_key(schema, table)
    here = table.column(PRESENT).to_pylist()
    return {key: row if there else None for (key, row), there in zip(rows.items(), here, strict=True)}


class DisputedRows:
    """The disputed rows of one table during a snapshot: taken out of the live rows, and put back as the table shows
    them.

    ``pins`` None: it was never noted what the live database held, so what it holds now counts as that. ``columns`` say
    what the live rows become; a column that got another type is in dispute no more. Of a column that the live database
    lacks, it holds what its pin says. ``keys`` are the disputed ones, in key order. ``shown`` has, once all live rows
    are read, the disputed ones as the table shows them. ``policies`` are for rows that are held. Raises KeyChanged.
    """

    def __init__(
        self,
        engine: Engine,
        disputes: Disputes,
        pins: Pins | None,
        origin: Origin,
        columns: LiveColumns,
        policies: Policies = NO_POLICIES,
    ) -> None:
        self._engine, self._before, self._pins, self._origin = engine, disputes, pins, origin
        self._columns, self.shown = columns, Shown()
        self.schema = schema = columns.schema
        self._held = RowMerge(schema, policies, NOBODY, NOBODY)
        self._carry = _Carry(disputes.schema, schema)
        self.keys = keys_table(schema, disputes.rows)
        self.disputes = Disputes(schema)
        self.pins: dict[Key, Row | None] = {}
        self._more = 0

    def rows(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The live rows with the disputed ones replaced, no longer in any order. Afterwards ``disputes`` and ``pins``
        are those of the snapshot."""
        live: dict[Key, Row] = {}
        for batch in batches:
            rows = pa.Table.from_batches([batch])
            live |= rows_by_key(self._columns.narrow, self._join(rows, "SEMI"))
            yield from self._join(rows, "ANTI").to_batches()
        shown = rows_table(self.schema, self._shown(live))
        self.shown.whole = in_order(shown, self.schema.key)
        yield from shown.select(self._columns.narrow.names).to_batches()

    @property
    def more(self) -> int:
        """Afterwards: how many disputed rows more the live database has than the table shows."""
        return self._more

    def _shown(self, live: Mapping[Key, Row]) -> list[Row]:
        order = name_order(self.schema)
        shown = []
        self.disputes, self.pins = Disputes(self.schema), {}
        for key, dispute in self._before.rows.items():
            now = self._whole(key, dispute, live.get(key))
            before = now if self._pins is None else self._carry.row(self._pins.get(key), now)
            carried = self._carry.state(dispute.state, now)
            if not dispute.held:
                after = self._carried(dispute, snapshot_row(carried, before, now))
            else:
                # The till never saw what is intended: its edit is merged into that, and goes on being what is shown.
                merged = self._held.merge(state_of(canonical_row(before)), carried, state_of(canonical_row(now)))
                after = self._carried(dispute, merged.state)
                # A row in dispute may be shown otherwise than it is live: that is no edit.
                edited = canonical_row(before) != canonical_row(now)
                after.shown = canonical_row(now) if edited else self._carry.row(dispute.shown, now)
                after.mark = None if after.state == state_of(now) else dispute.mark
            if after.open:
                self.disputes.rows[key] = after
                self.pins[key] = now
            if (row := after.shows(order)) is not None:
                shown.append(row)
        self._more = len(live) - len(shown)
        return shown

    def _whole(self, key: Key, dispute: Dispute, live: Row | None) -> Row | None:
        """A live row in all columns: those that the database lacks as its pin has them, or else as they are shown."""
        if live is None or not self._columns.widens:
            return live
        held = self._pins.get(key) if self._pins is not None else None
        if self._pins is None:
            held = dispute.shows(name_order(self._before.schema))
        return self._columns.newer(live, self._carry.row(held, None))

    def _carried(self, before: Dispute, state: State) -> Dispute:
        after = Dispute(state, mark=None if before.held else before.mark)
        for candidate in list(after.candidates(self.schema)):
            known = before.origins.get((candidate.column, candidate.value))
            kind = "row" if candidate.column is None else "cell"
            for origin in known or [self._origin._replace(kind=kind)]:
                after.add(candidate.column, candidate.value, origin)
        return after

    def _join(self, rows: pa.Table, kind: str) -> pa.Table:
        on = key_join(self.schema, "r", "k")
        result = self._engine.table(f"SELECT r.* FROM _ps_r r {kind} JOIN _ps_k k ON {on}", _ps_r=rows, _ps_k=self.keys)
        return pa.Table.from_batches([as_rows(b, rows.schema) for b in result.to_batches()], schema=rows.schema)


class _Carry:
    """Disputed rows of one schema in the columns of another: what both have alike is kept, the rest is live."""

    def __init__(self, old: TableSchema, new: TableSchema) -> None:
        types = {column.name: (i, column.type) for i, column in enumerate(old.columns)}
        self._from = [types[c.name][0] if types.get(c.name, (0, ""))[1] == c.type else None for c in new.columns]
        if old.key != new.key or any(self._from[new.names.index(name)] is None for name in new.key):
            raise KeyChanged(
                "the key of a table with open conflicts changed", "resolve its conflicts, then change the key"
            )

    def row(self, row: Row | None, live: Row | None) -> Row | None:
        if row is None:
            return None
        return tuple(row[old] if old is not None else (live[i] if live else None) for i, old in enumerate(self._from))

    def state(self, state: State, live: Row | None) -> State:
        if isinstance(state, Cells):
            return Cells(
                tuple(
                    state.cells[old] if old is not None else frozenset([live[i] if live else None])
                    for i, old in enumerate(self._from)
                )
            )
        if isinstance(state, Rows):
            return as_state(frozenset(self.row(row, live) for row in state.rows))
        return state


@dataclass(frozen=True)
class LiveDelta:
    """What an apply writes to one table, disputed rows last, and the pins of the new state."""

    deltas: Deltas
    pins: Pins


def live_delta(
    before: StoredTable,
    disputes: Disputes,
    pins: Pins,
    after: StoredTable,
    new_disputes: Disputes,
    empty: Collection[str] = (),
) -> LiveDelta:
    """From what the live database holds (``before`` with ``pins`` laid over it) to what it is to hold: decided rows
    as in ``after``, which has the same columns in any order, disputed cells as they are. ``empty`` are columns that the
    live database is about to get: all is NULL there, whatever ``before`` says."""
    schema = before.schema
    new_disputes = new_disputes.in_columns(schema)
    keys = {*disputes.rows, *new_disputes.rows}

    def between() -> Iterator[Delta]:
        return _whole(before, after, empty) if empty else _in_columns(before, after)

    if not keys:
        return LiveDelta(Deltas(schema, between), {})
    wanted = keys_table(schema, keys)
    old_rows = rows_by_key(schema, before.rows_at(wanted))
    new_rows = rows_by_key(schema, after.rows_at(wanted).select(schema.names))
    old: list[Row] = []
    new: list[Row] = []
    kept: dict[Key, Row | None] = {}
    for key in keys:
        live = pins.get(key) if key in disputes.rows else old_rows.get(key)
        held = key in new_disputes.rows and new_disputes.rows[key].held
        row = live if held else applied_row(new_disputes.state(key, new_rows.get(key)), live)
        if live is not None:
            old.append(_emptied(schema, live, empty))
        if row is not None:
            new.append(row)
        if key in new_disputes.rows:
            kept[key] = row
    special = compare(before.engine, schema, rows_table(schema, old), rows_table(schema, new))

    def pieces() -> Iterator[Delta]:
        yield from (_without(delta, wanted) for delta in between())
        yield special

    return LiveDelta(Deltas(schema, lambda: gathered(pieces())), kept)


def _whole(before: StoredTable, after: StoredTable, empty: Collection[str]) -> Iterator[Delta]:
    """The changes of all rows, for where every row may differ."""
    schema = before.schema
    none = before.arrow.empty_table()
    old = (_masked(rows, empty) for rows in _tables(before))
    new = (rows.select(schema.names) for rows in _tables(after))
    return gathered(delta_of(schema, *sides) for sides in side_by_side(schema, _given(old), _given(new), (none, none)))


def _tables(table: StoredTable) -> Iterator[pa.Table]:
    return (pa.Table.from_batches([batch]) for batch in table.batches())


def _given(tables: Iterator[pa.Table]) -> Generator[pa.Table, None, None]:
    yield from tables


def _masked(rows: pa.Table, empty: Collection[str]) -> pa.Table:
    columns = [
        pa.nulls(rows.num_rows, field.type) if field.name in empty else rows.column(field.name) for field in rows.schema
    ]
    return pa.table(columns, schema=rows.schema)


def _emptied(schema: TableSchema, row: Row, empty: Collection[str]) -> Row:
    return tuple(None if name in empty else value for name, value in zip(schema.names, row, strict=True))


def _in_columns(before: StoredTable, after: StoredTable) -> Iterator[Delta]:
    return (delta.in_columns(before.schema) for delta in deltas_between(before, after))


def _without(delta: Delta, keys: pa.Table) -> Delta:
    """The changes of all other keys."""
    return Delta(delta.schema, delta.table.filter(not_among(delta.keys(), keys, delta.schema.key)))


def _only_key(schema: TableSchema, key: Key) -> Row:
    values = dict(zip(schema.key, key, strict=True))
    return tuple(values.get(name) for name in schema.names)
