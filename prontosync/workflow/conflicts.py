"""The open conflicts of a revision, with what the live database holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prontosync.errors import NotFound
from prontosync.history.conflicts import Conflict, conflicts_of
from prontosync.model.ids import ObjectId
from prontosync.model.values import Row, Value
from prontosync.workflow.live import load_pins, table_disputes
from prontosync.workflow.session import Session


class NoSuchTable(NotFound):
    id = "unknown-table"


@dataclass(frozen=True)
class OpenConflict:
    """A conflict, and the cell or row that the live database holds; ``known`` is False where there is no live
    database."""

    conflict: Conflict
    live: Value | Row | None
    known: bool


def list_conflicts(session: Session, commit: ObjectId, tables: Sequence[str] = ()) -> list[OpenConflict]:
    """All open conflicts of a commit, by table and key. Raises NoSuchTable."""
    tree = session.commits.tree(commit)
    for name in tables:
        if name not in tree.tables:
            raise NoSuchTable(f'there is no table "{name}"', "see: prontosync ls-tables")
    found = []
    for name in sorted(tree.conflicts):
        if not tables or name in tables:
            found += _of_table(session, commit, name)
    return found


def _of_table(session: Session, commit: ObjectId, name: str) -> list[OpenConflict]:
    disputes = table_disputes(session, session.commits.tree(commit), name)
    pins = load_pins(session, commit, name, disputes.schema)
    result = []
    for conflict in conflicts_of(name, disputes):
        row = pins.get(conflict.key) if pins else None
        cell = row[disputes.schema.names.index(conflict.column)] if row and conflict.column else row
        result.append(OpenConflict(conflict, cell, pins is not None))
    return result
