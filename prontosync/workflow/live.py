"""The live database read as a state: what a snapshot would record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prontosync.disk.config import check_against_schema
from prontosync.disk.objects import ObjectStore
from prontosync.history.commits import EMPTY, Tree
from prontosync.history.disputes import Disputes, Origin, read_disputes, write_disputes
from prontosync.history.live_rows import DisputedRows, Pins, decode_pins, encode_pins
from prontosync.model.encoding import encode
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import TableSchema
from prontosync.sources.contract import LeftOut, Scan, SourceState
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_rows
from prontosync.workflow.session import Session


@dataclass
class LiveTree:
    """The live database as a state, and what changed against the branch's head. ``gone`` are tables that were there and
    are not any more; ``pins`` are bytes of pin files by table."""

    tree: Tree = EMPTY
    changes: dict[str, Changes] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    pins: dict[str, bytes] = field(default_factory=dict)
    schemas: dict[str, TableSchema] = field(default_factory=dict)
    held_seconds: float = 0.0


@dataclass(frozen=True)
class _ReadTable:
    state: TableState
    schema: TableSchema
    conflicts: ObjectId | None
    pins: bytes | None


class LiveReader:
    """Reads the live database against ``head`` (None: against nothing), keeping rows in ``store``."""

    def __init__(self, session: Session, store: ObjectStore, head: ObjectId | None) -> None:
        self._session, self._store, self._head = session, store, head
        self._tree = session.commits.tree(head) if head else EMPTY

    def read(self, live: SourceState) -> LiveTree:
        """One committed state over all tables. Raises SourceUnfit or BadRows, naming table and row."""
        tables, conflicts = dict(self._tree.tables), dict(self._tree.conflicts)
        result = LiveTree(left_out=live.left_out, held_seconds=getattr(live, "held_seconds", 0.0))
        for name in live.tables:
            found = self._table(live, name)
            tables[name] = found.state
            result.schemas[name] = found.schema
            conflicts.pop(name, None)
            if found.conflicts:
                conflicts[name] = found.conflicts
            if found.pins is not None:
                result.pins[name] = found.pins
            self._note_changes(result, name, found.state)
        result.gone = self._gone(live)
        for name in result.gone:
            tables.pop(name)
            conflicts.pop(name, None)
        dropped = (set(self._tree.dropped) - set(live.tables)) | set(result.gone)
        database = self._store.add(encode(live.database), "json").id
        result.tree = Tree(tables, conflicts, tuple(sorted(dropped)), database)
        check_against_schema(self._session.repo.config, result.schemas)
        return result

    def _table(self, live: SourceState, name: str) -> _ReadTable:
        parent = self._stored(name)
        expected = parent.schema if parent else None

        def consume(scan: Scan) -> _ReadTable:
            return self._consume(name, scan, parent)

        return live.scan(name, consume, expected)

    def _consume(self, name: str, scan: Scan, parent: StoredTable | None) -> _ReadTable:
        schema, ddl = scan.table.schema, scan.table.ddl
        engine = self._session.engine
        disputed = self._disputed(name, schema, parent)
        batches = disputed.rows(scan.batches) if disputed else scan.batches
        ordered = scan.ordered and disputed is None
        state = store_rows(self._store, engine, name, schema, ddl, batches, ordered, parent)
        if parent is not None and _alike(parent.state, state):
            state = parent.state
        if disputed is None:
            return _ReadTable(state, schema, None, None)
        identity = write_disputes(self._store, disputed.disputes)
        return _ReadTable(state, schema, identity, encode_pins(schema, disputed.pins))

    def _disputed(self, name: str, schema: TableSchema, parent: StoredTable | None) -> DisputedRows | None:
        conflicts = self._tree.conflicts.get(name)
        if parent is None or conflicts is None or self._head is None:
            return None
        disputes = read_disputes(parent, conflicts)
        pins = load_pins(self._session, self._head, name, parent.schema)
        branch = self._session.repo.branch
        origin = Origin(branch, self._head, "cell", self._session.now())
        return DisputedRows(self._session.engine, disputes, pins, origin, schema)

    def _stored(self, name: str) -> StoredTable | None:
        state = self._tree.tables.get(name)
        return StoredTable(self._store, self._session.engine, name, state) if state else None

    def _note_changes(self, result: LiveTree, name: str, state: TableState) -> None:
        before = self._tree.tables.get(name)
        if before is None or state is not before:
            result.changes[name] = state.changes

    def _gone(self, live: SourceState) -> tuple[str, ...]:
        """Tables of the head that the source does not have any more; one that is left out, or that the configuration
        excludes, is still there."""
        there = {*live.tables, *(left.name for left in live.left_out)}
        chosen = self._session.selection.chosen
        return tuple(sorted(name for name in self._tree.tables if name not in there and chosen(name)))


def load_pins(session: Session, commit: ObjectId, table: str, schema: TableSchema) -> Pins | None:
    """What the live database held in the disputed rows of a commit, or None where that was never noted."""
    data = session.repo.pins.read(commit, table)
    return decode_pins(schema, data) if data is not None else None


def keep_pins(session: Session, commit: ObjectId, pins: Mapping[str, bytes]) -> None:
    """Note them for a commit, durably."""
    for table, data in pins.items():
        session.repo.pins.write(commit, table, data)


def _alike(before: TableState, now: TableState) -> bool:
    """Whether a table is as it was: rows, schema and definition."""
    return not now.changes and before.schema == now.schema and before.ddl == now.ddl


def conflict_count(session: Session, tree: Tree) -> int:
    """How many cells and rows are open in a state."""
    return sum(len(table_disputes(session, tree, name)) for name in tree.conflicts)


def table_disputes(session: Session, tree: Tree, name: str) -> Disputes:
    table = StoredTable(session.cached_store, session.engine, name, tree.tables[name])
    return read_disputes(table, tree.conflicts.get(name))
