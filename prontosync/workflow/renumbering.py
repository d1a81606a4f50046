"""Renumbering: two places made different rows under one key, and head office's rules give one of them another.

Only head office chooses new keys, when it merges a store; all others follow (``history.following``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from prontosync.history.commits import Tree, same_table
from prontosync.history.disputes import Disputes, Key, keys_table, read_disputes, rows_by_key
from prontosync.history.following import Followed, Following
from prontosync.history.lineage import Merging, Version
from prontosync.history.merge import replace_changes
from prontosync.history.redirect import is_of
from prontosync.history.renumber import can_follow
from prontosync.history.sets import Rows, candidates
from prontosync.model.changes import INSERT, UPDATE
from prontosync.model.ids import ObjectId
from prontosync.model.keys import key_argument
from prontosync.model.names import STORE_PREFIX
from prontosync.model.objects import Changes
from prontosync.model.renumbering import Move, NewKey, Renumbering, encode_renumbering
from prontosync.model.rules import Rules, effective
from prontosync.model.schema import TableSchema, differences
from prontosync.model.values import orderable_row, restored
from prontosync.tables.columns import least
from prontosync.tables.compare import compare, deltas_between
from prontosync.tables.reader import StoredTable
from prontosync.workflow.session import Session

FIRST = -1_000_001
"""The first number that is given out: no till comes there by counting."""
_LEAST = -(2**63)

Takes = Callable[[str], bool]


@dataclass(frozen=True)
class Rekeyed:
    """The three states of a merge under one set of keys. ``renumbered`` names what was decided on now; ``new_keys`` are
    those, and those that rows of ours took over."""

    base: Tree
    ours: Tree
    theirs: Tree
    renumbered: ObjectId | None = None
    new_keys: tuple[NewKey, ...] = ()


def rekeyed(session: Session, base: Tree, merging: Merging, said: Rules, takes: Takes, choose: bool) -> Rekeyed:
    """Both sides of a merge (``merging``: ours, then theirs) under the keys that either knows of; ``base`` is so
    already. ``choose``: what collides gets new keys, where ``said`` has a rule for it."""
    ours, theirs = merging.main, merging.other
    following = Following(session.ancestry, session.merge_store, session.cached_store, session.engine)
    mine = following.follow(Version(session.commits.tree(ours), [ours]), [theirs])
    other = following.follow(Version(session.commits.tree(theirs), [theirs]), [ours], takes)
    keys = _told(session, mine)
    found = Rekeyed(base, mine.tree, other.tree, None, tuple(keys))
    if not choose or not (tables := _with_rule(said, takes, found)):
        return found
    return _Collisions(session, following, merging, said, takes).settled(found, tables)


def recounted(session: Session, before: Tree, followed: Tree, merged: Tree) -> Tree:
    """``merged`` with the counts of changes against ``before``, for tables that took part under other keys."""
    tables = dict(merged.tables)
    for name, state in followed.tables.items():
        if name in before.tables and state is not before.tables[name] and name in tables:
            sides = (_stored(session, tree, name) for tree in (before, merged))
            changes = sum((delta.counts for delta in deltas_between(*sides)), Changes(0, 0, 0))
            tables[name] = replace_changes(tables[name], changes)
    return replace(merged, tables=tables)


def _told(session: Session, followed: Followed) -> list[NewKey]:
    found = []
    for shift, branch in followed.shifts:
        schema = _stored(session, followed.tree, shift.table).schema
        old, new = (_text(key, schema) for key in (shift.old, shift.new))
        found.append(NewKey(shift.table, old, new, branch))
    return found


def _with_rule(said: Rules, takes: Takes, sides: Rekeyed) -> list[str]:
    """The tables with a rule that all three sides have, and that theirs changed."""
    everywhere = sides.base.tables.keys() & sides.ours.tables.keys() & sides.theirs.tables.keys()
    named = (name for name in sorted(everywhere) if takes(name) and effective(said, name).renumber)
    return [name for name in named if not same_table(sides.base, sides.theirs, name)]


@dataclass
class _Collisions:
    """Finds the rows that collide, table by table, and moves one side's."""

    session: Session
    following: Following
    merging: Merging
    said: Rules
    takes: Takes
    moves: list[Move] = field(default_factory=list)
    lowest: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] | None = None

    def settled(self, sides: Rekeyed, tables: Sequence[str]) -> Rekeyed:
        """Parents come first: what refers to a moved row in its own key may collide no more."""
        keys = list(sides.new_keys)
        for name in _parents_first(self.session, sides.theirs, tables):
            moves = self._moves(sides, name)
            if moves:
                self.moves += moves
                keys += [NewKey(name, m.old, m.new, self.merging.whose(m.parent)) for m in moves]
                sides = self._moved(sides, moves)
        if not self.moves:
            return sides
        found = Renumbering(tuple(self.moves), dict(sorted({**(self.known or {}), **self.lowest}.items())))
        identity = self.session.merge_store.add(encode_renumbering(found)[1], "json").id
        return replace(sides, renumbered=identity, new_keys=tuple(keys))

    def _moved(self, sides: Rekeyed, moves: Sequence[Move]) -> Rekeyed:
        ours, theirs = self.merging.main, self.merging.other

        def moved(tree: Tree, *tips: ObjectId, wanted: Takes = lambda name: True) -> Tree:
            version = Version(tree, tips, self.following.lacking(tips, [ours, theirs]))
            return self.following.moved(version, self.merging, moves, wanted).tree

        common = self.session.ancestry.merge_bases([ours], theirs)
        return replace(
            sides,
            base=moved(sides.base, *common, wanted=self.takes),
            ours=moved(sides.ours, ours),
            theirs=moved(sides.theirs, theirs, wanted=self.takes),
        )

    def _movable(self, sides: Rekeyed, name: str, schema: TableSchema) -> bool:
        """Whether rows of a table can get another key: that is nobody else's, nothing restricts it, and all that
        refers to it can be told."""
        column = schema.key[-1]
        if schema.type_of(column) not in ("int64", "text"):
            return False
        restricted = any(column.lower() in check.lower() for check in schema.checks)
        if restricted or any(column in key.columns for key in schema.foreign_keys):
            return False
        return all(can_follow(_schemas(self.session, tree), name, column) for tree in (sides.ours, sides.theirs))

    def _moves(self, sides: Rekeyed, name: str) -> list[Move]:
        trees = (sides.base, sides.ours, sides.theirs)
        tables = [_stored(self.session, tree, name) for tree in trees]
        schema = tables[1].schema
        if any(differences(schema, table.schema) for table in tables):
            return []
        found = self._collisions(trees, tables)
        if not found or not self._movable(sides, name, schema):
            return []
        parent = 1 if effective(self.said, name).renumber == "store" else 0
        ordered = sorted(found, key=lambda key: orderable_row(map(restored, key)))
        if schema.type_of(schema.key[-1]) == "int64":
            new = self._numbers(name, tables, ordered)
        else:
            store = self.merging.branch.removeprefix(STORE_PREFIX) if parent else self.session.store_name
            new = _names(tables, ordered, store)
        pairs = zip(ordered, new, strict=False)
        return [Move(name, _text(old, schema), _text(key, schema), parent) for old, key in pairs]

    def _collisions(self, trees: Sequence[Tree], tables: Sequence[StoredTable]) -> set[Key]:
        base, ours, theirs = (
            read_disputes(table, tree.conflicts.get(table.name)).in_columns(tables[1].schema)
            for tree, table in zip(trees, tables, strict=True)
        )
        inserted = _inserted_twice(self.session, *tables)
        clear = {
            key for key in inserted if key not in base.rows and key not in theirs.rows and not _may_be_absent(ours, key)
        }
        return clear | self._met_before(tables[0], base, ours, theirs)

    def _met_before(self, table: StoredTable, base: Disputes, ours: Disputes, theirs: Disputes) -> set[Key]:
        """Rows that the store has in dispute: it merged head office's before its own came here."""
        branch = self.merging.branch
        sets = {key: d for key, d in theirs.rows.items() if isinstance(d.state, Rows) and None not in d.state.rows}
        if not sets:
            return set()
        rows = rows_by_key(theirs.schema, table.rows_at(keys_table(theirs.schema, sets)).select(theirs.schema.names))
        found = set()
        for key, dispute in sets.items():
            assert isinstance(dispute.state, Rows)
            stores = {row for row in dispute.state.rows if is_of(dispute, row, branch)}
            before = candidates(base.state(key, rows.get(key)))
            known = key in ours.rows and ours.rows[key].state == dispute.state
            if len(stores) == 1 and len(stores) < len(dispute.state.rows) and None not in before and not known:
                found |= set() if stores & before else {key}
        return found

    def _numbers(self, name: str, tables: Sequence[StoredTable], keys: Sequence[Key]) -> list[Key]:
        """Numbers below all that were ever given out, and below every key of the table."""
        if self.known is None:
            self.known = self._given_out()
        column = tables[1].schema.key[-1]
        found = [least(table, column) for table in tables]
        low = min([FIRST + 1, self.known.get(name, 0), *(value for value in found if value is not None)])
        new = [(*key[:-1], low - n) for n, key in enumerate(keys, 1) if low - n >= _LEAST]
        if new:
            self.lowest[name] = new[-1][-1]
        return new

    def _given_out(self) -> dict[str, int]:
        """By table the lowest number that head office's line gave out: it may have been deleted since."""
        for commit in self.session.ancestry.first_parents(self.merging.main):
            known = self.session.commits.renumbering(commit)
            if known is not None:
                return dict(known.lowest)
        return {}


def _names(tables: Sequence[StoredTable], keys: Sequence[Key], store: str) -> list[Key]:
    """Each key with the store's name, and a number where that is taken."""
    schema, taken, found = tables[1].schema, set[Key](), list[Key]()
    for key in keys:
        for n in count(1):
            new = (*key[:-1], f"{key[-1]}~{store}" + (f"~{n}" if n > 1 else ""))
            if new not in taken and not any(t.rows_at(keys_table(schema, [new])).num_rows for t in tables):
                break
        taken.add(new)
        found.append(new)
    return found


def _inserted_twice(session: Session, base: StoredTable, ours: StoredTable, theirs: StoredTable) -> set[Key]:
    """The keys under which both sides have a row that the base lacks, and not the same one."""
    schema = ours.schema
    found: set[Key] = set()
    for delta in deltas_between(base, theirs):
        new = delta.in_columns(schema).of_kind(INSERT)
        if not new.table.num_rows:
            continue
        rows = new.new()
        mine = ours.rows_at(new.keys()).select(schema.names)
        differing = compare(session.engine, schema, mine, rows).of_kind(UPDATE)
        found.update(rows_by_key(schema, differing.new()))
    return found


def _may_be_absent(disputes: Disputes, key: Key) -> bool:
    dispute = disputes.rows.get(key)
    return dispute is not None and None in candidates(dispute.state)


def _parents_first(session: Session, tree: Tree, names: Iterable[str]) -> list[str]:
    schemas = _schemas(session, tree)
    found: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in schemas:
            return
        seen.add(name)
        for key in schemas[name].foreign_keys:
            visit(key.table)
        found.append(name)

    wanted = set(names)
    for name in sorted(wanted):
        visit(name)
    return [name for name in found if name in wanted]


def _schemas(session: Session, tree: Tree) -> dict[str, TableSchema]:
    return {name: _stored(session, tree, name).schema for name in tree.tables}


def _text(key: Key, schema: TableSchema) -> str:
    return key_argument(tuple(map(restored, key)), schema)


def _stored(session: Session, tree: Tree, name: str) -> StoredTable:
    return StoredTable(session.merge_store, session.engine, name, tree.tables[name])
