"""Whose row a state holds under a key that two places gave to different rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.errors import UsageError
from prontosync.history.ancestry import Ancestry
from prontosync.history.commits import Tree
from prontosync.history.disputes import Dispute, Key, keys_table, read_disputes, rows_by_key
from prontosync.history.redirect import is_of
from prontosync.history.renumber import Sharing, Shift
from prontosync.history.sets import Rows, as_state
from prontosync.model.ids import ObjectId
from prontosync.model.keys import parse_key
from prontosync.model.renumbering import Move
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, canonical
from prontosync.tables.reader import StoredTable


@dataclass(frozen=True)
class Version:
    """A state, and the commits that it stands for: one, or those that a virtual base is made of."""

    tree: Tree
    tips: Sequence[ObjectId]


@dataclass(frozen=True)
class Merging:
    """The parents of a merge in which rows got other keys, head office's and the store's that was merged, and their
    branches."""

    main: ObjectId
    other: ObjectId
    main_branch: str
    branch: str

    def whose(self, parent: int) -> str:
        """The branch of one of them."""
        return self.branch if parent else self.main_branch


class Lineage:
    """Finds out what of a merge's moves there is to do in a state that does not know of that merge."""

    def __init__(self, ancestry: Ancestry, store: ObjectStore, engine: Engine) -> None:
        self._ancestry, self._store, self._engine = ancestry, store, engine

    def shifts(
        self, version: Version, merging: Merging, moves: Sequence[Move], parent: int
    ) -> tuple[list[Shift], Sharing]:
        """Of moves of one parent's rows those that ``version`` holds."""
        found: list[Shift] = []
        for name in dict.fromkeys(move.table for move in moves):
            of_table = [move for move in moves if move.table == name]
            found += self._of_table(version, merging, name, of_table, parent)
        shared = any(shift.shared for shift in found)
        common = self._common(version, merging.main) if shared else []
        main = [self._ancestry.commits.tree(commit) for commit in common]
        return found, Sharing(merging.branch, main, store_moves=parent == 1)

    def _of_table(
        self, version: Version, merging: Merging, name: str, moves: Sequence[Move], parent: int
    ) -> list[Shift]:
        if name not in version.tree.tables:
            return []
        table = self._stored(version.tree, name)
        keys = _keys(moves, name, table.schema)
        there = _Rows(table, version.tree, keys)
        sides = (merging.main, merging.other)
        old = [key for key in keys if there.has(key)]
        mine = self._common_rows(version, sides[parent], name, old) if old else []
        old = [key for key in old if any(rows.has(key) for rows in mine)]
        others = self._common_rows(version, sides[1 - parent], name, old) if old else []
        found = []
        for key in old:
            whole = Shift(name, key, keys[key])
            if not any(rows.has(key) for rows in others):
                found.append(whole)
                continue
            shared = _shared(whole, there, mine if parent else others, merging.branch)
            if shared is not None or parent == 0:
                found.append(shared or whole)
        return found

    def _common_rows(self, version: Version, commit: ObjectId, name: str, keys: Iterable[Key]) -> list[_Rows]:
        """The rows with these keys where a version and a commit last were one."""
        found = []
        for common in self._common(version, commit):
            tree = self._ancestry.commits.tree(common)
            if name in tree.tables:
                found.append(_Rows(self._stored(tree, name), tree, keys))
        return found

    def _common(self, version: Version, commit: ObjectId) -> list[ObjectId]:
        if not version.tips or not self._ancestry.commits.has(commit):
            return []  # what is not here, nothing here descends from
        return self._ancestry.merge_bases(list(version.tips), commit)

    def _stored(self, tree: Tree, name: str) -> StoredTable:
        return StoredTable(self._store, self._engine, name, tree.tables[name])


class _Rows:
    """Some rows of a table at one state, with what is in dispute about them."""

    def __init__(self, table: StoredTable, tree: Tree, keys: Iterable[Key]) -> None:
        schema = table.schema
        self.rows = rows_by_key(schema, table.rows_at(keys_table(schema, keys)))
        self.disputes = read_disputes(table, tree.conflicts.get(table.name)).rows

    def has(self, key: Key) -> bool:
        return key in self.rows or key in self.disputes


def _keys(moves: Sequence[Move], name: str, schema: TableSchema) -> dict[Key, Key]:
    """New keys by old ones; a move whose keys are none of this schema says nothing."""
    found = {}
    for move in moves:
        try:
            old, new = (tuple(map(canonical, parse_key(text, name, schema))) for text in (move.old, move.new))
        except UsageError:
            continue
        found[old] = new
    return found


def _shared(shift: Shift, there: _Rows, stores: Sequence[_Rows], branch: str) -> Shift | None:
    """The shift of a row which both places had; None where what is there is head office's alone.

    A store has its own beside the other's as a set of whole rows. Where it decided on one of them, that decision was
    about a conflict that is none: both rows stand, the one decided on as it is now.
    """
    known = there.disputes.get(shift.old)
    if known is not None and isinstance(known.state, Rows):
        return Shift(shift.table, shift.old, shift.new, shared=True)
    for rows in stores:
        before = rows.disputes.get(shift.old)
        if before is not None and isinstance(before.state, Rows) and None not in before.state.rows:
            if not any(is_of(before, row, branch) for row in before.state.rows):
                continue
            now = there.rows.get(shift.old)
            return Shift(shift.table, shift.old, shift.new, True, _undecided(before, now))
    return None


def _undecided(before: Dispute, now: Row | None) -> Dispute:
    """What was in dispute, with the candidate that was decided on as it is now."""
    assert isinstance(before.state, Rows)
    rows = set(before.state.rows)
    if now is not None and now not in rows:
        nearest = max(sorted(rows, key=repr), key=lambda row: sum(a == b for a, b in zip(row or (), now, strict=False)))
        rows = (rows - {nearest}) | {now}
        origins = {(c, now if c is None and v == nearest else v): o for (c, v), o in before.origins.items()}
        return Dispute(as_state(frozenset(rows)), origins)
    return Dispute(before.state, before.origins)
