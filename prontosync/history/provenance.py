"""Where a disputed value came from: the branch that first held it, not the one that happened to bring it.

Head office merges one store after the other; what it then holds against the next store is the first store's value.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.errors import ProntoError
from prontosync.history.commits import Commits, without_changes
from prontosync.history.disputes import Disputes, Key, Origin, keys_table, rows_by_key
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Parent, TableState
from prontosync.model.schema import TableSchema, differences
from prontosync.model.values import Row, Value
from prontosync.tables.reader import StoredTable

MAX_STATES = 64
"""How many differing states of a table are looked at; what is older keeps the name of the branch that brought it."""


_REMEMBERED = 8


@dataclass(frozen=True)
class Wanted:
    """A candidate whose origin is looked for: of one column, or of a whole row (None)."""

    key: Key
    column: str | None
    value: Value | Row | None


class Provenance:
    """Looks along first parents for the commit that brought a value, and from a merge on along the branch it merged."""

    def __init__(self, commits: Commits, store: ObjectStore, engine: Engine) -> None:
        self._commits, self._store, self._engine = commits, store, engine
        self._tables: dict[tuple[str, TableState], StoredTable] = {}

    def refine(self, table: str, disputes: Disputes, starts: set[ObjectId]) -> None:
        """Replace the origins of candidates that name one of ``starts`` by where their values were first held."""
        waiting = self._collect(disputes, starts)
        left = MAX_STATES
        while waiting and left > 0:
            start = next(iter(waiting))
            left = self._follow(table, disputes, start, waiting.pop(start), waiting, left)

    def _collect(self, disputes: Disputes, starts: set[ObjectId]) -> dict[Origin, set[Wanted]]:
        waiting: dict[Origin, set[Wanted]] = defaultdict(set)
        for key, dispute in disputes.rows.items():
            for (column, value), origins in dispute.origins.items():
                for origin in origins:
                    if origin.commit in starts:
                        waiting[origin].add(Wanted(key, column, value))
        return waiting

    def _follow(
        self,
        table: str,
        disputes: Disputes,
        start: Origin,
        wanted: set[Wanted],
        waiting: dict[Origin, set[Wanted]],
        left: int,
    ) -> int:
        """Down one branch; values that a merge brought are put back to wait, to be followed on the branch it merged."""
        commit = ObjectId(start.commit)
        held = self._holding(table, commit, wanted, disputes.schema)
        while held and left > 0:
            content = self._commits.read(commit)
            parent = content.parents[0].commit if content.parents else None
            if parent is not None and self._state(parent, table) == self._state(commit, table):
                commit = parent
                continue
            left -= 1
            older = self._holding(table, parent, held, disputes.schema) if parent else set()
            if new := held - older:
                self._settle(table, disputes, start, new, commit, waiting)
            held = older
            if parent is None:
                break
            commit = parent
        return left

    def _settle(
        self,
        table: str,
        disputes: Disputes,
        start: Origin,
        new: set[Wanted],
        commit: ObjectId,
        waiting: dict[Origin, set[Wanted]],
    ) -> None:
        """The values appeared in ``commit``: made there, or brought by a branch that it merged."""
        for brought, some in self._brought(table, commit, start, new, disputes.schema):
            found = start._replace(commit=commit)
            if brought is not None:
                found = start._replace(branch=brought.branch, commit=brought.commit)
            for one in some:
                rename(disputes, one, start, found)
                if brought is not None and self._commits.has(brought.commit):
                    waiting[found].add(one)

    def _brought(
        self, table: str, commit: ObjectId, start: Origin, new: set[Wanted], schema: TableSchema
    ) -> list[tuple[Parent | None, set[Wanted]]]:
        """By the parent that brought them, the values; those that no parent is known to have under None."""
        others = [parent for parent in self._commits.read(commit).parents[1:] if parent.branch != start.branch]
        if len(self._commits.read(commit).parents) == 2:
            return [(others[0] if others else None, new)]
        found: list[tuple[Parent | None, set[Wanted]]] = []
        for parent in others:
            if new and self._commits.has(parent.commit):
                held = self._holding(table, parent.commit, new, schema)
                found += [(parent, held)] if held else []
                new = new - held
        return [*found, (None, new)]

    def _holding(self, table: str, commit: ObjectId, wanted: set[Wanted], schema: TableSchema) -> set[Wanted]:
        """Those whose value the table shows at a commit."""
        state = self._state(commit, table)
        return holding(self._stored(table, state), wanted, schema) if state else set()

    def _stored(self, table: str, state: TableState) -> StoredTable:
        """Read as little as can be again and again: many branches have one base."""
        known = self._tables.get((table, state))
        if known is None:
            if len(self._tables) >= _REMEMBERED:
                self._tables.clear()
            known = self._tables[table, state] = StoredTable(self._store, self._engine, table, state)
        return known

    def _state(self, commit: ObjectId, table: str) -> TableState | None:
        """A table's state, its counts of changes aside. A history that ends at a boundary has none beyond."""
        try:
            state = self._commits.tree(commit).tables.get(table)
        except ProntoError:
            return None
        return state and without_changes(state)


def holding(stored: StoredTable, wanted: set[Wanted], schema: TableSchema) -> set[Wanted]:
    """Those whose value a table shows; ``schema`` is that of the wanted rows."""
    if differences(schema, stored.schema):
        return set()
    keys = keys_table(schema, {one.key for one in wanted})
    rows = rows_by_key(schema, stored.rows_at(keys).select(schema.names))
    return {one for one in wanted if _holds(schema, rows.get(one.key), one)}


def _holds(schema: TableSchema, row: Row | None, one: Wanted) -> bool:
    if one.column is None or row is None:
        return bool(row == one.value) and one.column is None
    return bool(row[schema.names.index(one.column)] == one.value)


def rename(disputes: Disputes, one: Wanted, old: Origin, new: Origin) -> None:
    """Name another origin of a candidate; a branch is named once."""
    origins: dict[Any, list[Origin]] = disputes.rows[one.key].origins
    renamed = [new if origin == old else origin for origin in origins[(one.column, one.value)]]
    origins[(one.column, one.value)] = list({origin.branch: origin for origin in reversed(renamed)}.values())
