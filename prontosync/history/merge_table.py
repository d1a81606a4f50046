"""The three-way merge of one table: clean rows in one join, the others one by one by the rules."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.connection import Engine
from prontosync.history.decisions import OPEN, Decision, Sink
from prontosync.history.disputes import (
    UNKNOWN,
    Dispute,
    Disputes,
    Key,
    Origin,
    count,
    keys_table,
    rows_by_key,
    rows_by_key_list,
)
from prontosync.history.marks import Mark
from prontosync.history.merge_clean import (
    HARD,
    OUTCOME,
    CleanRows,
    forbidden_change,
    forbidden_keys,
    keys_in,
)
from prontosync.history.policies import NO_POLICIES, NOBODY, ROW, Policies, Writer
from prontosync.history.row_merge import RowMerge, Verdict, kind_of
from prontosync.history.row_patch import row_patch
from prontosync.history.sets import Cells, Rows, State, candidates, is_settled, shown_row
from prontosync.model.changes import CHANGE, DELETE, INSERT, UPDATE
from prontosync.model.objects import Changes, TableState
from prontosync.model.rules import MAX, MIN, SUM
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, Value, canonical, orderable_row, restored
from prontosync.tables.compare import Delta, delta_schema, deltas_between, gathered, patched_keys
from prontosync.tables.keyset import in_order, not_among, split
from prontosync.tables.order import between
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_pieces

T = TypeVar("T")


@dataclass(frozen=True)
class TableSide:
    """A table at one state: its rows and its open conflicts. ``origin`` names the branch and commit it comes from,
    ``writer`` who made its changes."""

    table: StoredTable
    disputes: Disputes
    origin: Origin
    writer: Writer = NOBODY


@dataclass(frozen=True)
class MergedTable:
    """The merged state; ``taken`` and ``merged`` rows; how many cells and rows are newly in dispute; whether
    ``--prefer``, a rule of this place only, or who made a change decided anything; and whether the state differs from
    ours."""

    state: TableState
    disputes: Disputes
    taken: int
    merged: int
    disputed: int
    preferred: bool
    differs: bool = True


@dataclass(frozen=True)
class Terms:
    """What a table is merged by. ``prefer`` ("ours", "theirs") decides what nothing else does; ``explain`` hears of
    each decision, as part of table ``name``."""

    policies: Policies = NO_POLICIES
    prefer: str | None = None
    explain: Sink | None = None
    name: str = ""


def merge_table(
    engine: Engine, base: TableSide | None, ours: TableSide, theirs: TableSide, terms: Terms
) -> MergedTable | None:
    """Merge ``theirs`` into ``ours``, which have the same columns, types and key; None where nothing comes of it.

    Without a base equal rows agree and different ones are disputed, where no policy decides without one.
    """
    return _Merge(engine, base, ours, theirs, terms).run()


class _Merge:
    def __init__(
        self, engine: Engine, base: TableSide | None, ours: TableSide, theirs: TableSide, terms: Terms
    ) -> None:
        self.engine, self.terms, self.policies, self.prefer = engine, terms, terms.policies, terms.prefer
        self.schema = ours.table.schema
        self.ours, self.theirs = ours, _in_columns(theirs, self.schema)
        self.base = _in_columns(base, self.schema) if base else None
        self.clean = CleanRows(engine, self.schema, self.policies, theirs.writer)
        self.rows = RowMerge(self.schema, self.policies, ours.writer, theirs.writer)
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
        ours = self._our_rows(delta) if delta.table.num_rows else self.ours.table.arrow.empty_table()
        outcomes = self.clean.outcomes(delta, keys_table(self.schema, special), ours)
        hard = outcomes.filter(pc.equal(outcomes.column(OUTCOME), HARD))
        clean, counts, taken = self.clean.patch(outcomes)
        self.taken += taken
        self.merged += clean.num_rows - taken
        self._note_decided(outcomes)
        others, more = self._hard(keys_of(self.schema, keys_in(self.schema, hard)), special)
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
        """Keys that theirs touched and that are in dispute on any side, and those that ours touched and was not allowed
        to. Without a base, theirs touched all that it has."""
        ours, theirs = self.ours.disputes, self.theirs.disputes
        if self.base is None:
            return _Special(self.schema, set(), {*ours.rows, *theirs.rows} | self._forbidden())
        before = self.base.disputes
        always = before.differing(theirs) | self._forbidden()
        return _Special(self.schema, {*before.rows, *ours.rows, *theirs.rows}, always)

    def _forbidden(self) -> set[Key]:
        condition, base = forbidden_change(self.schema, self.policies, self.ours.writer), self.base
        if condition is None:
            return set()
        found = base.disputes.differing(self.ours.disputes) if base else set[Key]()
        # Without a base: the rows that theirs lacks; of the others theirs tells.
        for delta in deltas_between((base or self.theirs).table, self.ours.table):
            change = delta.in_columns(self.schema)
            keys = forbidden_keys(self.engine, change if base else change.of_kind(INSERT), condition)
            found.update(keys_of(self.schema, keys))
        return found

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

    def _note_decided(self, outcomes: pa.Table) -> None:
        """Tell what the policies of columns decided, and remember where those were this place's own."""
        asked = range(len(self.schema.names)) if self.terms.explain else self.policies.added
        for i in asked:
            policy = self.policies.columns[i] if i != ROW and self.policies.columns else None
            if policy not in (SUM, MAX, MIN):
                continue
            found = self.clean.decided(outcomes, i)
            self.preferred = self.preferred or (i in self.policies.added and found.num_rows > 0)
            if self.terms.explain is not None:
                self._tell(self.terms.explain, found, i, str(policy))

    def _tell(self, sink: Sink, found: pa.Table, column: int, policy: str) -> None:
        width = len(self.schema.key)
        for values in zip(*(c.to_pylist() for c in found.columns), strict=True):
            key = tuple(canonical(value) for value in values[:width])
            sets = [frozenset([canonical(value)]) for value in values[width:]]
            sink(Decision(self.terms.name, self.schema, key, self.schema.names[column], policy, *sets))

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
        before = mine if self.base is None and mine == other else before
        verdict = self.rows.merge(before, mine, other)
        if verdict.refused or self.policies.added & verdict.by.keys():
            self.preferred = True
        if self.prefer and not is_settled(verdict.state):
            verdict.state = self._preferred(verdict, before, mine, other)
        if self.terms.explain is not None:
            self._explain(self.terms.explain, key, verdict, (before, mine, other))
        self._note(key, verdict, mine, other)
        return verdict.state

    def _preferred(self, verdict: Verdict, base: State, ours: State, theirs: State) -> State:
        """What the preferred side says where both sides changed; a dispute that one side brought stays open."""
        decided: State
        state = verdict.state
        if (
            isinstance(base, Cells)
            and isinstance(ours, Cells)
            and isinstance(theirs, Cells)
            and isinstance(state, Cells)
        ):
            cells = zip(state.cells, base.cells, ours.cells, theirs.cells, strict=True)
            chosen = [self._preferred_of(*cell) if len(cell[0]) > 1 else cell[0] for cell in cells]
            verdict.by.update({i: "--prefer" for i, cell in enumerate(chosen) if cell != state.cells[i]})
            decided = Cells(tuple(chosen))
        else:
            decided = self._preferred_of(state, base, ours, theirs)
            verdict.by.update({ROW: "--prefer"} if decided != state else {})
        self.preferred = self.preferred or decided != state
        return decided

    def _preferred_of(self, merged: T, base: T, ours: T, theirs: T) -> T:
        if base in (ours, theirs) or ours == theirs:
            return merged
        return ours if self.prefer == "ours" else theirs

    def _explain(self, sink: Sink, key: Key, verdict: Verdict, sides: tuple[State, State, State]) -> None:
        """Tell what decided each cell, or the row, that a rule decided or that came to be in dispute here."""
        base, mine, other = sides
        state = verdict.state
        if isinstance(state, Cells) and isinstance(mine, Cells) and isinstance(other, Cells):
            for i, name in enumerate(self.schema.names):
                known = state.cells[i] in (mine.cells[i], other.cells[i]) and i not in verdict.refused
                if i in verdict.by or (len(state.cells[i]) > 1 and not known):
                    before = base.cells[i] if isinstance(base, Cells) else frozenset()
                    sets = (before, mine.cells[i], other.cells[i], state.cells[i])
                    sink(Decision(self.terms.name, self.schema, key, name, _rule(verdict, i), *sets))
        elif ROW in verdict.by or (not is_settled(state) and (state not in (mine, other) or verdict.refused)):
            wholes = [candidates(one) for one in (base, mine, other, state)]
            sink(Decision(self.terms.name, self.schema, key, None, _rule(verdict, ROW), *wholes))

    def _note(self, key: Key, verdict: Verdict, mine: State, other: State) -> None:
        state = verdict.state
        mark = self._mark(key)
        self.disputes.rows.pop(key, None)
        if mark is not None:
            self.disputes.rows[key] = Dispute(state, mark=mark)
        if is_settled(state):
            self.taken += mine != state == other
            self.merged += state not in (mine, other)
            return
        if state != mine:
            self.disputed += count(state)
        self.disputes.rows[key] = self._dispute(key, verdict, mine, other)
        self.disputes.rows[key].mark = mark

    def _mark(self, key: Key) -> Mark | None:
        """An invariant's mark, merged like anything else: who took it off decided. Holds are found out anew."""
        sides = (self.base, self.ours, self.theirs)
        known = [side.disputes.rows.get(key) if side else None for side in sides]
        base, ours, theirs = (d.mark if d is not None and not d.held else None for d in known)
        told, mine, other = (mark.text if mark else None for mark in (base, ours, theirs))
        return ours if other in (told, mine) else theirs if mine == told else ours or theirs

    def _dispute(self, key: Key, verdict: Verdict, mine: State, other: State) -> Dispute:
        """A disputed row with the origin of each candidate: as a side's own dispute knows it, else that side itself."""
        dispute = Dispute(verdict.state)
        for candidate in list(dispute.candidates(self.schema)):
            column = ROW if candidate.column is None else self.schema.names.index(candidate.column)
            kind = kind_of(verdict, column)
            at = candidate.column, candidate.value
            sides = [s for s, one in ((self.ours, mine), (self.theirs, other)) if _holds(self.schema, one, *at)]
            # What neither has any more is what stood there before a change that was not allowed.
            for side in sides or [self.base or replace(self.ours, origin=UNKNOWN)]:
                for origin in _origins(side, key, *at, kind):
                    dispute.add(*at, origin)
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
    """The keys of few rows, canonical. ``table`` has the key columns by name."""
    only = TableSchema(tuple(c for c in schema.columns if c.name in schema.key), schema.key)
    return [key for key, _ in rows_by_key_list(only, table)]


def _key(schema: TableSchema, row: Row) -> Key:
    return tuple(row[schema.names.index(name)] for name in schema.key)


def _holds(schema: TableSchema, state: State, column: str | None, value: Value | Row | None) -> bool:
    if column is None:
        return value in candidates(state)
    if isinstance(state, Cells):
        return value in state.cells[schema.names.index(column)]
    rows = state.rows if isinstance(state, Rows) else ()
    return any(row is not None and row[schema.names.index(column)] == value for row in rows)


def _origins(side: TableSide, key: Key, column: str | None, value: Any, kind: str | None) -> Iterable[Origin]:
    dispute = side.disputes.rows.get(key)
    known = dispute.origins.get((column, value)) if dispute else None
    return known or [side.origin._replace(kind=kind or ("row" if column is None else "cell"))]


def _rule(verdict: Verdict, column: int) -> str:
    refused = verdict.refused.get(column) or verdict.refused.get(ROW)
    if column in verdict.by:
        return verdict.by[column]
    return f"{OPEN} ({refused})" if refused else OPEN


def _in_columns(side: TableSide, schema: TableSchema) -> TableSide:
    return replace(side, disputes=side.disputes.in_columns(schema))
