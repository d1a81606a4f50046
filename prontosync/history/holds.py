"""Holding rows back after a merge: what a constraint of this place does not accept is kept as intended, and not shown.

Merging works on what is intended. Afterwards every row that is new or was held is tried; what breaks a constraint is
held, with all that depends on it, and the table goes on showing the row that was there. So the shown state is always
one that the live database accepts, and a row that is live is never taken away for a hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.commits import Tree, without_changes
from prontosync.history.constraints import Breach, breaches
from prontosync.history.disputes import (
    UNKNOWN,
    Dispute,
    Disputes,
    Key,
    Origin,
    keys_table,
    name_order,
    read_disputes,
    rows_by_key,
    write_disputes,
)
from prontosync.history.marks import Mark
from prontosync.history.row_patch import row_patch
from prontosync.history.sets import shown_row, state_of
from prontosync.history.touched import Trial
from prontosync.model.objects import TableState
from prontosync.model.values import Row
from prontosync.tables.compare import deltas_between
from prontosync.tables.keyset import in_order
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes

Brought = Callable[[str, Mapping[Key, Row | None]], Mapping[Key, Origin]]
"""For rows of a table as they are intended, which side of a merge brought each."""

Refusals = Mapping[str, Mapping[Key, Breach]]
"""Rows, by table and key, that the live database refused although no test of ours says why."""


@dataclass(frozen=True)
class Held:
    """A merged state with what breaks a constraint held back, and how many rows of each table are held that were
    not."""

    tree: Tree
    counts: Mapping[str, int] = field(default_factory=dict)


class Holding:
    """Holds rows of merged states back. ``trial`` tests rows against a table's own definition, ``refusals`` are held
    in any case; ``now`` is the moment of new marks (RFC 3339). Tables that are ``foreign`` are not this place's: no row
    can be looked for in them."""

    def __init__(
        self,
        store: ObjectStore,
        engine: Engine,
        trial: Trial,
        now: str,
        refusals: Refusals | None = None,
        foreign: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._store, self._engine, self._trial, self._now, self._foreign = store, engine, trial, now, foreign
        self._refusals: Refusals = refusals or {}

    def held(self, before: Tree, merged: Tree, brought: Brought) -> Held:
        """``merged`` with rows held so that it breaks nothing that ``before``, which is shown now, does not break."""
        touched = [name for name in before.tables if name in merged.tables and _touched(before, merged, name)]
        held = [name for name in (*merged.conflicts, *self._refusals) if name in before.tables and name not in touched]
        tables = {name: self._table(before, merged, name) for name in touched}
        for name in held:
            table = self._table(before, merged, name)
            if table.held or self._refusals.get(name):
                tables[name] = table
        if not tables:
            return Held(merged)
        found = self._breaches(before, merged, tables)
        if not found and not any(table.held for table in tables.values()):
            return Held(merged)
        return self._kept(before, merged, tables, found, brought)

    def _breaches(self, before: Tree, merged: Tree, tables: Mapping[str, _Table]) -> dict[str, dict[Key, Breach]]:
        """What breaks when all rows but the refused ones are as intended, and those."""
        ours = {name: self._stored(before, name) for name in before.tables}
        refused = {name: rows for name, rows in self._refusals.items() if name in tables}
        tried = {name: table.tried(refused.get(name, {})) for name, table in tables.items()}
        known = [name for name in before.tables if name in merged.tables and not self._foreign(name)]
        after = {name: tried.get(name) or self._stored(merged, name) for name in known}
        found = breaches(self._engine, {name: ours[name] for name in after}, after, self._trial).rows
        return {
            name: {**refused.get(name, {}), **found.get(name, {})}
            for name in sorted(refused.keys() | found.keys())
            if refused.get(name) or found.get(name)
        }

    def _kept(
        self,
        before: Tree,
        merged: Tree,
        tables: dict[str, _Table],
        found: Mapping[str, Mapping[Key, Breach]],
        brought: Brought,
    ) -> Held:
        states, conflicts, counts = dict(merged.tables), dict(merged.conflicts), dict[str, int]()
        for name in sorted(tables.keys() | found.keys()):
            table = tables.get(name) or self._table(before, merged, name)
            marks = self._marks(table, name, found.get(name, {}), brought)
            states[name], disputes = table.settled(marks)
            counts[name] = sum(key not in table.old_holds for key in marks)
            conflicts.pop(name, None)
            if (identity := write_disputes(self._store, disputes)) is not None:
                conflicts[name] = identity
            if _same(table.before, StoredTable(self._store, self._engine, name, states[name])):
                states[name] = table.before.state
        tree = replace(merged, tables=states, conflicts=conflicts)
        return Held(tree, {name: number for name, number in counts.items() if number})

    def _marks(self, table: _Table, name: str, found: Mapping[Key, Breach], brought: Brought) -> dict[Key, Mark]:
        intents = {key: shown_row(table.disputes.state(key, table.row(key)), table.order) for key in found}
        known = {key: table.old_holds[key] for key in found if key in table.old_holds}
        same = {key for key, old in known.items() if shown_row(old.state, table.order) == intents[key]}
        fresh = {key: row for key, row in intents.items() if key not in same}
        origins = brought(name, fresh) if fresh else {}
        marks = {}
        for key, breach in found.items():
            old = known[key].mark if key in known else None
            origin = old if old is not None and key in same else origins.get(key, UNKNOWN)
            since = old.since if old is not None else self._now
            marks[key] = Mark(breach.kind, breach.detail, origin.branch, origin.commit, since)
        return marks

    def _table(self, before: Tree, merged: Tree, name: str) -> _Table:
        return _Table(self._stored(before, name), self._stored(merged, name), before, merged)

    def _stored(self, tree: Tree, name: str) -> StoredTable:
        return StoredTable(self._store, self._engine, name, tree.tables[name])


class _Table:
    """One table of a merge: as it is shown, as it was merged, and the rows that are to be tried."""

    def __init__(self, before: StoredTable, merged: StoredTable, old: Tree, tree: Tree) -> None:
        self.before, self.merged = before, merged
        self._old = old.conflicts.get(before.name)
        self.disputes = read_disputes(merged, tree.conflicts.get(merged.name))
        self.order = name_order(merged.schema)
        self.held = {key: dispute for key, dispute in self.disputes.rows.items() if dispute.held}
        self._rows: dict[Key, Row] = {}

    @cached_property
    def old_holds(self) -> dict[Key, Dispute]:
        """The rows that were held before the merge, which forgets those that it touches, and those that it left so."""
        known = read_disputes(self.before, self._old).rows if self._old else {}
        return {key: dispute for key, dispute in known.items() if dispute.held} | self.held

    def tried(self, refused: Iterable[Key]) -> StoredTable:
        """The merged table with every held row as it is intended, and every refused one as it is shown now."""
        wanted = {key: shown_row(dispute.state, self.order) for key, dispute in self.held.items()}
        keys = list(refused)
        shown = self._at(self.before, keys)
        return self._with(wanted | {key: shown.get(key) for key in keys})

    def row(self, key: Key) -> Row | None:
        """The merged table's own row, of a key that is not held."""
        if key not in self._rows:
            self._rows |= self._at(self.merged, [key])
        return self._rows.get(key)

    def settled(self, marks: Mapping[Key, Mark]) -> tuple[TableState, Disputes]:
        """The state and the disputes with these rows held, and the others that were held shown as intended."""
        keys = [*self.held, *(key for key in marks if key not in self.held)]
        shown = self._at(self.before, keys)
        self._rows |= self._at(self.merged, [key for key in marks if key not in self.disputes.rows])
        disputes = Disputes(self.merged.schema, self.disputes.rows)
        wanted: dict[Key, Row | None] = {}
        for key in keys:
            known = self.disputes.rows.get(key) or Dispute(state_of(self._rows.get(key)))
            mark = marks.get(key)
            wanted[key] = shown.get(key) if mark else shown_row(known.state, self.order)
            disputes.rows[key] = Dispute(known.state, known.origins, mark, shown.get(key) if mark else None)
            if not disputes.rows[key].open:
                del disputes.rows[key]
        return self._with(wanted).state, disputes

    def _with(self, wanted: Mapping[Key, Row | None]) -> StoredTable:
        """The merged table with these rows, None for absent ones."""
        there = self._at(self.merged, wanted)
        upserts = [row for key, row in wanted.items() if row is not None and row != there.get(key)]
        deletes = [there[key] for key, row in wanted.items() if row is None and key in there]
        if not upserts and not deletes:
            return self.merged
        schema = self.merged.schema
        state = store_changes(self.merged, in_order(row_patch(schema, upserts, deletes), schema.key))
        return StoredTable(self.merged.store, self.merged.engine, self.merged.name, state)

    def _at(self, table: StoredTable, keys: Iterable[Key]) -> dict[Key, Row]:
        schema = self.merged.schema
        wanted = keys_table(schema, keys)
        return rows_by_key(schema, table.rows_at(wanted).select(schema.names)) if wanted.num_rows else {}


def _touched(before: Tree, merged: Tree, name: str) -> bool:
    return without_changes(before.tables[name]) != without_changes(merged.tables[name])


def _same(before: StoredTable, after: StoredTable) -> bool:
    if before.state.schema != after.state.schema:
        return False
    return next(deltas_between(before, after), None) is None
