"""The live database read as a state: what a snapshot would record."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from prontosync.disk.config_rules import check_against_schema
from prontosync.disk.objects import ObjectStore
from prontosync.history.commits import EMPTY, Tree
from prontosync.history.disputes import Disputes, Origin, read_disputes, write_disputes
from prontosync.model.encoding import encode
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, TableState
from prontosync.model.progress import Batch, Task, told
from prontosync.model.schema import TableSchema
from prontosync.workflow.rules import in_force
from prontosync.workflow.session import Session
from prontosync.workflow.terms import table_policies

if TYPE_CHECKING:
    from prontosync.history.carried import LiveColumns
    from prontosync.history.live_rows import DisputedRows, Pins
    from prontosync.sources.contract import LeftOut, Scan, SourceState
    from prontosync.tables.reader import StoredTable
    from prontosync.workflow.capture import Capture

T = TypeVar("T")


class HoldsTill(Exception):
    """A table must be read in full, for which the live database is to be opened otherwise. Never leaves this room."""


class _Stopped(Exception):
    """Another table could not be read."""


@dataclass
class LiveTree:
    """The live database as a state, and what changed against the branch's head. ``gone`` are tables that were there and
    are not any more; ``pins`` are bytes of pin files by table, ``more`` how many rows more the database has there than
    the state. ``as_live`` has, by table, what the database holds where columns arrived in it that the branch carried:
    there the tree has the branch's values, which are yet to be written."""

    tree: Tree = EMPTY
    changes: dict[str, Changes] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    pins: dict[str, bytes] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)
    schemas: dict[str, TableSchema] = field(default_factory=dict)
    held_seconds: float = 0.0
    as_live: dict[str, AsLive] = field(default_factory=dict)


@dataclass(frozen=True)
class AsLive:
    """A table as the live database has it, and the bytes of its pins."""

    state: TableState
    pins: bytes | None


@dataclass(frozen=True)
class _ReadTable:
    state: TableState
    schema: TableSchema
    conflicts: ObjectId | None
    pins: bytes | None
    more: int = 0
    as_live: AsLive | None = None


@dataclass(frozen=True)
class _ToKeep:
    """Rows on their way. ``refused`` are columns whose values did not fit the branch's type; ``as_live`` tells to keep
    what the database has in columns that arrived."""

    scan: Scan
    refused: frozenset[str]
    as_live: bool


class LiveReader:
    """Reads the live database against ``head`` (None: against nothing), keeping rows in ``store``. With ``capture``, of
    a table whose touched keys are noted only those rows are read."""

    def __init__(
        self, session: Session, store: ObjectStore, head: ObjectId | None, capture: Capture | None = None
    ) -> None:
        self._session, self._store, self._head, self._capture = session, store, head, capture
        self._tree = session.commits.tree(head) if head else EMPTY
        self._stopped, self._turns, self._busy = threading.Event(), threading.Condition(), 0

    def read(self, live: SourceState) -> LiveTree:
        """One committed state over all tables. Raises SourceUnfit or BadRows, naming table and row; HoldsTill where a
        table must be read in full and ``live`` is to be open for a moment only."""
        tables, conflicts = dict(self._tree.tables), dict(self._tree.conflicts)
        result = LiveTree(left_out=live.left_out, held_seconds=getattr(live, "held_seconds", 0.0))
        for name, found in self._tables(live).items():
            tables[name] = found.state
            result.schemas[name] = found.schema
            conflicts.pop(name, None)
            if found.conflicts:
                conflicts[name] = found.conflicts
            if found.as_live is not None:
                result.as_live[name] = found.as_live
            if found.pins is not None:
                result.pins[name], result.more[name] = found.pins, found.more
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

    def _tables(self, live: SourceState) -> dict[str, _ReadTable]:
        """Every table, in name order: first those of which it is known what changed, then the others, the largest
        first, as many at once as ``live`` has lanes."""
        capture = self._capture
        if live.holds_till and not all(capture and capture.vouches(live, name) for name in live.tables):
            raise HoldsTill
        captured = {name: self._captured(live, name) for name in live.tables}
        found = {name: table for name, table in captured.items() if table is not None}
        left = sorted(captured.keys() - found.keys(), key=lambda name: (-live.size_hint(name), name))
        if left and live.holds_till:
            raise HoldsTill(left[0])
        if len(left) == 1 or live.lanes == 1:
            found |= {name: self._whole(live, name) for name in left}
        elif left:
            found |= self._at_once(live, left)
        return {name: found[name] for name in live.tables}

    def _at_once(self, live: SourceState, names: Sequence[str]) -> dict[str, _ReadTable]:
        """Tables on threads of their own. Where one fails, or this thread is interrupted, all are stopped, and no one
        reads ``live`` any more."""
        with ThreadPoolExecutor(live.lanes, thread_name_prefix="table") as pool:
            try:
                reading = {name: pool.submit(self._in_turn, live, name) for name in names}
                if any(one.exception() for one in wait(reading.values(), return_when=FIRST_EXCEPTION).done):
                    self._stopped.set()
                    wait(reading.values())
                    self._raise_first(reading.values())
                return {name: future.result() for name, future in reading.items()}
            except BaseException:
                self._stopped.set()
                # A pool does not wait for a thread in whose start it was interrupted.
                with self._turns:
                    self._turns.wait_for(lambda: self._busy == 0)
                raise

    def _raise_first(self, reading: Iterable[Future[_ReadTable]]) -> None:
        """What went wrong, where anything did: not that others were stopped for it."""
        failures = [future.exception() for future in reading if future.done()]
        real = [failure for failure in failures if failure is not None and not isinstance(failure, _Stopped)]
        if real:
            raise real[0]

    def _in_turn(self, live: SourceState, name: str) -> _ReadTable:
        with self._turns:
            if self._stopped.is_set():
                raise _Stopped
            self._busy += 1
        try:
            return self._whole(live, name)
        except BaseException:
            self._stopped.set()
            raise
        finally:
            with self._turns:
                self._busy -= 1
                self._turns.notify_all()

    def _whole(self, live: SourceState, name: str) -> _ReadTable:
        """A table with all its rows."""
        parent = self._stored(name)
        found = self._scanned(live, name, parent, as_live=False)
        if found.as_live is not None:
            held = self._scanned(live, name, parent, as_live=True)
            same = held.state.digest == found.state.digest and held.pins == found.pins
            found = replace(held, as_live=None) if same else replace(found, as_live=AsLive(held.state, held.pins))
        if parent is not None and self._capture is not None:
            self._capture.check(parent, found.state)
        return found

    def _scanned(self, live: SourceState, name: str, parent: StoredTable | None, *, as_live: bool) -> _ReadTable:
        """The table, by as many scans as it takes until each column has a type that holds its values."""
        from prontosync.history.recast import Unconvertible

        refused: frozenset[str] = frozenset()
        while True:
            consume = partial(self._consume, name, parent, refused, as_live)
            least = self._least(live, name, parent) if parent else {}
            try:
                return live.scan(name, consume, parent.schema if parent else None, least)
            except Unconvertible as error:
                if error.column in refused:
                    raise
                refused |= {error.column}

    def _least(self, live: SourceState, name: str, parent: StoredTable) -> dict[str, str]:
        """The types that the branch has, by live name, of columns that are declared as they were."""
        from prontosync.history.live_view import live_view

        view = live_view(parent.schema, parent.ddl, self._session.hints(name))
        declared = live.describe(name).ddl.declared
        return {
            column: parent.schema.type_of(mine)
            for mine, column in view.names.items()
            if column in declared and declared[column] == parent.ddl.declared.get(column)
        }

    def _captured(self, live: SourceState, name: str) -> _ReadTable | None:
        """A table of which it is known what changed."""
        parent, capture = self._stored(name), self._capture
        if parent is None or capture is None:
            return None
        disputed = self._disputed(parent.name, self._same_columns(parent), parent)
        with self._session.progress.task(f'reading what changed in "{parent.name}"', None, "rows"):
            state = capture.rows(live, parent, disputed)
        return self._read(state, parent.schema, disputed) if state is not None else None

    def _same_columns(self, parent: StoredTable) -> LiveColumns:
        from prontosync.history.carried import LiveColumns
        from prontosync.history.live_view import live_view
        from prontosync.history.recast import Recasting

        schema = parent.schema
        narrow = live_view(schema, parent.ddl, self._session.hints(parent.name)).narrow
        return LiveColumns(schema, narrow, Recasting(narrow, narrow, parent.ddl))

    def _consume(
        self, name: str, parent: StoredTable | None, refused: frozenset[str], as_live: bool, scan: Scan
    ) -> _ReadTable:
        rows = parent.state.rows if parent else None
        with self._session.progress.task(f'reading "{name}"', rows, "rows") as task:
            return self._keep(name, parent, _ToKeep(scan, refused, as_live), task)

    def _keep(self, name: str, parent: StoredTable | None, given: _ToKeep, task: Task) -> _ReadTable:
        from prontosync.history.carried import Carried, Shown, live_columns
        from prontosync.tables.states import store_rows

        scan = given.scan
        every = live_columns(scan.table, parent, self._session.hints(name), given.refused)
        columns = every.as_live if given.as_live else every
        engine = self._session.engine
        disputed = self._disputed(name, columns, parent)
        ordered = scan.ordered and disputed is None and columns.keeps_order
        rows = columns.read(_told(self._until_stopped(scan.batches), scan.table.name, task, ordered))
        batches = disputed.rows(rows) if disputed else rows
        shown = disputed.shown if disputed else Shown()
        widening = Carried(parent, columns, shown) if parent is not None and columns.widens else None
        notes = self._session.repo.runs
        digests = notes.read(name, parent.state) if parent else None
        ddl = columns.declared(scan.table.ddl)
        stored = store_rows(
            self._store, engine, name, columns.schema, ddl, batches, ordered, parent,
            digests=digests, widening=widening,
        )  # fmt: skip
        state = stored.state
        if parent is not None and _alike(parent.state, state):
            state = parent.state
        recorded = self._store is self._session.repo.objects
        if recorded and stored.runs is not None and state.patches and tuple(stored.runs) != digests:
            notes.write(name, state, tuple(stored.runs))
        found = self._read(state, columns.schema, disputed)
        return replace(found, as_live=AsLive(state, None)) if columns.arrived else found

    def _until_stopped(self, batches: Iterable[T]) -> Iterator[T]:
        for batch in batches:
            if self._stopped.is_set():
                raise _Stopped
            yield batch

    def _read(self, state: TableState, schema: TableSchema, disputed: DisputedRows | None) -> _ReadTable:
        from prontosync.history.live_rows import encode_pins

        if disputed is None:
            return _ReadTable(state, schema, None, None)
        identity = write_disputes(self._store, disputed.disputes)
        return _ReadTable(state, schema, identity, encode_pins(schema, disputed.pins), disputed.more)

    def _disputed(self, name: str, columns: LiveColumns, parent: StoredTable | None) -> DisputedRows | None:
        conflicts = self._tree.conflicts.get(name)
        if parent is None or conflicts is None or self._head is None:
            return None
        from prontosync.history.live_rows import DisputedRows
        from prontosync.history.recast import hinted, recast_disputes

        before = self._in_head(name)
        assert before is not None
        disputes = read_disputes(before, conflicts)
        pins = load_pins(self._session, self._head, name, before.schema)
        recasting = hinted(before.schema, before.ddl, self._session.hints(name))
        if recasting.old is not recasting.new:
            disputes = recast_disputes(disputes, recasting)
            pins = {k: row and recasting.row(row) for k, row in pins.items()} if pins is not None else None
        branch = self._session.repo.branch
        origin = Origin(branch, self._head, "cell", self._session.now())
        policies = table_policies(in_force(self._session, self._head), name, lambda: columns.schema)
        return DisputedRows(self._session.engine, disputes, pins, origin, columns, policies)

    def _stored(self, name: str) -> StoredTable | None:
        """The table of the head, with the newest names of its columns."""
        from prontosync.history.recast import under_hints

        table = self._in_head(name)
        return under_hints(table, self._session.hints(name))[0] if table is not None else None

    def _in_head(self, name: str) -> StoredTable | None:
        from prontosync.tables.reader import StoredTable

        state = self._tree.tables.get(name)
        return StoredTable(self._store, self._session.engine, name, state) if state else None

    def _note_changes(self, result: LiveTree, name: str, state: TableState) -> None:
        before = self._tree.tables.get(name)
        if before is None or state is not before:
            result.changes[name] = state.changes

    def _gone(self, live: SourceState) -> tuple[str, ...]:
        """Tables of the head that the source does not have any more, and those that end by rule; one that is left out,
        or that the configuration excludes, is still there."""
        there = {*live.tables, *(left.name for left in live.left_out)}
        chosen, hints = self._session.selection.chosen, self._session.hints
        return tuple(sorted(n for n in self._tree.tables if (n not in there and chosen(n)) or hints(n).gone))


def _told(batches: Iterable[Batch], table: str, task: Task, ordered: bool) -> Iterator[Batch]:
    yield from told(batches, task)
    if not ordered:
        task.at(f'sorting "{table}"')


def load_pins(session: Session, commit: ObjectId, table: str, schema: TableSchema) -> Pins | None:
    """What the live database held in the disputed rows of a commit, or None where that was never noted."""
    from prontosync.history.live_rows import decode_pins

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
    from prontosync.tables.reader import StoredTable

    table = StoredTable(session.cached_store, session.engine, name, tree.tables[name])
    return read_disputes(table, tree.conflicts.get(name))
