"""Holds in a merge here: which rows are held back, where they came from, and what the live database refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from prontosync.history.commits import Tree
from prontosync.history.constraints import Breach
from prontosync.history.disputes import Dispute, Disputes, Key, Origin, keys_table, rows_by_key
from prontosync.history.holds import Brought, Held, Holding
from prontosync.history.merge import Counts, Merged
from prontosync.history.sets import state_of
from prontosync.model.ids import ObjectId
from prontosync.model.values import Row, canonical
from prontosync.sources.contract import ConstraintBroken
from prontosync.sources.trial import SqliteTrial
from prontosync.tables.reader import StoredTable
from prontosync.workflow.live import table_disputes
from prontosync.workflow.merge import provenance
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
        alike: dict[Key, Origin] = {}
        for tree, origin in sides:
            left = {key: row for key, row in rows.items() if key not in found}
            if left and name in tree.tables:
                found |= _of_side(session, tree, origin, name, left, alike)
        return dict.fromkeys(rows, sides[-1][1]) | alike | found if sides else {}

    return brought


def _of_side(
    session: Session,
    tree: Tree,
    origin: Origin,
    name: str,
    rows: Mapping[Key, Row | None],
    alike: dict[Key, Origin],
) -> dict[Key, Origin]:
    """Those rows that a side intends: held there for another branch's sake, or shown there since some commit. Those
    with which a side agrees in part are noted in ``alike``: the side's cells are in them."""
    table = StoredTable(session.merge_store, session.engine, name, tree.tables[name])
    disputes = table_disputes(session, tree, name)
    there = rows_by_key(table.schema, table.rows_at(keys_table(table.schema, rows)).select(table.schema.names))
    found: dict[Key, Origin] = {}
    shown: dict[Key, Dispute] = {}
    for key, row in rows.items():
        mark = disputes.rows[key].mark if key in disputes.rows else None
        if mark is not None and disputes.state(key, there.get(key)) == state_of(row):
            found[key] = origin._replace(branch=mark.branch, commit=mark.commit)
        elif _same(there.get(key), row):
            shown[key] = Dispute(state_of(row), {(None, row): [origin]})
        elif _alike(there.get(key), row):
            alike.setdefault(key, origin)
    provenance(session).refine(name, Disputes(table.schema, shown), {ObjectId(origin.commit)})
    return found | {key: dispute.origins[None, rows[key]][0] for key, dispute in shown.items()}


def _same(row: Row | None, wanted: Row | None) -> bool:
    """Whether a side has a row; columns may stand in another order."""
    return row == wanted or (row is not None and wanted is not None and Counter(row) == Counter(wanted))


def _alike(row: Row | None, wanted: Row | None) -> bool:
    """Whether a side may have brought a row: columns may stand in another order, and cells come from both sides."""
    if row is None or wanted is None:
        return row is wanted
    return bool(set(row) & set(wanted))
