"""Invariants: SQL that must return no row, asked of a merge before it is committed.

A row that breaks one anew is a conflict of kind ``invariant``: it is shown as it is, for a person to look at. Where
head office says so, the merge is not made at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from prontosync.engine.arrow import duckdb_type
from prontosync.engine.connection import Engine, QueryError, quoted
from prontosync.errors import Refused
from prontosync.history.commits import Tree, same_table
from prontosync.history.disputes import (
    Dispute,
    Disputes,
    Key,
    Origin,
    keys_table,
    read_disputes,
    rows_by_key,
    rows_by_key_list,
    write_disputes,
)
from prontosync.history.marks import INVARIANT, Mark
from prontosync.history.sets import state_of
from prontosync.model.keys import key_to_text
from prontosync.model.rules import Invariant, Rules
from prontosync.model.schema import TableSchema
from prontosync.model.values import restored
from prontosync.query.views import Views
from prontosync.tables.reader import StoredTable
from prontosync.workflow.session import Session

SHOWN = 5


class InvariantBroken(Refused):
    """A merge breaks an invariant that head office refuses to see broken."""

    id = "invariant"


@dataclass(frozen=True)
class Four:
    """The states that an invariant is asked about, as the schemas ``base``, ``ours``, ``theirs``, ``merged``."""

    base: Tree
    ours: Tree
    theirs: Tree
    merged: Tree


@dataclass(frozen=True)
class Checked:
    """The merged state with its marks, and whether any came or went: that must travel."""

    tree: Tree
    fresh: bool = False


def checked(session: Session, rules: Rules, states: Four, origin: Origin) -> Checked:
    """The merged state with a mark on each row that breaks an invariant and did not in ours, and none on those that
    break none any more. Raises InvariantBroken (13)."""
    tree, fresh = states.merged, False
    every = {**rules.added.invariants, **rules.shared.invariants}
    asked = {name: one for name, one in sorted(every.items()) if _concerns(one, states)}
    if not asked:
        return Checked(tree)
    for name, invariant in asked.items():
        if invariant.table not in tree.tables:
            continue
        found = _asked(session, name, invariant, states)
        if found is None:
            continue
        before = _asked(session, name, invariant, Four(states.ours, states.ours, states.ours, states.ours)) or set()
        new = found - before
        if new and invariant.refuse:
            raise InvariantBroken(*_refusal(session, name, invariant, states, new))
        mark = Mark(INVARIANT, name, origin.branch, origin.commit, origin.since)
        tree, some = _marked(session, tree, invariant.table, mark, found, new)
        fresh = fresh or some
    return Checked(tree, fresh)


def _concerns(invariant: Invariant, states: Four) -> bool:
    """Whether a table that the query names differs between ours and what was merged."""
    text = invariant.sql.lower()
    names = {name for name in states.merged.tables if name.replace('"', '""').lower() in text}
    return any(not same_table(states.ours, states.merged, name) for name in names)


def _asked(session: Session, name: str, invariant: Invariant, states: Four) -> set[Key] | None:
    """The keys of the rows that break an invariant; None where the query cannot be asked here: told, not raised, for a
    merge must not stop for it."""
    schema = _stored(session, states.merged, invariant.table).schema
    try:
        with _engine(session, invariant, states) as engine:
            engine.check_select(invariant.sql)
            return _keys(engine, schema, invariant)
    except QueryError as error:
        session.world.note(f'invariant "{name}" cannot be asked here: {error.message}')
        return None


def _keys(engine: Engine, schema: TableSchema, invariant: Invariant) -> set[Key]:
    only = TableSchema(tuple(column for column in schema.columns if column.name in schema.key), schema.key)
    columns = ", ".join(f"CAST({quoted(c.name)} AS {duckdb_type(c.type)}) AS {quoted(c.name)}" for c in only.columns)
    given = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in only.names)
    query = invariant.sql.strip().rstrip(";")
    found = engine.table(f"SELECT DISTINCT {columns} FROM ({query}\n) AS _ps_q WHERE {given}")
    return {key for key, _ in rows_by_key_list(only, found)}


@contextmanager
def _engine(session: Session, invariant: Invariant, states: Four) -> Iterator[Engine]:
    """An engine with the four states as schemas, that may read this repository's objects and nothing else."""
    store = session.merge_store
    inner = session.repo.inner
    folders = [inner / "objects", inner / "tmp", session.repo.cache.top / "objects", session.repo.cache.top / "tmp"]
    with Engine(folders, session.repo.tmp) as engine:
        views = Views(engine, invariant.sql)
        for schema in ("base", "ours", "theirs", "merged"):
            tree: Tree = getattr(states, schema)
            views.attach(schema, tree, store)
        yield engine


def _marked(session: Session, tree: Tree, table: str, mark: Mark, found: set[Key], new: set[Key]) -> tuple[Tree, bool]:
    """The state with the mark on the new rows, and without it on those that are not among ``found``."""
    stored = _stored(session, tree, table)
    disputes = read_disputes(stored, tree.conflicts.get(table))
    known = {key for key, dispute in disputes.rows.items() if dispute.mark and dispute.mark.text == mark.text}
    healed = known - found
    free = {key for key in new - known if not disputes.rows.get(key, Dispute(None)).mark}
    if not healed and not free:
        return tree, False
    rows = rows_by_key(stored.schema, stored.rows_at(keys_table(stored.schema, free))) if free else {}
    kept = dict(disputes.rows)
    for key in rows:
        kept[key] = replace(kept.get(key) or Dispute(state_of(rows[key])), mark=mark)
    for key in healed:
        kept[key] = replace(kept[key], mark=None)
    after = Disputes(stored.schema, {key: dispute for key, dispute in kept.items() if dispute.open})
    conflicts = {name: identity for name, identity in tree.conflicts.items() if name != table}
    identity = write_disputes(session.merge_store, after)
    return replace(tree, conflicts=conflicts | ({table: identity} if identity else {})), True


def _refusal(session: Session, name: str, invariant: Invariant, states: Four, keys: set[Key]) -> tuple[str, str]:
    schema = _stored(session, states.merged, invariant.table).schema
    shown = [key_to_text(tuple(restored(v) for v in key), schema) for key in sorted(keys, key=repr)[:SHOWN]]
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    what = f'invariant "{name}" would be broken in table "{invariant.table}", rows {"; ".join(shown)}{more}'
    return what, "see what would be merged: prontosync merge REV --explain --dry-run"


def _stored(session: Session, tree: Tree, name: str) -> StoredTable:
    return StoredTable(session.merge_store, session.engine, name, tree.tables[name])
