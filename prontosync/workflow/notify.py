"""Notification points: moments that somebody may want to hear of. Each is journalled, and told to the world."""

from __future__ import annotations

from collections import Counter

from prontosync.model.ids import ObjectId
from prontosync.workflow.session import Session
from prontosync.workflow.standing import conflict_ids

ON_CONFLICT = "on-conflict"


def on_conflict(session: Session, before: ObjectId, after: ObjectId) -> None:
    """To be called when the branch moved: where conflicts are open that were not, it is told how many of which kind in
    which table. No values of rows."""
    old, new = session.commits.tree(before), session.commits.tree(after)
    if old.conflicts == new.conflicts or not new.conflicts:
        return
    known, found = conflict_ids(session, old), conflict_ids(session, new)
    fresh = Counter(found[identity] for identity in found.keys() - known.keys())
    if not fresh:
        return
    tables: dict[str, dict[str, int]] = {}
    for (table, kind), number in sorted(fresh.items()):
        tables.setdefault(table, {})[kind] = number
    details = {"branch": session.repo.branch, "commit": after, "new": tables, "open": len(found)}
    session.journal(ON_CONFLICT, **details)
    session.world.notify(ON_CONFLICT, details)
