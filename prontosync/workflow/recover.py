"""Recover: a live database restored from an older copy gets back the rows it lost, and keeps those it gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prontosync.history.commits import EMPTY, Tree
from prontosync.history.disputes import Origin
from prontosync.history.merge import MergeTerms, Sides, merge_trees
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Parent
from prontosync.sources.contract import RowsMoved, StateRow
from prontosync.workflow.apply import plan_apply, write_live
from prontosync.workflow.integrate import TRIES, Next, Outcome, StillMoving
from prontosync.workflow.live import LiveReader, conflict_count, keep_pins
from prontosync.workflow.session import Session
from prontosync.workflow.snapshot import check_copy, settle_pending, take_snapshot


@dataclass(frozen=True)
class _Copy:
    """The copy as a commit, the state it started from, and what it says of the last apply."""

    commit: ObjectId
    base: Tree
    row: StateRow | None


def recover(
    session: Session, message: str = "", author: str | None = None, allow_deletes: Sequence[str] = ()
) -> Outcome:
    """Merge the copy with the branch, and write the result to the live database; the caller has the lock.

    The copy is a version of this branch that left it where the copy says it was last written to; where the branch does
    not know that commit, the copy shares no history with it, and then nothing is deleted. No policy decides: a cell
    that both changed since is a conflict, because what the copy holds may be in the branch already. A database that is
    no such copy gets a plain snapshot.
    """
    for _ in range(TRIES):
        taken = _commit_copy(session, message, author)
        if taken is None:
            snapshot = take_snapshot(session, message, author, allow_deletes)
            head = snapshot.head or session.need_head()
            tree = session.commits.tree(head)
            return Outcome(Next(None), head, head, conflict_count(session, tree), {}, snapshot)
        try:
            return _merge_back(session, taken, author, allow_deletes)
        except RowsMoved as error:
            moved = error
    raise StillMoving(f"{moved.message}, in {TRIES} tries", "run it again when the till is less busy")


def _commit_copy(session: Session, message: str, author: str | None) -> _Copy | None:
    with session.need_source().read() as live:
        settle_pending(session, live.state_row)
        counter = live.state_row.counter if live.state_row else 0
        if counter == session.repo.live.read().counter:
            return None
        start = _left_at(session, live.state_row)
        with session.repo.objects.batch():
            found = LiveReader(session, session.repo.objects, start).read(live)
            parents = (Parent(start, session.repo.branch),) if start else ()
            words = message or "the live database as it was found: restored from an older copy"
            commit = session.commits.add(found.tree, parents, session.stamp(author), words)
        row = live.state_row
    keep_pins(session, commit, found.pins)
    return _Copy(commit, session.commits.tree(start) if start else EMPTY, row)


def _left_at(session: Session, row: StateRow | None) -> ObjectId | None:
    """The commit that the copy last held, where the branch descends from it."""
    if row is None or row.repository != session.repo.id:
        return None
    commit = ObjectId(row.commit)
    known = session.commits.has(commit) and session.ancestry.is_ancestor(commit, session.need_head())
    return commit if known else None


def _merge_back(session: Session, copy: _Copy, author: str | None, allow_deletes: Sequence[str]) -> Outcome:
    head, branch, now = session.need_head(), session.repo.branch, session.now()
    ours, theirs = session.commits.tree(head), session.commits.tree(copy.commit)
    sides = Sides(copy.base, ours, theirs, Origin(branch, head, "", now), Origin(branch, copy.commit, "", now))
    terms = MergeTerms(adopt_new=True, hints=session.hints)
    with session.repo.objects.batch():
        merged = merge_trees(session.merge_store, session.engine, sides, terms, session.progress)
        parents = (Parent(head, branch), Parent(copy.commit, branch))
        words = "merge the restored copy with the branch"
        commit = session.commits.add(merged.tree, parents, session.stamp(author), words, merge=True)
    plan = plan_apply(session, copy.commit, session.commits.tree(commit))
    if not plan.counts:
        check_copy(session, copy.row, accept=True)
    write_live(session, copy.commit, commit, plan, allow_deletes)
    session.journal("recover-copy", before=head, after=commit, branch=branch)
    following = Next(commit, merged=True, counts=merged.counts, waiting=merged.waiting)
    return Outcome(following, head, commit, conflict_count(session, session.commits.tree(commit)), plan.counts)
