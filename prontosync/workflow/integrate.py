"""Integrate: snapshot, build what comes next, write it to the live database, move the branch; again where the till
moved.

Everything that changes the branch in a repository with a live database goes through here: merge, pull, resolve,
revert, undo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prontosync.errors import Moved
from prontosync.history.commits import Tree
from prontosync.history.merge import Counts
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes
from prontosync.model.renumbering import NewKey
from prontosync.sources.contract import ConstraintBroken, RowsMoved
from prontosync.workflow.apply import Plan, plan_apply, write_live
from prontosync.workflow.holding import refuse
from prontosync.workflow.live import conflict_count
from prontosync.workflow.session import Session
from prontosync.workflow.snapshot import Snapshot, take_snapshot

TRIES = 4
REFUSALS = 50
"""So many rows that no test of ours explains are held back in one run; one more is an error."""
HOLDING = ("merge", "pull", "undo", "revert")


class StillMoving(Moved):
    """The till changed the very rows that were to be written, again and again."""

    id = "still-moving"


@dataclass(frozen=True)
class Next:
    """What comes after a head: the commit (None: the head stays) and what is told of it. ``renumbered`` are rows that
    have another key there."""

    commit: ObjectId | None
    merged: bool = False
    fast_forward: bool = False
    counts: Mapping[str, Counts] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    renumbered: tuple[NewKey, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """``head`` is where the branch is now; ``before`` where it was after the snapshot; ``applied`` is None without a
    source."""

    next: Next
    before: ObjectId
    head: ObjectId
    conflicts: int
    applied: Mapping[str, Changes] | None
    snapshot: Snapshot | None = None


@dataclass(frozen=True)
class Forecast:
    """What an action would do: the state it would end in, and the plan for the live database."""

    next: Next
    tree: Tree
    conflicts: int
    plan: Plan | None


Build = Callable[[ObjectId], Next]
"""From the head to what comes next; it may write objects and moves no ref."""


def integrate(
    session: Session,
    event: str,
    build: Build,
    allow_deletes: Sequence[str] = (),
    first: Snapshot | None = None,
) -> Outcome:
    """Do it; the caller has the lock. ``first`` is a snapshot just taken: what the till did since is noticed when it is
    written over. Raises StillMoving (15) after several tries, and what snapshot and apply raise."""
    if session.source is None:
        return _without_source(session, event, build)
    for number in range(TRIES):
        snapshot = first if first and not number else take_snapshot(session, allow_deletes=allow_deletes)
        before = snapshot.head or session.need_head()
        try:
            return _held_back(session, event, build, snapshot, before, allow_deletes)
        except RowsMoved as error:
            moved = error
    raise StillMoving(f"{moved.message}, in {TRIES} tries", "run it again when the till is less busy")


def forecast(session: Session, build: Build) -> Forecast:
    """What it would do, from the head as it is; writes objects, moves nothing and leaves the live database alone."""
    before = session.need_head()
    following = build(before)
    tree = session.commits.tree(following.commit or before)
    plan = plan_apply(session, before, tree) if session.source is not None else None
    return Forecast(following, tree, conflict_count(session, tree), plan)


def _held_back(
    session: Session, event: str, build: Build, snapshot: Snapshot, before: ObjectId, allow_deletes: Sequence[str]
) -> Outcome:
    """Do it; a row that the live database refuses, for whatever reason, is held back and the rest tried again. What a
    person decided is not: they are told."""
    for _ in range(REFUSALS):
        try:
            return _with_source(session, event, build, snapshot, before, allow_deletes)
        except ConstraintBroken as error:
            if event not in HOLDING or not refuse(session, error):
                raise
    return _with_source(session, event, build, snapshot, before, allow_deletes)


def _without_source(session: Session, event: str, build: Build) -> Outcome:
    before = session.need_head()
    with session.repo.objects.batch():
        following = build(before)
    if following.commit is not None and following.commit != before:
        session.advance(session.repo.branch, following.commit)
        _note(session, event, before, following.commit)
    return _outcome(session, following, before, None, None)


def _with_source(
    session: Session, event: str, build: Build, snapshot: Snapshot, before: ObjectId, allow_deletes: Sequence[str]
) -> Outcome:
    with session.repo.objects.batch():
        following = build(before)
    applied: Mapping[str, Changes] = {}
    if following.commit is not None and following.commit != before:
        plan = plan_apply(session, before, session.commits.tree(following.commit))
        write_live(session, before, following.commit, plan, allow_deletes)
        applied = plan.counts
        _note(session, event, before, following.commit)
    return _outcome(session, following, before, applied, snapshot)


def _note(session: Session, event: str, before: ObjectId, after: ObjectId) -> None:
    """What ``undo`` needs: the head before the move, and after it."""
    session.journal(event, before=before, after=after, branch=session.repo.branch)


def _outcome(
    session: Session,
    following: Next,
    before: ObjectId,
    applied: Mapping[str, Changes] | None,
    snapshot: Snapshot | None,
) -> Outcome:
    head = following.commit or before
    conflicts = conflict_count(session, session.commits.tree(head))
    return Outcome(following, before, head, conflicts, applied, snapshot)
