"""The three-way merge of one table: clean rows in one join, the others one by one by the rules of ``history.sets``."""

from __future__ import annotations

import decimal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.connection import Engine, quoted
from prontosync.history.disputes import (
    Dispute,
    Disputes,
    Key,
    Origin,
    count,
    keys_table,
    rows_by_key,
    rows_by_key_list,
)
from prontosync.history.row_patch import row_patch
from prontosync.history.sets import Cells, Rows, State, Sum, candidates, is_settled, merge_row, shown_row
from prontosync.model.changes import CHANGE, DELETE, INSERT, UPDATE, UPSERT
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import MAX_PRECISION, TableSchema, decimal_parts
from prontosync.model.values import Row, Value, orderable_row, restored, same
from prontosync.tables.compare import Delta, delta_schema, deltas_between, gathered, patched_keys
from prontosync.tables.keyset import in_order, not_among, split
from prontosync.tables.order import as_rows, between
from prontosync.tables.patch import patch_schema
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_pieces

T = TypeVar("T")
_EXACT = decimal.Context(prec=3 * MAX_PRECISION)
_OUTCOME = "_ps_outcome"
_TAKE, _REMOVE, _NONE, _CELLS, _HARD = "take", "remove", "none", "cells", "hard"


@dataclass(frozen=True)
class TableSide:
    """A table at one state: its rows and its open conflicts. ``origin`` names the branch and commit it comes from."""

    table: StoredTable
    disputes: Disputes
    origin: Origin


@dataclass(frozen=True)
class MergedTable:
    """The merged state; ``taken`` and ``merged`` rows; how many cells and rows are newly in dispute; whether
    ``--prefer`` decided anything; and whether the state differs from ours."""

    state: TableState
    disputes: Disputes
    taken: int
    merged: int
    disputed: int
    preferred: bool
    differs: bool = True


def merge_table(
    engine: Engine, base: TableSide | None, ours: TableSide, theirs: TableSide, sums: frozenset[str], prefer: str | None
) -> MergedTable | None:
    """Merge ``theirs`` into ``ours``, which have the same columns, types and key; None where nothing comes of it.

    Without a base equal rows agree and different ones are disputed. ``prefer`` ("ours", "theirs") decides what nothing
    else does.
    """
    return _Merge(engine, base, ours, theirs, sums, prefer).run()


class _Merge:
    def __init__(
        self,
        engine: Engine,
        base: TableSide | None,
        ours: TableSide,
        theirs: TableSide,
        sums: frozenset[str],
        prefer: str | None,
    ) -> None:
        self.engine, self.sums, self.prefer = engine, sums, prefer
        self.schema = ours.table.schema
        self.ours, self.theirs = ours, _in_columns(theirs, self.schema)
        self.base = _in_columns(base, self.schema) if base else None
        self.totals = [_total(self.schema.type_of(n)) if n in sums else None for n in self.schema.names]
        self.by_name = sorted(range(len(self.schema.names)), key=lambda i: self.schema.names[i])
        self.disputes = Disputes(self.schema, ours.disputes.rows)
        self.taken = self.merged = self.disputed = 0
        self.preferred = False

    def run(self) -> MergedTable | None:
        state = store_pieces(self.ours.table, self._pieces())
        changed = bool(state.changes)
        differs = changed or not self.disputes.same_as(self.ours.disputes)
        if not differs and not self.preferred:
            return None
        kept = state if changed else self.ours.table.state
        return MergedTable(kept, self.disputes, self.taken, self.merged, self.disputed, self.preferred, differs)

    def _pieces(self) -> Iterator[tuple[pa.Table, Changes]]:
        """The patches that make the merged rows of ours, in key order, with their counts."""
        special = self._special()
        for delta in self._deltas():
            yield self._piece(delta, special.upto(delta.keys()))
        if rest := special.rest():
            yield self._piece(Delta(self.schema, delta_schema(self.schema).empty_table()), rest)

    def _piece(self, delta: Delta, special: set[Key]) -> tuple[pa.Table, Changes]:
        outcomes = self._outcomes(delta, keys_table(self.schema, special))
        hard = outcomes.filter(pc.equal(outcomes.column(_OUTCOME), _HARD))
        clean, counts = self._clean(outcomes)
        others, more = self._hard(keys_of(self.schema, hard), special)
        return in_order(pa.concat_tables([clean, others]), self.schema.key), counts + more

    def _deltas(self) -> Iterator[Delta]:
        """What theirs changed since the base. Without a base: their rows that ours lacks or has otherwise."""
        if self.base is not None:
            found = deltas_between(self.base.table, self.theirs.table)
            return (delta.in_columns(self.schema) for delta in found)
        found = deltas_between(self.ours.table, self.theirs.table)
        return gathered(self._as_inserts(delta.in_columns(self.schema)) for delta in found)

    def _as_inserts(self, delta: Delta) -> Delta:
        present = delta.table.filter(pc.not_equal(delta.table.column(CHANGE), DELETE))
        arrow = delta_schema(self.schema)
        columns = [
            pa.array([INSERT] * present.num_rows, pa.string())
            if field.name == CHANGE
            else pa.nulls(present.num_rows, field.type)
            if field.name.startswith("o")
            else present.column(field.name)
            for field in arrow
        ]
        return Delta(self.schema, pa.table(columns, schema=arrow))

    def _special(self) -> _Special:
        """Keys that theirs touched and that are in dispute on any side. Without a base, theirs touched all that it
        has."""
        ours, theirs = self.ours.disputes, self.theirs.disputes
        if self.base is None:
            return _Special(self.schema, set(), {*ours.rows, *theirs.rows})
        before = self.base.disputes
        return _Special(self.schema, {*before.rows, *ours.rows, *theirs.rows}, before.differing(theirs))

    def _outcomes(self, delta: Delta, special: pa.Table) -> pa.Table:
        """For each change of theirs outside ``special``: what comes of it, the three rows (o, x, n: base, ours, theirs)
        and the merged cells (r)."""
        names = self.schema.names
        ours = self._our_rows(delta)
        columns = ", ".join(f"o{i}, n{i}, x{i}, {self._cell(i)} AS r{i}" for i in range(len(names)))
        mine = ", ".join(f"{quoted(name)} AS x{i}" for i, name in enumerate(names))
        keys = [names.index(name) for name in self.schema.key]
        on = " AND ".join(f"coalesce(d.n{i}, d.o{i}) = m.x{i}" for i in keys)
        skip = " AND ".join(f"coalesce(d.n{i}, d.o{i}) = s.{quoted(names[i])}" for i in keys)
        result = self.engine.table(
            f"SELECT {self._outcome()} AS {_OUTCOME}, {columns} "
            f"FROM (SELECT * FROM _ps_d d ANTI JOIN _ps_s s ON {skip}) d "
            f"LEFT JOIN (SELECT true AS op, {mine} FROM _ps_m) m ON {on}",
            _ps_d=delta.table,
            _ps_s=special,
            _ps_m=ours,
        )
        return _cast(result, _outcome_schema(self.schema))

    def _our_rows(self, delta: Delta) -> pa.Table:
        """Ours' rows of the keys of a delta, in any order. Where ours has the base's segments, a row that no patch of
        the two tells of is the base's, which the delta has."""
        keys = delta.keys()
        if self._patched is None:
            return self.ours.table.rows_at(keys)
        patched = between(self._patched, keys, self.schema)
        mine, _ = split(keys, patched, self.schema.key)
        same = not_among(keys, patched, self.schema.key)
        kept = Delta(self.schema, delta.table.filter(same)).of_kind(UPDATE, DELETE).old()
        return pa.concat_tables([kept, self.ours.table.rows_at(mine).select(self.schema.names)])

    @cached_property
    def _patched(self) -> pa.Table | None:
        """Where base and ours have the same segments, the keys in which they may differ."""
        if self.base is None or self.base.table.state.checkpoint != self.ours.table.state.checkpoint:
            return None
        return patched_keys(self.base.table, self.ours.table)

    def _outcome(self) -> str:
        indexes = range(len(self.schema.names))
        ours_is_theirs = " AND ".join(f"x{i} IS NOT DISTINCT FROM n{i}" for i in indexes)
        ours_is_base = " AND ".join(f"x{i} IS NOT DISTINCT FROM o{i}" for i in indexes)
        undecided = " OR ".join(self._undecided(i) for i in indexes)
        return (
            f"CASE {CHANGE} "
            f"WHEN '{INSERT}' THEN "
            f"CASE WHEN op IS NULL THEN '{_TAKE}' WHEN {ours_is_theirs} THEN '{_NONE}' ELSE '{_HARD}' END "
            f"WHEN '{DELETE}' THEN "
            f"CASE WHEN op IS NULL THEN '{_NONE}' WHEN {ours_is_base} THEN '{_REMOVE}' ELSE '{_HARD}' END "
            f"ELSE CASE WHEN op IS NULL OR {undecided} THEN '{_HARD}' ELSE '{_CELLS}' END END"
        )

    def _cell(self, i: int) -> str:
        """The merged cell, where something decides it."""
        theirs, ours = f"n{i} IS NOT DISTINCT FROM o{i}", f"x{i} IS NOT DISTINCT FROM o{i}"
        plain = f"CASE WHEN {theirs} THEN x{i} WHEN {ours} THEN n{i} ELSE x{i} END"
        total = self._sum(i)
        return f"CASE WHEN {_all_there(i)} THEN {total} ELSE {plain} END" if total else plain

    def _undecided(self, i: int) -> str:
        plain = f"(x{i} IS DISTINCT FROM n{i} AND n{i} IS DISTINCT FROM o{i} AND x{i} IS DISTINCT FROM o{i})"
        total = self._sum(i)
        return f"CASE WHEN {_all_there(i)} THEN ({total}) IS NULL ELSE {plain} END" if total else plain

    def _sum(self, i: int) -> str | None:
        """base + both differences as SQL, NULL where it does not fit the type."""
        name = self.schema.names[i]
        if name not in self.sums:
            return None
        logical = self.schema.type_of(name)
        if logical == "float64":  # a side that changed alone is taken as it is: (0.1 + 0.3) - 0.1 is not 0.3
            return f"CASE WHEN x{i} = o{i} THEN n{i} WHEN n{i} = o{i} THEN x{i} ELSE x{i} + n{i} - o{i} END"
        if logical == "int64":
            return f"TRY_CAST(x{i}::HUGEINT + n{i}::HUGEINT - o{i}::HUGEINT AS BIGINT)"
        precision, scale = decimal_parts(logical) or (MAX_PRECISION, 0)
        if precision > MAX_PRECISION - 2:
            return "NULL"  # no room for the sum of three; such rows are added up one by one
        wide = f"DECIMAL({MAX_PRECISION},{scale})"
        return f"TRY_CAST(x{i}::{wide} + n{i}::{wide} - o{i}::{wide} AS DECIMAL({precision},{scale}))"

    def _clean(self, outcomes: pa.Table) -> tuple[pa.Table, Changes]:
        """The patch of the rows that something decides."""
        indexes = range(len(self.schema.names))
        ours_is_result = " AND ".join(f"x{i} IS NOT DISTINCT FROM r{i}" for i in indexes)
        theirs_is_result = " AND ".join(f"n{i} IS NOT DISTINCT FROM r{i}" for i in indexes)
        columns = ", ".join(
            f"CASE {_OUTCOME} WHEN '{_TAKE}' THEN n{i} WHEN '{_REMOVE}' THEN o{i} ELSE r{i} END AS {quoted(name)}"
            for i, name in enumerate(self.schema.names)
        )
        result = self.engine.table(
            f"SELECT {columns}, CASE {_OUTCOME} WHEN '{_REMOVE}' THEN '{DELETE}' ELSE '{UPSERT}' END AS {CHANGE}, "
            f"({_OUTCOME} <> '{_CELLS}' OR ({theirs_is_result})) AS _ps_taken FROM _ps_r "
            f"WHERE {_OUTCOME} IN ('{_TAKE}', '{_REMOVE}') OR ({_OUTCOME} = '{_CELLS}' AND NOT ({ours_is_result}))",
            _ps_r=outcomes,
        )
        inserted, deleted = (_number_of(outcomes, outcome) for outcome in (_TAKE, _REMOVE))
        counts = Changes(inserted, result.num_rows - inserted - deleted, deleted)
        taken = pc.sum(result.column("_ps_taken").cast(pa.int64())).as_py() or 0
        self.taken += taken
        self.merged += result.num_rows - taken
        return _cast(result.drop_columns(["_ps_taken"]), patch_schema(self.schema)), counts

    def _hard(self, undecided: Iterable[Key], special: set[Key]) -> tuple[pa.Table, Changes]:
        """The rows that nothing decides at once, and those in dispute: merged by the rules, their sets kept."""
        keys = set(undecided) | special
        wanted = keys_table(self.schema, keys)
        base = self._rows(self.base, wanted)
        ours, theirs = self._rows(self.ours, wanted), self._rows(self.theirs, wanted)
        upserts: list[Row] = []
        deletes: list[Row] = []
        for key in keys:
            mine = ours.get(key)
            state = self._merge_key(key, base.get(key), mine, theirs.get(key))
            row = shown_row(state, self.by_name)
            if row is not None and row != mine:
                upserts.append(row)
            elif row is None and mine is not None:
                deletes.append(mine)
        inserted = sum(_key(self.schema, row) not in ours for row in upserts)
        return row_patch(self.schema, upserts, deletes), Changes(inserted, len(upserts) - inserted, len(deletes))

    def _rows(self, side: TableSide | None, keys: pa.Table) -> dict[Key, Row]:
        if side is None or not keys.num_rows:
            return {}
        return rows_by_key(self.schema, side.table.rows_at(keys).select(self.schema.names))

    def _merge_key(self, key: Key, base: Row | None, ours: Row | None, theirs: Row | None) -> State:
        before = (self.base.disputes if self.base else Disputes(self.schema)).state(key, base)
        mine, other = self.ours.disputes.state(key, ours), self.theirs.disputes.state(key, theirs)
        state = merge_row(self.totals, before, mine, other)
        if self.prefer and not is_settled(state):
            state = self._preferred(state, before, mine, other)
        self._note(key, state, mine, other)
        return state

    def _preferred(self, state: State, base: State, ours: State, theirs: State) -> State:
        """What the preferred side says where both sides changed; a dispute that one side brought stays open."""
        decided: State
        if (
            isinstance(base, Cells)
            and isinstance(ours, Cells)
            and isinstance(theirs, Cells)
            and isinstance(state, Cells)
        ):
            cells = zip(state.cells, base.cells, ours.cells, theirs.cells, strict=True)
            decided = Cells(tuple(self._preferred_of(*cell) if len(cell[0]) > 1 else cell[0] for cell in cells))
        else:
            decided = self._preferred_of(state, base, ours, theirs)
        self.preferred = self.preferred or decided != state
        return decided

    def _preferred_of(self, merged: T, base: T, ours: T, theirs: T) -> T:
        if base in (ours, theirs) or ours == theirs:
            return merged
        return ours if self.prefer == "ours" else theirs

    def _note(self, key: Key, state: State, mine: State, other: State) -> None:
        self.disputes.rows.pop(key, None)
        if is_settled(state):
            if state != mine:
                self.taken, self.merged = (
                    (self.taken + 1, self.merged) if state == other else (self.taken, self.merged + 1)
                )
            return
        if state != mine:
            self.disputed += count(state)
        self.disputes.rows[key] = self._dispute(key, state, mine, other)

    def _dispute(self, key: Key, state: State, mine: State, other: State) -> Dispute:
        """A disputed row with the origin of each candidate: as a side's own dispute knows it, else that side itself."""
        dispute = Dispute(state)
        for candidate in list(dispute.candidates(self.schema)):
            for side, known in ((self.ours, mine), (self.theirs, other)):
                if _holds(self.schema, known, candidate.column, candidate.value):
                    for origin in _origins(side, key, candidate.column, candidate.value):
                        dispute.add(candidate.column, candidate.value, origin)
        return dispute


class _Special:
    """Keys to be merged by the rules, as the changes go by in key order: those of ``touched`` that are among the
    changes, and all of ``always``."""

    def __init__(self, schema: TableSchema, touched: set[Key], always: set[Key]) -> None:
        self._schema = schema
        self._touched = keys_table(schema, touched)
        self._always = deque(sorted(always, key=_order))

    def upto(self, keys: pa.Table) -> set[Key]:
        """Those that are due with changes of these keys."""
        found, _ = split(between(self._touched, keys, self._schema), keys, self._schema.key)
        end = _order(keys_of(self._schema, keys.slice(keys.num_rows - 1))[0])
        due = set(keys_of(self._schema, found))
        while self._always and _order(self._always[0]) <= end:
            due.add(self._always.popleft())
        return due

    def rest(self) -> set[Key]:
        """Those that lie beyond all changes."""
        return set(self._always)


def _order(key: Key) -> tuple[Any, ...]:
    return orderable_row(restored(value) for value in key)


def keys_of(schema: TableSchema, table: pa.Table) -> list[Key]:
    """The keys of few rows, canonical. ``table`` has the key columns by name, or outcomes' columns."""
    if _OUTCOME not in table.column_names:
        only = TableSchema(tuple(c for c in schema.columns if c.name in schema.key), schema.key)
        return [key for key, _ in rows_by_key_list(only, table)]
    arrow = [patch_schema(schema).field(name) for name in schema.key]
    indexes = [schema.names.index(name) for name in schema.key]
    columns = [pc.coalesce(table.column(f"n{i}"), table.column(f"o{i}")) for i in indexes]
    return keys_of(schema, pa.table(columns, schema=pa.schema(arrow)))


def _key(schema: TableSchema, row: Row) -> Key:
    return tuple(row[schema.names.index(name)] for name in schema.key)


def _number_of(outcomes: pa.Table, outcome: str) -> int:
    return pc.sum(pc.equal(outcomes.column(_OUTCOME), outcome)).as_py() or 0


def _total(logical: str) -> Sum:
    """base + both differences, None where the result does not fit the type."""
    if logical == "int64":
        return lambda b, o, t: _fitting(o + t - b)
    if logical == "float64":
        return _float_total
    precision, _ = decimal_parts(logical) or (MAX_PRECISION, 0)
    return lambda b, o, t: _decimal_total(precision, b, o, t)


def _float_total(*values: Value) -> float:
    base, ours, theirs = (restored(value) for value in values)
    if same(ours, base):
        return float(theirs)
    return float(ours if same(theirs, base) else ours + theirs - base)


def _fitting(value: int) -> int | None:
    return value if -(2**63) <= value < 2**63 else None


def _decimal_total(
    precision: int, b: decimal.Decimal, o: decimal.Decimal, t: decimal.Decimal
) -> decimal.Decimal | None:
    total = _EXACT.subtract(_EXACT.add(o, t), b)
    return total if len(total.as_tuple().digits) <= precision else None


def _all_there(i: int) -> str:
    return f"(o{i} IS NOT NULL AND x{i} IS NOT NULL AND n{i} IS NOT NULL)"


def _holds(schema: TableSchema, state: State, column: str | None, value: Value | Row | None) -> bool:
    if column is None:
        return value in candidates(state)
    if isinstance(state, Cells):
        return value in state.cells[schema.names.index(column)]
    rows = state.rows if isinstance(state, Rows) else ()
    return any(row is not None and row[schema.names.index(column)] == value for row in rows)


def _origins(side: TableSide, key: Key, column: str | None, value: Any) -> Iterable[Origin]:
    dispute = side.disputes.rows.get(key)
    known = dispute.origins.get((column, value)) if dispute else None
    return known or [side.origin._replace(kind="row" if column is None else "cell")]


def _in_columns(side: TableSide, schema: TableSchema) -> TableSide:
    return TableSide(side.table, side.disputes.in_columns(schema), side.origin)


def _outcome_schema(schema: TableSchema) -> pa.Schema:
    fields = [pa.field(_OUTCOME, pa.string())]
    for i, field in enumerate(patch_schema(schema)):
        if field.name != CHANGE:
            fields += [pa.field(f"{side}{i}", field.type) for side in "onxr"]
    return pa.schema(fields)


def _cast(table: pa.Table, arrow: pa.Schema) -> pa.Table:
    return pa.Table.from_batches([as_rows(batch, arrow) for batch in table.to_batches()], schema=arrow)
