"""Integrate: snapshot, build what comes next, write it to the live database, move the branch; again where the till
moved.

Everything that changes the branch in a repository with a live database goes through here: merge, pull, resolve,
revert, undo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from prontosync.errors import Moved
from prontosync.history.commits import Tree, with_ddl
from prontosync.history.merge import Counts
from prontosync.history.schema_merge import SchemaConflict
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, Parent
from prontosync.model.renumbering import NewKey
from prontosync.sources.contract import ConstraintBroken, RowsMoved
from prontosync.workflow.apply import Plan, plan_apply, write_live
from prontosync.workflow.live import conflict_count
from prontosync.workflow.mending import mending
from prontosync.workflow.notify import on_conflict
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
    unmerged: tuple[SchemaConflict, ...] = ()
    renumbered: tuple[NewKey, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """``head`` is where the branch is now; ``before`` where it was after the snapshot; ``applied`` is None without a
    source. ``statements`` were run in the live database."""

    next: Next
    before: ObjectId
    head: ObjectId
    conflicts: int
    applied: Mapping[str, Changes] | None
    snapshot: Snapshot | None = None
    statements: tuple[str, ...] = ()


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
            from prontosync.workflow.holding import refuse

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
        following = _with_columns(session, build(before), snapshot, before)
    applied: Mapping[str, Changes] = {}
    statements: tuple[str, ...] = ()
    if following.commit is not None and following.commit != before:
        plan = plan_apply(session, before, session.commits.tree(following.commit), snapshot.as_live)
        write_live(session, before, following.commit, plan, allow_deletes)
        applied, statements = plan.counts, plan.statements
        _note(session, event, before, following.commit)
    return replace(_outcome(session, following, before, applied, snapshot), statements=statements)


def _with_columns(session: Session, following: Next, snapshot: Snapshot, before: ObjectId) -> Next:
    """What comes next, once the live database has the columns that arrived in it, or that it is to be given."""
    head = following.commit or before
    tree = session.commits.tree(head)
    source = session.repo.config.source
    if source is None or not source.apply:
        return following
    ddls = {name: found.state for name, found in snapshot.as_live.items() if name in tree.tables}
    tables = {name: with_ddl(state, ddls.get(name, state)) for name, state in tree.tables.items()}
    changed = tables != dict(tree.tables)
    if not changed and not (following.commit is None and _is_mended(session, before)):
        return following
    words = "columns that came to the live database"
    parents = (Parent(head, session.repo.branch),)
    commit = session.commits.add(replace(tree, tables=tables), parents, session.stamp(), words, merge=True)
    return replace(following, commit=commit, merged=following.merged, fast_forward=False)


def _is_mended(session: Session, head: ObjectId) -> bool:
    """Whether the live database is to get something although nothing else happens."""
    tree = session.commits.tree(head)
    return session.with_schema and bool(mending(session, tree, tree).statements)


def _note(session: Session, event: str, before: ObjectId, after: ObjectId) -> None:
    """What ``undo`` needs: the head before the move, and after it."""
    session.journal(event, before=before, after=after, branch=session.repo.branch)
    on_conflict(session, before, after)


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
