"""Whose row a state holds under a key that two places gave to different rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.errors import UsageError
from prontosync.history.ancestry import Ancestry
from prontosync.history.commits import Tree
from prontosync.history.disputes import Dispute, Key, keys_table, read_disputes, rows_by_key
from prontosync.history.redirect import is_of
from prontosync.history.renumber import Sharing, Shift
from prontosync.history.sets import Rows, as_state, candidates
from prontosync.model.ids import ObjectId
from prontosync.model.keys import parse_key
from prontosync.model.renumbering import Move
from prontosync.model.schema import TableSchema, differences
from prontosync.model.values import Row, canonical
from prontosync.tables.reader import StoredTable


@dataclass(frozen=True)
class Version:
    """A state, and the commits that it stands for: one, or those that a virtual base is made of. ``followed`` are the
    merges that none of them knows of, and whose keys it has all the same."""

    tree: Tree
    tips: Sequence[ObjectId]
    followed: tuple[ObjectId, ...] = ()


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
    """Finds out what of a merge's moves there is to do in a state that does not know of that merge. ``state`` gives a
    commit's state that follows some merges, so that its keys are those of the version that it is compared with."""

    def __init__(
        self,
        ancestry: Ancestry,
        store: ObjectStore,
        engine: Engine,
        state: Callable[[ObjectId, tuple[ObjectId, ...]], Tree],
    ) -> None:
        self._ancestry, self._store, self._engine, self._state = ancestry, store, engine, state

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
        main = [self._state(commit, version.followed) for commit in common]
        return found, Sharing(merging.branch, main, store_moves=parent == 1)

    def _of_table(
        self, version: Version, merging: Merging, name: str, moves: Sequence[Move], parent: int
    ) -> list[Shift]:
        if name not in version.tree.tables:
            return []
        table = self._stored(version.tree, name)
        keys = _keys(moves, name, table.schema)
        there = _Rows(table, version.tree, keys, table.schema)
        sides = (merging.main, merging.other)
        old = [key for key in keys if there.has(key)]
        mine = self._common_rows(version, sides[parent], name, old) if old else []
        old = [key for key in old if any(rows.has(key) for rows in mine)]
        others = self._common_rows(version, sides[1 - parent], name, old) if old else []
        shifts = (
            _shift(Shift(name, key, keys[key]), there, (others, mine) if parent else (mine, others), parent, merging)
            for key in old
        )
        return [shift for shift in shifts if shift is not None]

    def _common_rows(self, version: Version, commit: ObjectId, name: str, keys: Iterable[Key]) -> list[_Rows]:
        """The rows with these keys where a version and a commit last were one."""
        schema, found = self._stored(version.tree, name).schema, []
        for common in self._common(version, commit):
            tree = self._state(common, version.followed)
            table = self._stored(tree, name) if name in tree.tables else None
            if table is not None and not differences(schema, table.schema):
                found.append(_Rows(table, tree, keys, schema))
        return found

    def _common(self, version: Version, commit: ObjectId) -> list[ObjectId]:
        if not version.tips or not self._ancestry.commits.has(commit):
            return []  # what is not here, nothing here descends from
        return self._ancestry.merge_bases(list(version.tips), commit)

    def _stored(self, tree: Tree, name: str) -> StoredTable:
        return StoredTable(self._store, self._engine, name, tree.tables[name])


class _Rows:
    """Some rows of a table at one state, with what is in dispute about them; columns in the order of ``schema``."""

    def __init__(self, table: StoredTable, tree: Tree, keys: Iterable[Key], schema: TableSchema) -> None:
        self.rows = rows_by_key(schema, table.rows_at(keys_table(schema, keys)).select(schema.names))
        self.disputes = read_disputes(table, tree.conflicts.get(table.name)).in_columns(schema).rows

    def has(self, key: Key) -> bool:
        return key in self.rows or key in self.disputes

    def candidates(self, key: Key) -> frozenset[Row | None]:
        """The rows that may be there; none where it is absent for certain."""
        if key in self.disputes:
            return candidates(self.disputes[key].state)
        return frozenset([self.rows[key]]) if key in self.rows else frozenset()


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


def _shift(
    whole: Shift, there: _Rows, sides: tuple[Sequence[_Rows], Sequence[_Rows]], parent: int, merging: Merging
) -> Shift | None:
    """What is to be done with a row; ``sides`` is it where head office, and where the store, last was one with this
    state. None where it is not the moved side's.

    A place that met the other's row has both as a set. Where it decided on one of them, that decision was about a
    conflict that is none: both rows stand, the one decided on as it is now.
    """
    main, stores = sides
    known = there.disputes.get(whole.old)
    if known is not None and isinstance(known.state, Rows):
        heads = {row for rows in main for row in rows.candidates(whole.old)}
        ours = (is_of(known, row, merging.branch) if parent else row in heads for row in known.state.rows)
        return replace(whole, shared=True) if any(ours) else None
    if not all(any(rows.has(whole.old) for rows in side) for side in sides):
        return whole
    for rows in stores:
        before = rows.disputes.get(whole.old)
        whole_rows = before.state.rows if before is not None and isinstance(before.state, Rows) else frozenset([None])
        if before is not None and None not in whole_rows and any(is_of(before, r, merging.branch) for r in whole_rows):
            return replace(whole, shared=True, dispute=_undecided(before, there.rows.get(whole.old)))
    return None if parent else whole


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
