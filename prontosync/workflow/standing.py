"""What is wrong in a state, in numbers: open conflicts by table and kind with their ages, and rows without parents."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

from prontosync.disk.notes import OrphanNote, OrphansNote
from prontosync.errors import ProntoError
from prontosync.history.commits import Tree
from prontosync.history.conflicts import conflicts_of
from prontosync.model.encoding import decode, encode
from prontosync.model.ids import ObjectId, ObjectName, object_id
from prontosync.model.schema import TableSchema
from prontosync.workflow.live import table_disputes
from prontosync.workflow.rules import flow, in_force
from prontosync.workflow.session import Session


@dataclass(frozen=True)
class OpenCount:
    """Open conflicts of one kind in one table; ``oldest`` is since when the first of them is open, RFC 3339 in UTC, or
    empty where that is not known."""

    table: str
    kind: str
    number: int
    oldest: str


def open_counts(session: Session, tree: Tree) -> tuple[OpenCount, ...]:
    """By table and kind, in that order."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in tree.conflicts:
        for conflict in conflicts_of(name, table_disputes(session, tree, name)):
            found[name, conflict.kind].append(conflict.since)
    return tuple(
        OpenCount(table, kind, len(since), min((one for one in since if one), default=""))
        for (table, kind), since in sorted(found.items())
    )


def conflict_ids(session: Session, tree: Tree) -> dict[str, tuple[str, str]]:
    """The open conflicts of a state: table and kind by id."""
    return {
        conflict.id: (name, conflict.kind)
        for name in tree.conflicts
        for conflict in conflicts_of(name, table_disputes(session, tree, name))
    }


def orphans_of(session: Session, head: ObjectId) -> tuple[OrphanNote, ...]:
    """By foreign key, the rows of a state that have no parent. Merges hold none of them back: they were there before.

    They are counted again where tables were written anew; patches since then are left aside.
    """
    tree = session.commits.tree(head)
    rules = in_force(session, head)
    foreign = session.repo.config.source is None
    names = sorted(name for name in tree.tables if not (foreign and flow(rules, name) == "own"))
    layout = object_id(encode([[name, tree.tables[name].schema, tree.tables[name].checkpoint] for name in names]))
    note = session.repo.orphans.read()
    if note is None or note.layout != layout:
        note = OrphansNote(layout, _counted(session, tree, names))
        with suppress(ProntoError):  # a note that cannot be kept is made again
            session.repo.orphans.write(note)
    return note.found


def _counted(session: Session, tree: Tree, names: list[str]) -> tuple[OrphanNote, ...]:
    store = session.cached_store
    schemas = (store.read(ObjectName(tree.tables[name].schema, "json")) for name in names)
    if not any(decode(schema, TableSchema).foreign_keys for schema in schemas):
        return ()
    from prontosync.history.orphans import orphans
    from prontosync.tables.reader import StoredTable

    tables = {name: StoredTable(store, session.engine, name, tree.tables[name]) for name in names}
    found = orphans(session.engine, tables)
    return tuple(OrphanNote(name, key.columns, key.table, number) for (name, key), number in found.items())
