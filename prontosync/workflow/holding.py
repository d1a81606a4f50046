"""Holds in a merge here: which rows are held back, where they came from, and what the live database refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from prontosync.history.commits import Tree
from prontosync.history.constraints import Breach
from prontosync.history.disputes import Key, Origin, keys_table, rows_by_key
from prontosync.history.holds import Brought, Held, Holding
from prontosync.history.merge import Counts, Merged
from prontosync.model.values import Row, canonical
from prontosync.sources.contract import ConstraintBroken
from prontosync.sources.trial import SqliteTrial
from prontosync.tables.reader import StoredTable
from prontosync.workflow.rules import flow, in_force
from prontosync.workflow.session import Session


def with_holds(session: Session, before: Tree, merged: Merged, sides: Sequence[tuple[Tree, Origin]]) -> Merged:
    """A merge with the rows held back that this place does not accept. ``sides`` are those that were merged in."""
    found = hold_back(session, before, merged.tree, sides)
    counts = dict(merged.counts)
    for name, number in found.counts.items():
        counts[name] = replace(counts.get(name, Counts()), held=number)
    return replace(merged, tree=found.tree, counts=counts)


def hold_back(session: Session, before: Tree, after: Tree, sides: Sequence[tuple[Tree, Origin]] = ()) -> Held:
    """``after`` with the rows held back that this place does not accept; ``before`` is what is shown now."""
    said = in_force(session, session.head())

    def foreign(name: str) -> bool:
        """Tables that stay with their stores: what head office has of one is nobody's."""
        return session.repo.config.source is None and flow(said, name) == "own"

    trial, now = SqliteTrial(), session.now()
    holding = Holding(session.merge_store, session.engine, trial, now, session.refused, foreign)
    return holding.held(before, after, _brought(session, sides))


def refuse(session: Session, error: ConstraintBroken) -> bool:
    """Remember a row that the live database refused, so that the next merge of this run holds it. False where it is not
    known which one that is, or it was held already."""
    if error.row is None:
        return False
    rows = session.refused.setdefault(error.row.table, {})
    key = tuple(canonical(value) for value in error.row.key)
    if key in rows:
        return False
    rows[key] = Breach(key, "check", error.message)
    return True


def _brought(session: Session, sides: Sequence[tuple[Tree, Origin]]) -> Brought:
    def brought(name: str, rows: Mapping[Key, Row | None]) -> Mapping[Key, Origin]:
        found: dict[Key, Origin] = {}
        for tree, origin in sides:
            state = tree.tables.get(name)
            left = [key for key in rows if key not in found]
            if state is None or not left:
                continue
            table = StoredTable(session.merge_store, session.engine, name, state)
            there = rows_by_key(table.schema, table.rows_at(keys_table(table.schema, left)))
            found |= {key: origin for key in left if _alike(there.get(key), rows[key])}
        return found or (dict.fromkeys(rows, sides[-1][1]) if sides else {})

    return brought


def _alike(row: Row | None, wanted: Row | None) -> bool:
    """Whether a side may have brought a row: columns may stand in another order, and cells come from both sides."""
    if row is None or wanted is None:
        return row is wanted
    return bool(set(row) & set(wanted))
