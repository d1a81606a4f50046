"""Commits as history sees them: what they hold in full, and how a new one is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from prontosync.disk.objects import ObjectStore
from prontosync.model.encoding import MalformedObject
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.objects import Changes, Commit, Parent, TableState, decode_commit, encode_object, with_aside
from prontosync.model.renumbering import RENUMBER, NewKey, Renumbering, decode_renumbering
from prontosync.model.rules import Rules, decode_rules

FULL_EVERY = 64
_REMEMBERED = 20_000


@dataclass(frozen=True)
class Tree:
    """The whole state that a commit stands for: all its tables, the open conflicts, the tables dropped."""

    tables: Mapping[str, TableState] = field(default_factory=dict)
    conflicts: Mapping[str, ObjectId] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    database: ObjectId | None = None


EMPTY = Tree()


class Inherited(Enum):
    """What a commit takes over from its first parent."""

    POLICY = "policy"


@dataclass(frozen=True)
class Stamp:
    """Who makes a commit and when (RFC 3339 in UTC)."""

    store: str
    author: str
    time: str


class Commits:
    """Reads commits, each once."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._commits: dict[ObjectId, Commit] = {}
        self._trees: dict[ObjectId, Tree] = {}
        self._rules: dict[ObjectId, Rules] = {}

    def has(self, commit: ObjectId) -> bool:
        return commit in self._commits or self.store.has(ObjectName(commit, "json"))

    def read(self, commit: ObjectId) -> Commit:
        """Raises MissingObject, DamagedObject, MalformedObject, NewerFormat."""
        known = self._commits.get(commit)
        if known is None:
            known = decode_commit(self.store.read(ObjectName(commit, "json")))
            if len(self._commits) >= _REMEMBERED:
                self._commits.clear()
            self._commits[commit] = known
        return known

    def unmerged(self, commit: ObjectId) -> tuple[str, ...]:
        """The tables of a commit's other parents whose rows it left aside. Raises as ``read``."""
        return self.read(commit).aside

    def tree(self, commit: ObjectId) -> Tree:
        """All tables of a commit: its own, and what it inherits along its first parents up to a full one. Raises as
        ``read``."""
        if commit not in self._trees:
            self._trees[commit] = self._collect(commit)
        return self._trees[commit]

    def rules(self, commit: ObjectId) -> Rules:
        """The rules that a commit names; none, of version 0, where it names none. Raises as ``read``."""
        policy = self.read(commit).policy
        if policy is None:
            return Rules()
        if policy not in self._rules:
            self._rules[policy] = decode_rules(self.store.read(ObjectName(policy, "json")))
        return self._rules[policy]

    def renumbering(self, commit: ObjectId) -> Renumbering | None:
        """The rows that got another key in a commit; None where none did. Raises as ``read``."""
        identity = self.read(commit).renumbered
        return decode_renumbering(self.store.read(ObjectName(identity, "json"))) if identity else None

    def new_keys(self, commit: ObjectId) -> tuple[NewKey, ...]:
        """The same for people."""
        found, parents = self.renumbering(commit), self.read(commit).parents
        return tuple(NewKey(m.table, m.old, m.new, parents[m.parent].branch) for m in (found.moves if found else ()))

    def add(
        self,
        tree: Tree,
        parents: tuple[Parent, ...],
        stamp: Stamp,
        message: str,
        merge: bool = False,
        policy: ObjectId | Inherited | None = Inherited.POLICY,
        unmerged: Iterable[str] = (),
        renumbered: ObjectId | None = None,
    ) -> ObjectId:
        """Write a commit of this state. Tables that differ from the first parent's are listed, all where it is full.

        ``merge`` is for a commit that holds no edit of its own. ``policy`` names the rules it was made by, those of the
        first parent where nothing else is said. ``unmerged`` are tables of the other parents whose rows are not in it;
        ``renumbered`` names the rows that got another key.
        """
        before = self.tree(parents[0].commit).tables if parents else {}
        full = not parents or len(parents) > 1 or self._since_full(parents[0].commit) + 1 >= FULL_EVERY
        own = {name: state for name, state in tree.tables.items() if full or not _same_state(before.get(name), state)}
        listed = {
            name: without_changes(state) if _same_state(before.get(name), state) else state
            for name, state in own.items()
        }
        commit = Commit(
            parents=parents,
            tables=dict(sorted(listed.items())),
            dropped=tuple(sorted(tree.dropped)),
            full=full,
            conflicts=dict(sorted(tree.conflicts.items())),
            database=tree.database,
            store=stamp.store,
            author=stamp.author,
            time=stamp.time,
            message=message,
            merge=merge,
            policy=self._inherited(parents) if isinstance(policy, Inherited) else policy,
            requires=(RENUMBER,) if renumbered else (),
            signature=None,
            renumbered=renumbered,
        )
        commit = with_aside(commit, tuple(sorted(unmerged)))
        identity, data = encode_object(commit)
        self.store.add(data, "json")
        self._commits[identity] = commit
        return identity

    def _inherited(self, parents: tuple[Parent, ...]) -> ObjectId | None:
        return self.read(parents[0].commit).policy if parents else None

    def _collect(self, commit: ObjectId) -> Tree:
        line = []
        walked = commit
        while True:
            current = self.read(walked)
            line.append(current)
            if current.full or not current.parents:
                break
            walked = current.parents[0].commit
        tables: dict[str, TableState] = {}
        for current in reversed(line):
            tables.update(current.tables)
            for name in current.dropped:
                tables.pop(name, None)
        newest = line[0]
        if strange := newest.conflicts.keys() - tables.keys():
            raise MalformedObject(f'commit {commit} has conflicts in table "{min(strange)}", which it does not have')
        return Tree(tables, newest.conflicts, newest.dropped, newest.database)

    def _since_full(self, commit: ObjectId) -> int:
        """How many commits down the first-parent line the newest full one is."""
        count = 0
        while not (current := self.read(commit)).full:
            commit = current.parents[0].commit
            count += 1
        return count


def _same_state(a: TableState | None, b: TableState) -> bool:
    """Whether two states are stored alike; how they came about does not matter."""
    return a is not None and without_changes(a) == without_changes(b)


def same_table(a: Tree, b: Tree, name: str) -> bool:
    """Whether two states have a table stored alike, with the same conflicts."""
    mine, other = a.tables.get(name), b.tables.get(name)
    if mine is None or other is None:
        return mine is other
    return _same_state(mine, other) and a.conflicts.get(name) == b.conflicts.get(name)


def same_tables(a: Tree, b: Tree) -> bool:
    """Whether two states have all tables stored alike, with the same conflicts."""
    return a.tables.keys() == b.tables.keys() and all(same_table(a, b, name) for name in a.tables)


def without_changes(state: TableState) -> TableState:
    """A state as it is stored, however it came about."""
    none = Changes(0, 0, 0)
    return TableState(state.schema, state.ddl, state.rows, state.digest, state.checkpoint, state.patches, none)


def with_ddl(state: TableState, other: TableState) -> TableState:
    """A state with the definition of another."""
    return TableState(state.schema, other.ddl, state.rows, state.digest, state.checkpoint, state.patches, state.changes)
