"""Apply: write what a merge, a resolution or a revert brought into the live database, then move the branch.

The branch moves only after the database was written. The commit being written is noted on disk before, and in the
database in the same transaction as the rows; so after a crash it is known which of the two happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prontosync.disk.live import LiveNote
from prontosync.errors import Refused, Unfit
from prontosync.history.commits import Tree
from prontosync.history.disputes import Disputes
from prontosync.history.live_view import live_view
from prontosync.model.changes import DELETE, INSERT, UPDATE
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes
from prontosync.model.progress import by_table
from prontosync.model.schema import Ddl, differences
from prontosync.sources.contract import RowChanges, SourceTable, StateRow
from prontosync.workflow.capture import moved
from prontosync.workflow.live import load_pins, table_disputes
from prontosync.workflow.mending import Mending, creation, mending
from prontosync.workflow.session import Session
from prontosync.workflow.snapshot import check_deletes

if TYPE_CHECKING:
    from prontosync.history.live_rows import LiveDelta
    from prontosync.history.written import Written
    from prontosync.tables.compare import Delta, Deltas
    from prontosync.tables.reader import StoredTable
    from prontosync.workflow.live import AsLive


class ApplyOff(Refused):
    id = "apply-off"


class CannotApply(Unfit):
    id = "cannot-apply"


@dataclass(frozen=True)
class Plan:
    """What is to be written to the live database: by table the changes, and the pins of the new state. ``statements``
    come first; ``made`` are tables that they make."""

    changes: Mapping[str, Deltas] = field(default_factory=dict)
    pins: Mapping[str, bytes] = field(default_factory=dict)
    tables: Mapping[str, SourceTable] = field(default_factory=dict)
    statements: tuple[str, ...] = ()
    made: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, Changes]:
        return {name: deltas.counts for name, deltas in self.changes.items()}

    @property
    def writes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.statements or self.counts)


def plan_apply(session: Session, before: ObjectId, after: Tree, as_live: Mapping[str, AsLive] | None = None) -> Plan:
    """From what the live database holds (the commit ``before`` and its pins, and what ``as_live`` says of some tables)
    to what it is to hold. Definitions are changed only where the session is told to (``Session.with_schema``)."""
    from prontosync.history.live_rows import encode_pins

    old = session.commits.tree(before)
    mend = mending(session, old, after) if session.with_schema else Mending()
    _check_tables(session, old, after, mend)
    changes: dict[str, Deltas] = {}
    pins: dict[str, bytes] = {}
    tables: dict[str, SourceTable] = {}
    for name in by_table(sorted(after.tables), "planning", session.progress):
        if not session.selection.chosen(name) or (name not in old.tables and name not in mend.tables):
            continue
        found, kept = _plan_table(session, _Before(before, old, (as_live or {}).get(name)), after, name, mend)
        if found.deltas.counts:
            changes[name], tables[name] = found.deltas, found.table
        if kept:
            pins[name] = encode_pins(kept.deltas.schema, kept.pins)
    return Plan(changes, pins, tables, mend.statements, mend.tables)


def write_live(
    session: Session, before: ObjectId, after: ObjectId, plan: Plan, allow_deletes: Sequence[str] = ()
) -> None:
    """Write a plan to the live database, and move the branch from ``before`` to ``after``.

    Raises RowsMoved where a row is not as the snapshot saw it: nothing was written, take a snapshot and merge again.
    """
    source = session.need_source()
    config = session.repo.config.source
    if config is not None and not config.apply and plan.writes:
        raise ApplyOff(
            "this repository never writes to its live database (apply = false)",
            "prontosync config set source.apply true",
        )
    tree = session.commits.tree(before)
    for name, counts in plan.counts.items():
        rows = tree.tables[name].rows if name in tree.tables else 0
        check_deletes(session, name, counts.deleted, rows, allow_deletes)
    for table, data in plan.pins.items():
        session.repo.pins.write(after, table, data)
    note = session.repo.live.read()
    counter = note.counter
    if plan.writes:
        counter += 1
        session.repo.live.write(LiveNote(note.commit, after, note.counter))
        row = StateRow(session.repo.id, session.repo.branch, after, counter)
        source.apply(_PlannedRows(plan), row, statements=plan.statements, made=plan.made)
    session.advance(session.repo.branch, after)
    session.repo.live.write(LiveNote(after, None, counter))
    moved(session, before, after)
    session.repo.pins.keep_only({after})


def _check_tables(session: Session, old: Tree, after: Tree, mend: Mending) -> None:
    """Raises CannotApply where the live database lacks a table: an apply runs no DDL unless it is told to."""
    for name in after.tables:
        if name not in old.tables and name not in mend.tables and session.selection.chosen(name):
            statements = creation(_table(session, after, name).ddl)
            raise CannotApply(
                f'table "{name}" is on the branch and not in the live database; what would make it:\n'
                + "".join(f"{text};\n" for text in statements).rstrip("\n"),
                "create it there, or run the command again with --with-schema",
            )


@dataclass(frozen=True)
class _Before:
    """What the live database holds: a commit, its tables, and of one of them perhaps something else."""

    commit: ObjectId
    tree: Tree
    as_live: AsLive | None


def _plan_table(
    session: Session, before: _Before, after: Tree, name: str, mend: Mending
) -> tuple[Written, LiveDelta | None]:
    """One table's changes as they are written, and in the branch's columns where the new state has pins."""
    from prontosync.history.live_view import LiveView
    from prontosync.history.written import Written, all_rows, written
    from prontosync.tables.reader import StoredTable

    if name not in before.tree.tables:
        made = _table(session, after, name)
        return Written(SourceTable(name, made.schema, made.ddl), all_rows(made)), None
    added = mend.columns.get(name, {})
    delta = _delta(session, before, after, name, tuple(added))
    ddl = _table(session, before.tree, name).ddl
    if before.as_live is not None:
        ddl = StoredTable(session.cached_store, session.engine, name, before.as_live.state).ddl
    view = live_view(_table(session, after, name).schema, ddl, session.hints(name))
    if added:
        names = {n: view.names.get(n, n) for n in view.schema.names if n in view.names or n in added}
        view = LiveView(view.schema, names)
        ddl = Ddl(ddl.dialect, ddl.statements, {**ddl.declared, **added}, ddl.forms, ddl.generated)
    found = written(name, view, ddl, delta.deltas)
    return found, delta if delta.pins else None


def _delta(session: Session, before: _Before, after: Tree, name: str, empty: Sequence[str]) -> LiveDelta:
    """In the columns of the new state."""
    from prontosync.history.live_rows import LiveDelta, decode_pins, live_delta
    from prontosync.history.recast import Recasting, hinted, recast, recast_disputes
    from prontosync.tables.reader import StoredTable

    old = before.tree
    same = old.tables[name] == after.tables[name] and old.conflicts.get(name) == after.conflicts.get(name)
    if same and before.as_live is None and not empty:
        disputes = _disputes(session, old, name)
        kept = load_pins(session, before.commit, name, disputes.schema) if disputes.rows else None
        return LiveDelta(_no_changes(session, old, name), kept or {})
    mine, other = _disputes(session, old, name), _disputes(session, after, name)
    held = load_pins(session, before.commit, name, mine.schema) if mine.rows else {}
    table, target = _table(session, old, name), _table(session, after, name)
    if before.as_live is not None:
        table = StoredTable(session.cached_store, session.engine, name, before.as_live.state)
        held = decode_pins(table.schema, before.as_live.pins) if before.as_live.pins else held
    if differences(table.schema, target.schema):
        named = hinted(table.schema, table.ddl, session.hints(name))
        names = {new: named.old_name(new) for new in named.new.names if new in target.schema.names}
        recasting = Recasting(table.schema, target.schema, table.ddl, names)
        table, mine = recast(table, recasting, session.cached_store), recast_disputes(mine, recasting)
        held = {key: row and recasting.row(row) for key, row in (held or {}).items()}
    return live_delta(table, mine, held or {}, target, other, empty)


def _no_changes(session: Session, tree: Tree, name: str) -> Deltas:
    from prontosync.tables.compare import Deltas

    return Deltas(_table(session, tree, name).schema, lambda: iter(()))


class _PlannedRows:
    """A plan's changes as a source takes them, piece by piece, as often as asked for."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __iter__(self) -> Iterator[RowChanges]:
        for name, deltas in self._plan.changes.items():
            yield from (_row_changes(self._plan.tables[name], delta) for delta in deltas)


def _row_changes(table: SourceTable, delta: Delta) -> RowChanges:
    updates = delta.of_kind(UPDATE)
    return RowChanges(
        table,
        deletes=delta.of_kind(DELETE).old(),
        inserts=delta.of_kind(INSERT).new(),
        old=updates.old(),
        new=updates.new(),
    )


def _disputes(session: Session, tree: Tree, name: str) -> Disputes:
    return table_disputes(session, tree, name)


def _table(session: Session, tree: Tree, name: str) -> StoredTable:
    from prontosync.tables.reader import StoredTable

    return StoredTable(session.cached_store, session.engine, name, tree.tables[name])
