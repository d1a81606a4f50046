"""Three states of a table brought to one schema before their rows are merged, at the cost of what they changed.

A side that lacks a column did not change it: its rows have there what the base has. So such a side is seen as the base
with the side's own changes laid over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from prontosync.engine.connection import quoted
from prontosync.history.commits import with_ddl
from prontosync.history.disputes import Dispute, Disputes, Key, keys_table, rows_by_key
from prontosync.history.live_view import only
from prontosync.history.merge_table import TableSide
from prontosync.history.recast import Recasting, Unconvertible, hinted, recast, recast_disputes
from prontosync.history.schema_merge import KEY_HINT, TYPE_HINT, SchemaConflict, key_words, merged_schema
from prontosync.history.sets import Cells, Rows, State
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.hints import Hints
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import TableSchema, differences
from prontosync.model.values import Row, Value
from prontosync.tables.compare import Delta, deltas_between
from prontosync.tables.keyset import split
from prontosync.tables.order import BadRows
from prontosync.tables.patch import patch_schema
from prontosync.tables.ranges import side_by_side
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_pieces

if TYPE_CHECKING:
    from collections.abc import Generator

    from prontosync.disk.objects import ObjectStore


@dataclass(frozen=True)
class Unified:
    """The sides in one schema. ``base`` is None where its rows have another key: then nothing is taken for deleted."""

    base: TableSide | None
    ours: TableSide
    theirs: TableSide


def need_one_schema(sides: list[TableSide], hints: Hints) -> bool:
    """Whether the sides must be brought to one schema first."""
    first = sides[0].table.schema
    if any(side.table.schema is not first and differences(first, side.table.schema) for side in sides[1:]):
        return True
    recasting = hinted(first, sides[0].table.ddl, hints)
    return recasting.old is not recasting.new


def unified(
    store: ObjectStore,
    base: TableSide | None,
    ours: TableSide,
    theirs: TableSide,
    hints: Hints,
    *,
    rekey: bool = False,
) -> Unified | SchemaConflict:
    """The three in the merged schema, or the conflict. What must be written goes into ``store``. ``rekey``: ours takes
    the key of theirs where it has still the one that the base has."""
    name = ours.table.name
    named = [side and hinted(side.table.schema, side.table.ddl, hints) for side in (base, ours, theirs)]
    before, mine, other = (one.new if one else None for one in named)
    assert mine is not None
    assert other is not None
    if rekey and before is not None and before.key == mine.key != other.key:
        known, kept = (_rekeyed(store, side, other.key) for side in (base, ours))
        if known is None or kept is None:
            return SchemaConflict(name, (key_words(mine, other),), KEY_HINT)
        return unified(store, known, kept, theirs, hints)
    if before is not None and before.key != mine.key:
        base = before = None
    merged = merged_schema(before, mine, other)
    if isinstance(merged, list):
        hint = KEY_HINT if mine.key != other.key else TYPE_HINT
        return SchemaConflict(name, tuple(merged), hint)
    steps: dict[str, int] = {}
    while True:
        try:
            return _Unifier(store, hints, merged.at(steps)).run(base, ours, theirs)
        except Unconvertible as error:
            steps[error.column] = steps.get(error.column, 0) + 1
            if steps[error.column] >= len(merged.types.get(error.column, ())):
                return SchemaConflict(name, (error.message,), TYPE_HINT)


def _rekeyed(store: ObjectStore, side: TableSide | None, key: tuple[str, ...]) -> TableSide | None:
    """A side with another key for its rows; None where that does not tell them apart, or conflicts are open."""
    if side is None or side.disputes.rows or not set(key) <= set(side.table.schema.names):
        return None
    old = side.table.schema
    new = TableSchema(old.columns, key, old.foreign_keys, old.uniques, old.checks)
    try:
        table = recast(side.table, Recasting(old, new, side.table.ddl), store)
    except BadRows:
        return None
    return TableSide(table, Disputes(new), side.origin)


class _Unifier:
    def __init__(self, store: ObjectStore, hints: Hints, schema: TableSchema) -> None:
        self._store, self._hints, self.schema = store, hints, schema

    def run(self, base: TableSide | None, ours: TableSide, theirs: TableSide) -> Unified:
        """Raises Unconvertible."""
        mine, other = self._recast(ours), self._recast(theirs)
        lacking = [self._lacking(side) for side in (ours, theirs)]
        if base is None:
            return Unified(None, self._completed(mine, other, lacking[0]), self._completed(other, mine, lacking[1]))
        known = self._recast(base, self._constants(base, ours, theirs))
        there = frozenset(self.schema.names) - self._lacking(base)
        sides = [
            self._on_base(known, side, missing & there) for side, missing in zip((mine, other), lacking, strict=True)
        ]
        return Unified(known, *sides)

    def _recast(self, side: TableSide, constants: Mapping[str, Value] | None = None) -> TableSide:
        table = side.table
        named = hinted(table.schema, table.ddl, self._hints)
        names = {new: named.old_name(new) for new in named.new.names if new in self.schema.names}
        recasting = Recasting(table.schema, self.schema, table.ddl, names, constants or {})
        return TableSide(recast(table, recasting, self._store), recast_disputes(side.disputes, recasting), side.origin)

    def _lacking(self, side: TableSide) -> frozenset[str]:
        named = hinted(side.table.schema, side.table.ddl, self._hints)
        return frozenset(self.schema.names) - set(named.new.names)

    def _constants(self, base: TableSide, *sides: TableSide) -> dict[str, Value]:
        """What columns that both sides added gave to all rows, where they say so alike: that is what a row has there
        that no one touched since."""
        added = self._lacking(base)
        for side in sides:
            added -= self._lacking(side)
        if not added:
            return {}
        from prontosync.sources.contract import SourceTable
        from prontosync.sources.defaults import default_values

        found = []
        for side in sides:
            table = side.table
            said = default_values(SourceTable(table.name, table.schema, table.ddl), self.schema)
            found.append({name: said[name] for name in added if said.get(name) is not None})
        one, two = found
        both = {**two, **one}
        return {name: value for name, value in both.items() if two.get(name, value) == one.get(name, value)}

    def _on_base(self, base: TableSide, side: TableSide, lacking: frozenset[str]) -> TableSide:
        """A side that lacks columns which the base has: the base with what the side changed."""
        if not lacking:
            return side
        own = {name: None for name in self.schema.names if name not in lacking}
        narrow = only(self.schema, own)
        before, after = (_seen(one.table, narrow) for one in (base, side))
        pieces = (self._patch(base.table, delta.in_columns(narrow), narrow) for delta in deltas_between(before, after))
        state = store_pieces(base.table, pieces)
        table = _with_state(side.table, with_ddl(state, side.table.state), self._store)
        return TableSide(table, self._filled(side.disputes, base, lacking), side.origin)

    def _patch(self, base: StoredTable, delta: Delta, narrow: TableSchema) -> tuple[pa.Table, Changes]:
        gone, come = delta.of_kind("delete").old(), delta.of_kind("insert", "update").new()
        held = base.rows_at(come.select(self.schema.key))
        return _patch_of(self.schema, narrow, base, gone, come, held), delta.counts

    def _completed(self, side: TableSide, other: TableSide, lacking: frozenset[str]) -> TableSide:
        """Without a base, a side that lacks columns agrees with whatever the other has there."""
        if not lacking:
            return side
        narrow = only(self.schema, {name: None for name in self.schema.names if name not in lacking})
        state = store_pieces(side.table, self._agreeing(side.table, other.table, narrow))
        table = _with_state(side.table, with_ddl(state, side.table.state), self._store)
        return TableSide(table, self._filled(side.disputes, other, lacking), side.origin)

    def _agreeing(
        self, table: StoredTable, other: StoredTable, narrow: TableSchema
    ) -> Iterator[tuple[pa.Table, Changes]]:
        empty = table.arrow.empty_table()
        for mine, theirs in side_by_side(self.schema, _tables(table), _tables(other), (empty, empty)):
            both, _ = split(mine, theirs, self.schema.key)
            if both.num_rows:
                patch = _patch_of(self.schema, narrow, table, both.slice(0, 0), both.select(narrow.names), theirs)
                yield patch, Changes(0, both.num_rows, 0)

    def _filled(self, disputes: Disputes, other: TableSide, lacking: frozenset[str]) -> Disputes:
        """Open conflicts of a side that lacks columns: their cells there are those of the other."""
        if not disputes.rows:
            return disputes
        rows = rows_by_key(self.schema, other.table.rows_at(keys_table(self.schema, disputes.rows)))
        indexes = [self.schema.names.index(name) for name in lacking]
        found: dict[Key, Dispute] = {}
        for key, dispute in disputes.rows.items():
            row = rows.get(key)
            known = other.disputes.state(key, row)
            found[key] = Dispute(_filled_state(dispute.state, known, row, indexes), {})
            for (column, value), origins in dispute.origins.items():
                whole = value if column is not None or value is None else _filled_row(value, row, indexes)
                found[key].origins[column, whole] = list(origins)
        return Disputes(self.schema, found)


def _filled_state(state: State, known: State, row: Row | None, indexes: list[int]) -> State:
    if isinstance(state, Cells) and isinstance(known, Cells):
        return Cells(tuple(known.cells[i] if i in indexes else cell for i, cell in enumerate(state.cells)))
    if isinstance(state, Rows):
        return Rows(frozenset(None if one is None else _filled_row(one, row, indexes) for one in state.rows))
    return state


def _filled_row(row: Row, other: Row | None, indexes: list[int]) -> Row:
    return row if other is None else tuple(other[i] if i in indexes else value for i, value in enumerate(row))


def _patch_of(
    schema: TableSchema, narrow: TableSchema, table: StoredTable, gone: pa.Table, come: pa.Table, held: pa.Table
) -> pa.Table:
    """A patch of rows that go and rows that come, the latter with the columns they lack from ``held``, by key; in key
    order."""
    arrow = patch_schema(schema)
    on = " AND ".join(f"c.{quoted(name)} = h.{quoted(name)}" for name in schema.key)
    values = ", ".join(f"c.{quoted(name)}" if name in narrow.names else f"h.{quoted(name)}" for name in schema.names)
    nothing = ", ".join(
        f"g.{quoted(name)}" if name in schema.key else f"NULL AS {quoted(name)}" for name in schema.names
    )
    order = ", ".join(quoted(name) for name in schema.key)
    result = table.engine.table(
        f"SELECT * FROM (SELECT {values}, '{UPSERT}' AS {CHANGE} FROM _ps_c c LEFT JOIN _ps_h h ON {on} "
        f"UNION ALL SELECT {nothing}, '{DELETE}' FROM _ps_g g) ORDER BY {order}",
        _ps_c=come,
        _ps_h=held.select(schema.names),
        _ps_g=gone.select(list(schema.key)),
    )
    columns = [result.column(i).cast(field.type) for i, field in enumerate(arrow)]
    return pa.table(columns, schema=arrow)


def _tables(table: StoredTable) -> Generator[pa.Table, None, None]:
    for batch in table.batches():
        yield pa.Table.from_batches([batch])


def _seen(table: StoredTable, schema: TableSchema) -> StoredTable:
    """A table in some of its columns."""
    state = _without_digest(table.state)
    return StoredTable(table.store, table.engine, table.name, state, schema)


def _with_state(table: StoredTable, state: TableState, store: ObjectStore) -> StoredTable:
    return StoredTable(store, table.engine, table.name, state)


def _without_digest(state: TableState) -> TableState:
    return TableState(state.schema, state.ddl, state.rows, None, state.checkpoint, state.patches, state.changes)
