"""Apply: write what a merge, a resolution or a revert brought into the live database, then move the branch.

The branch moves only after the database was written. The commit being written is noted on disk before, and in the
database in the same transaction as the rows; so after a crash it is known which of the two happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prontosync.disk.live import LiveNote
from prontosync.errors import Refused, Unfit
from prontosync.history.commits import Tree
from prontosync.history.disputes import Disputes
from prontosync.history.live_rows import LiveDelta, encode_pins, live_delta
from prontosync.model.changes import DELETE, INSERT, UPDATE
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes
from prontosync.model.schema import differences
from prontosync.sources.contract import RowChanges, SourceTable, StateRow
from prontosync.tables.compare import Delta, delta_schema
from prontosync.tables.reader import StoredTable
from prontosync.workflow.live import load_pins, table_disputes
from prontosync.workflow.session import Session
from prontosync.workflow.snapshot import check_deletes


class ApplyOff(Refused):
    id = "apply-off"


class CannotApply(Unfit):
    id = "cannot-apply"


@dataclass(frozen=True)
class Plan:
    """What is to be written to the live database: by table the changes, and the pins of the new state."""

    changes: Mapping[str, Delta] = field(default_factory=dict)
    pins: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, Changes]:
        return {name: delta.counts for name, delta in self.changes.items() if delta.table.num_rows}


def plan_apply(session: Session, before: ObjectId, after: Tree) -> Plan:
    """From what the live database holds (the commit ``before`` and its pins) to what it is to hold."""
    old = session.commits.tree(before)
    _check_tables(session, old, after)
    changes: dict[str, Delta] = {}
    pins: dict[str, bytes] = {}
    for name in sorted(old.tables):
        if name not in after.tables or not session.selection.chosen(name):
            continue
        found = _plan_table(session, before, old, after, name)
        if found is None:
            continue
        if found.delta.table.num_rows:
            changes[name] = found.delta
        if found.pins:
            pins[name] = encode_pins(found.delta.schema, found.pins)
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
        source.apply([_row_changes(session, tree, name, delta) for name, delta in plan.changes.items()], row)
    session.advance(session.repo.branch, after)
    session.repo.live.write(LiveNote(after, None, counter))
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
    if old.tables[name] == after.tables[name] and old.conflicts.get(name) == after.conflicts.get(name):
        same = _disputes(session, old, name)
        pins = load_pins(session, before, name, same.schema) if same.rows else None
        return LiveDelta(_no_changes(session, old, name), pins) if pins else None
    mine, other = _disputes(session, old, name), _disputes(session, after, name)
    held = load_pins(session, before, name, mine.schema) if mine.rows else {}
    return live_delta(_table(session, old, name), mine, held or {}, _table(session, after, name), other)


def _no_changes(session: Session, tree: Tree, name: str) -> Delta:
    schema = _table(session, tree, name).schema
    return Delta(schema, delta_schema(schema).empty_table())


def _row_changes(session: Session, tree: Tree, name: str, delta: Delta) -> RowChanges:
    table = _table(session, tree, name)
    updates = delta.of_kind(UPDATE)
    return RowChanges(
        SourceTable(name, table.schema, table.ddl),
        deletes=delta.of_kind(DELETE).old(),
        inserts=delta.of_kind(INSERT).new(),
        old=updates.old(),
        new=updates.new(),
    )


def _disputes(session: Session, tree: Tree, name: str) -> Disputes:
    return table_disputes(session, tree, name)


def _table(session: Session, tree: Tree, name: str) -> StoredTable:
    return StoredTable(session.cached_store, session.engine, name, tree.tables[name])
