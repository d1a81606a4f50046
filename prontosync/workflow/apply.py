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
from prontosync.model.changes import DELETE, INSERT, UPDATE
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes
from prontosync.model.progress import by_table
from prontosync.model.schema import differences
from prontosync.sources.contract import RowChanges, SourceTable, StateRow
from prontosync.workflow.capture import moved
from prontosync.workflow.live import load_pins, table_disputes
from prontosync.workflow.session import Session
from prontosync.workflow.snapshot import check_deletes

if TYPE_CHECKING:
    from prontosync.history.live_rows import LiveDelta
    from prontosync.tables.compare import Delta, Deltas
    from prontosync.tables.reader import StoredTable


class ApplyOff(Refused):
    id = "apply-off"


class CannotApply(Unfit):
    id = "cannot-apply"


@dataclass(frozen=True)
class Plan:
    """What is to be written to the live database: by table the changes, and the pins of the new state."""

    changes: Mapping[str, Deltas] = field(default_factory=dict)
    pins: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, Changes]:
        return {name: deltas.counts for name, deltas in self.changes.items()}


def plan_apply(session: Session, before: ObjectId, after: Tree) -> Plan:
    """From what the live database holds (the commit ``before`` and its pins) to what it is to hold."""
    from prontosync.history.live_rows import encode_pins

    old = session.commits.tree(before)
    _check_tables(session, old, after)
    changes: dict[str, Deltas] = {}
    pins: dict[str, bytes] = {}
    for name in by_table(sorted(old.tables), "planning", session.progress):
        if name not in after.tables or not session.selection.chosen(name):
            continue
        found = _plan_table(session, before, old, after, name)
        if found is None:
            continue
        if found.deltas.counts:
            changes[name] = found.deltas
        if found.pins:
            pins[name] = encode_pins(found.deltas.schema, found.pins)
    return Plan(changes, pins)


def write_live(
    session: Session, before: ObjectId, after: ObjectId, plan: Plan, allow_deletes: Sequence[str] = ()
) -> None:
    """Write a plan to the live database, and move the branch from ``before`` to ``after``.

    Raises RowsMoved where a row is not as the snapshot saw it: nothing was written, take a snapshot and merge again.
    """
    source = session.need_source()
    config = session.repo.config.source
    if config is not None and not config.apply and plan.counts:
        raise ApplyOff(
            "this repository never writes to its live database (apply = false)",
            "prontosync config set source.apply true",
        )
    tree = session.commits.tree(before)
    for name, counts in plan.counts.items():
        check_deletes(session, name, counts.deleted, tree.tables[name].rows, allow_deletes)
    for table, data in plan.pins.items():
        session.repo.pins.write(after, table, data)
    note = session.repo.live.read()
    counter = note.counter
    if plan.counts:
        counter += 1
        session.repo.live.write(LiveNote(note.commit, after, note.counter))
        row = StateRow(session.repo.id, session.repo.branch, after, counter)
        source.apply(_PlannedRows(session, tree, plan), row)
    session.advance(session.repo.branch, after)
    session.repo.live.write(LiveNote(after, None, counter))
    moved(session, before, after)
    session.repo.pins.keep_only({after})


def _check_tables(session: Session, old: Tree, after: Tree) -> None:
    """Raises CannotApply where the live database lacks a table, or has it with other columns: an apply runs no DDL."""
    for name in after.tables:
        if name not in old.tables:
            if session.selection.chosen(name):
                raise CannotApply(
                    f'table "{name}" is on the branch and not in the live database',
                    "create it there, then run it again",
                )
        elif old.tables[name].schema != after.tables[name].schema:
            words = differences(_table(session, old, name).schema, _table(session, after, name).schema)
            if words:
                raise CannotApply(
                    f'table "{name}" of the live database has another schema than the branch: {"; ".join(words)}',
                    "bring it to the same schema, then run it again",
                )


def _plan_table(session: Session, before: ObjectId, old: Tree, after: Tree, name: str) -> LiveDelta | None:
    from prontosync.history.live_rows import LiveDelta, live_delta

    if old.tables[name] == after.tables[name] and old.conflicts.get(name) == after.conflicts.get(name):
        same = _disputes(session, old, name)
        pins = load_pins(session, before, name, same.schema) if same.rows else None
        return LiveDelta(_no_changes(session, old, name), pins) if pins else None
    mine, other = _disputes(session, old, name), _disputes(session, after, name)
    held = load_pins(session, before, name, mine.schema) if mine.rows else {}
    return live_delta(_table(session, old, name), mine, held or {}, _table(session, after, name), other)


def _no_changes(session: Session, tree: Tree, name: str) -> Deltas:
    from prontosync.tables.compare import Deltas

    return Deltas(_table(session, tree, name).schema, lambda: iter(()))


class _PlannedRows:
    """A plan's changes as a source takes them, piece by piece, as often as asked for."""

    def __init__(self, session: Session, tree: Tree, plan: Plan) -> None:
        self._session, self._tree, self._plan = session, tree, plan

    def __iter__(self) -> Iterator[RowChanges]:
        for name, deltas in self._plan.changes.items():
            table = _table(self._session, self._tree, name)
            said = SourceTable(name, table.schema, table.ddl)
            yield from (_row_changes(said, delta) for delta in deltas)


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
