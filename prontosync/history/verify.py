"""Whether everything is there and is what its name says: objects, what they refer to, digests, refs and their chains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prontosync.disk.objects import DamagedObject, FolderObjectStore, MissingObject
from prontosync.disk.refs import FolderRefs
from prontosync.engine.connection import Engine
from prontosync.errors import Damaged, ProntoError, Unfit
from prontosync.history.closure import commit_name, direct_objects, segments_of
from prontosync.history.commits import Commits
from prontosync.history.disputes import read_disputes
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.names import RefName
from prontosync.model.objects import TableState
from prontosync.tables.digest import run_digest
from prontosync.tables.reader import StoredTable


@dataclass
class Findings:
    """What was looked at, and what is wrong: (id or ref, reason) of what is damaged, ids of what is missing."""

    objects: int = 0
    bytes: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.damaged and not self.missing

    def note(self, what: str, error: ProntoError) -> None:
        if isinstance(error, MissingObject):
            self.add_missing(what)
        elif all(known != what for known, _ in self.damaged):
            self.damaged.append((what, error.message))

    def add_missing(self, what: str) -> None:
        if what not in self.missing:
            self.missing.append(what)


class Verifier:
    """Checks a repository's objects. ``sample`` (k, n) looks at the k-th of n parts only; the parts are by id."""

    def __init__(self, commits: Commits, engine: Engine, sample: tuple[int, int] | None = None) -> None:
        self.commits, self.engine, self.sample = commits, engine, sample
        self.findings = Findings()
        self._seen: set[ObjectName] = set()
        self._states: set[TableState] = set()

    def objects(self, store: FolderObjectStore) -> None:
        """The bytes of every object in the store."""
        for name in store.names():
            self._bytes(store, name)

    def refs(self, refs: FolderRefs) -> None:
        """Every ref's chain, and all that its commits need."""
        for name in refs.names():
            self._chain(refs, name)

    def commit(self, commit: ObjectId) -> None:
        """A commit, its first-parent line and all that it needs."""
        self._line([commit])
        self._tables(commit)

    def _chain(self, refs: FolderRefs, name: RefName) -> None:
        try:
            targets = [state.target for state in refs.log(name)]
        except ProntoError as error:
            self.findings.note(f"ref {name}", error)
            return
        self._line([target for target in targets if target])
        if targets and targets[0]:
            self._tables(targets[0])

    def _line(self, tips: Iterable[ObjectId]) -> None:
        """All commits that travel with these, and that what they name is there."""
        waiting = list(tips)
        while waiting:
            commit = waiting.pop()
            if commit_name(commit) in self._seen:
                continue
            self._seen.add(commit_name(commit))
            try:
                content = self.commits.read(commit)
            except ProntoError as error:
                self.findings.note(commit, error)
                continue
            for name in direct_objects(content):
                self._present(name)
            for table, state in content.tables.items():
                self._state(table, state)
            waiting += [p.commit for i, p in enumerate(content.parents) if i == 0 or self.commits.has(p.commit)]

    def _present(self, name: ObjectName) -> None:
        if name not in self._seen:
            self._seen.add(name)
            if not self.commits.store.has(name):
                self.findings.add_missing(name.id)

    def _state(self, table: str, state: TableState) -> None:
        """A state's lists, and its segments' rows against the digests that its checkpoint gives them."""
        if not self._chosen(state.checkpoint):
            return
        stored = StoredTable(self.commits.store, self.engine, table, state)
        try:
            segments = stored.segments
        except (Damaged, Unfit) as error:
            self.findings.note(state.checkpoint, error)
            return
        for segment in segments:
            if segment.name in self._seen:
                continue
            self._seen.add(segment.name)
            try:
                if run_digest(stored.segment_rows(segment), stored.schema) != segment.digest:
                    raise DamagedObject(f"object {segment.object} holds other rows than its checkpoint says")
            except (Damaged, Unfit) as error:
                self.findings.note(segment.object, error)

    def _tables(self, commit: ObjectId) -> None:
        """The digest of each table of a state, from its rows; and that its conflicts can be read."""
        try:
            tree = self.commits.tree(commit)
        except ProntoError as error:
            self.findings.note(commit, error)
            return
        for table, state in tree.tables.items():
            if state in self._states or not self._chosen(state.checkpoint):
                continue
            self._states.add(state)
            try:
                self._digest(table, state)
                read_disputes(StoredTable(self.commits.store, self.engine, table, state), tree.conflicts.get(table))
            except (Damaged, Unfit) as error:
                self.findings.note(state.checkpoint, error)

    def _digest(self, table: str, state: TableState) -> None:
        whole = TableState(state.schema, state.ddl, state.rows, None, state.checkpoint, state.patches, state.changes)
        stored = StoredTable(self.commits.store, self.engine, table, whole)
        if state.digest is not None and stored.digest() != state.digest:
            raise DamagedObject(f'table "{table}" holds other rows than its digest says')

    def _bytes(self, store: FolderObjectStore, name: ObjectName) -> None:
        if not self._chosen(name.id):
            return
        self.findings.objects += 1
        try:
            self.findings.bytes += len(store.read(name))
        except ProntoError as error:
            self.findings.note(name.id, error)

    def _chosen(self, identity: ObjectId) -> bool:
        if self.sample is None:
            return True
        part, parts = self.sample
        return int(identity[:8], 16) % parts == (part - 1) % parts


def segment_names(commits: Commits, table: str, state: TableState) -> list[ObjectName]:
    """The segments of a table state."""
    return [name for name, _ in segments_of(commits, table, state)]
