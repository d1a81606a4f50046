"""Whether everything is there and is what its name says: objects, what they refer to, digests, refs, their chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from prontosync.disk.objects import DamagedObject, FolderObjectStore, MissingObject
from prontosync.disk.refs import FolderRefs
from prontosync.engine.connection import Engine
from prontosync.errors import ProntoError
from prontosync.history.closure import commit_name, direct_objects, segments_of, state_objects, travelling
from prontosync.history.commits import Commits
from prontosync.history.disputes import read_disputes
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.names import RefName
from prontosync.model.objects import TableState
from prontosync.model.progress import SILENT, UNTOLD, Progress, Task, by_table, counted
from prontosync.tables.digest import run_digest
from prontosync.tables.layout import Segment
from prontosync.tables.patch import read_patch
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

    def __init__(
        self,
        commits: Commits,
        engine: Engine,
        sample: tuple[int, int] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.commits, self.engine, self.sample, self._progress = commits, engine, sample, progress
        self._task: Task = UNTOLD
        self.findings = Findings()
        self._seen: set[ObjectName] = set()
        self._broken: set[ObjectName] = set()
        self._states: set[TableState] = set()

    def objects(self, store: FolderObjectStore) -> None:
        """The bytes of every object in the store."""
        names = [name for name in store.names() if self._chosen(name.id)]
        for name in counted(names, "checking objects", len(names), "objects", self._progress):
            self._bytes(store, name)

    def refs(self, refs: FolderRefs) -> None:
        """Every ref's chain, and all that its commits need."""
        for name in refs.names():
            self._chain(refs, name)

    def commit(self, commit: ObjectId) -> None:
        """A commit, its first-parent line and all that it needs."""
        self._line([commit])
        self._tables(commit)

    def _first_look(self, name: ObjectName) -> bool:
        if name in self._seen:
            return False
        self._seen.add(name)
        self._task.advance(1)
        return True

    def _chain(self, refs: FolderRefs, name: RefName) -> None:
        targets: list[ObjectId | None] = []
        try:
            targets.extend(state.target for state in refs.log(name))
        except ProntoError as error:
            self.findings.note(f"ref {name}", error)
        self._line([target for target in targets if target])
        if targets and targets[0]:
            self._tables(targets[0])

    def _line(self, tips: Iterable[ObjectId]) -> None:
        """All commits that travel with these, and that what they name is there."""
        # Where the store was looked at as a whole, no more can be found than it holds.
        rest = self.findings.objects - len(self._seen) if self.sample is None else 0
        with self._progress.task("checking history", max(rest, 0) or None, "objects") as self._task:
            self._walk(list(tips))

    def _walk(self, waiting: list[ObjectId]) -> None:
        while waiting:
            commit = waiting.pop()
            if not self._first_look(commit_name(commit)):
                continue
            try:
                content = self.commits.read(commit)
            except ProntoError as error:
                self.findings.note(commit, error)
                continue
            for name in direct_objects(content):
                self._sound(name)
            if content.policy is not None:
                self._reads(ObjectName(content.policy, "json"), partial(self.commits.rules, commit))
            if content.renumbered is not None and ObjectName(content.renumbered, "json") not in self._broken:
                self._reads(ObjectName(content.renumbered, "json"), partial(self.commits.renumbering, commit))
            for table, state in content.tables.items():
                self._state(table, state)
            own = travelling(content)
            waiting += [p.commit for p in content.parents if p in own or self.commits.has(p.commit)]

    def _sound(self, name: ObjectName) -> bool:
        """Whether an object is there and its bytes are right; looked at once."""
        if self._first_look(name):
            try:
                self.commits.store.read(name)
            except ProntoError as error:
                self._broken.add(name)
                self.findings.note(name.id, error)
        return name not in self._broken

    def _state(self, table: str, state: TableState) -> None:
        """What a state lists, and its segments' rows against the digests that its checkpoint gives them."""
        if not self._chosen(state.checkpoint):
            return
        self._task.at(f'checking "{table}"')
        unsound = [name for name in state_objects(state) if not self._sound(name)]
        if unsound:
            return
        stored = StoredTable(self.commits.store, self.engine, table, state)
        schema, ddl, checkpoint, *patches = state_objects(state)
        self._reads(ddl, lambda: stored.ddl)
        if not self._reads(schema, lambda: stored.schema) or not self._reads(checkpoint, lambda: stored.segments):
            return
        for patch in patches:
            self._reads(patch, partial(read_patch, stored.store, stored.schema, patch.id))
        for segment in stored.segments:
            if self._first_look(segment.name):
                self._reads(segment.name, partial(_check_segment, stored, segment))

    def _reads(self, name: ObjectName, action: Callable[[], object]) -> bool:
        """Whether an object is what its place asks for."""
        try:
            action()
        except ProntoError as error:
            self._broken.add(name)
            self.findings.note(name.id, error)
            return False
        return True

    def _tables(self, commit: ObjectId) -> None:
        """The digest of each table of a state, from its rows; and that its conflicts can be read."""
        try:
            tree = self.commits.tree(commit)
        except ProntoError as error:
            if self.findings.sound:
                self.findings.note(commit, error)
            return
        for table in by_table(list(tree.tables), "checking the digest of", self._progress):
            state = tree.tables[table]
            if not self._chosen(state.checkpoint) or self._is_broken(table, state):
                continue
            stored = StoredTable(self.commits.store, self.engine, table, state)
            if table in tree.conflicts:
                identity = tree.conflicts[table]
                self._reads(ObjectName(identity, "parquet"), partial(read_disputes, stored, identity))
            if state not in self._states:
                self._states.add(state)
                self._reads(commit_name(commit), partial(_check_digest, stored))

    def _is_broken(self, table: str, state: TableState) -> bool:
        """Whether anything that a state needs was found damaged or missing."""
        if not self._broken.isdisjoint(state_objects(state)):
            return True
        return not self._broken.isdisjoint(name for name, _ in segments_of(self.commits, table, state))

    def _bytes(self, store: FolderObjectStore, name: ObjectName) -> None:
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


def _check_segment(stored: StoredTable, segment: Segment) -> None:
    if run_digest(stored.segment_rows(segment), stored.schema) != segment.digest:
        raise DamagedObject(f"object {segment.object} holds other rows than its checkpoint says")


def _check_digest(stored: StoredTable) -> None:
    """Raises DamagedObject where a state's digest is not that of its rows."""
    state = stored.state
    plain = TableState(state.schema, state.ddl, state.rows, None, state.checkpoint, state.patches, state.changes)
    if (
        state.digest is not None
        and StoredTable(stored.store, stored.engine, stored.name, plain).digest() != state.digest
    ):
        raise DamagedObject(f'table "{stored.name}" holds other rows than its digest says')
