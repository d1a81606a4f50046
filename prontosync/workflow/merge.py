"""Merge: bring another branch's commits into the current one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prontosync.errors import UsageError
from prontosync.history.disputes import Origin
from prontosync.history.merge import Counts, Merged, Rules, Sides, merge_trees
from prontosync.model.ids import ObjectId
from prontosync.model.names import TAG_PREFIX, RefName
from prontosync.model.objects import Parent
from prontosync.workflow.integrate import Forecast, Next, Outcome, forecast, integrate
from prontosync.workflow.session import Session

Direction = Literal["down", "up", "same"]


class NoBranch(UsageError):
    id = "no-branch"


class UnknownSide(UsageError):
    id = "unknown-side"


@dataclass(frozen=True)
class Theirs:
    """What is merged: a commit, the branch it is of, and which way its tables travel."""

    commit: ObjectId
    branch: str
    direction: Direction


def theirs_of(session: Session, rev: str) -> Theirs:
    """What ``rev`` names as the other side of a merge. Raises UnknownRevision, or NoBranch where its branch is
    unclear."""
    commit = session.revisions.resolve(rev)
    ref = session.revisions.ref_of(rev) or _ref_with(session, commit)
    if ref is None:
        raise NoBranch(f'"{rev}" is on no branch that is known here', "name a branch: prontosync branch --all")
    branch = branch_of(session, ref)
    config = session.repo.config.store
    upstream = config.upstream if config else None
    if branch == session.repo.branch:
        return Theirs(commit, branch, "same")
    down = upstream is not None and (ref == upstream or branch == upstream.partition("/")[2])
    return Theirs(commit, branch, "down" if down else "up")


def branch_of(session: Session, ref: RefName) -> str:
    """The branch's own name: that of a remote's branch without the remote."""
    first, _, rest = ref.partition("/")
    return rest if first in session.repo.config.remotes and rest else ref


def build_merge(session: Session, head: ObjectId, theirs: Theirs, prefer: str | None = None, message: str = "") -> Next:
    """The commit that merges ``theirs`` into ``head``: none where it brings nothing, theirs itself where it is a newer
    version of the same branch."""
    mine = session.ancestry.only_in([head], [theirs.commit])
    other = session.ancestry.only_in([theirs.commit], [head])
    owed = _owed(session, head, theirs)
    if not other and not owed:
        return Next(None)
    if theirs.direction == "same" and not mine:
        return Next(theirs.commit, merged=True, fast_forward=True, counts=_forward_counts(session, head, theirs.commit))
    idle = not other or (theirs.direction != "same" and brings_nothing(session, other))
    if idle and not owed:
        return Next(None)
    result = _merged(session, head, theirs, prefer)
    if idle and _as_before(session, head, result):
        return Next(None, unmerged=result.unmerged)
    parents = (Parent(head, session.repo.branch), Parent(theirs.commit, theirs.branch))
    words = message or f"merge {theirs.branch} into {session.repo.branch}"
    aside = [conflict.table for conflict in result.unmerged]
    commit = session.commits.add(
        result.tree, parents, session.stamp(), words, merge=not result.preferred, unmerged=aside
    )
    return Next(commit, True, counts=result.counts, waiting=result.waiting, unmerged=result.unmerged)


def _as_before(session: Session, head: ObjectId, result: Merged) -> bool:
    """Whether a merge only of tables that were owed left them as they are."""
    before = session.commits.tree(head)
    return result.tree.tables == before.tables and result.tree.conflicts == before.conflicts


def merge(
    session: Session,
    rev: str,
    prefer: str | None = None,
    message: str = "",
    allow_deletes: Sequence[str] = (),
) -> Outcome:
    """Merge ``rev`` into the current branch and the live database; the caller has the lock."""
    theirs = theirs_of(session, rev)
    side = preferred_side(session, theirs, prefer)
    return integrate(session, "merge", lambda head: build_merge(session, head, theirs, side, message), allow_deletes)


def merge_forecast(session: Session, rev: str, prefer: str | None = None) -> Forecast:
    """What ``merge`` would do, from the head as it is."""
    theirs = theirs_of(session, rev)
    side = preferred_side(session, theirs, prefer)
    return forecast(session, lambda head: build_merge(session, head, theirs, side))


def preferred_side(session: Session, theirs: Theirs, prefer: str | None) -> str | None:
    """``--prefer`` as "ours" or "theirs". Raises UnknownSide."""
    if prefer is None or prefer in ("ours", "theirs"):
        return prefer
    if theirs.branch in (prefer, branch_of(session, RefName(prefer))):
        return "theirs"
    if prefer == session.repo.branch:
        return "ours"
    raise UnknownSide(
        f'"{prefer}" is neither side of this merge', f"prefer ours, theirs, {session.repo.branch} or {theirs.branch}"
    )


def _merged(session: Session, head: ObjectId, theirs: Theirs, prefer: str | None) -> Merged:
    from prontosync.history.provenance import Provenance

    commits, now = session.commits, session.now()
    sides = Sides(
        session.bases().base(head, theirs.commit),
        commits.tree(head),
        commits.tree(theirs.commit),
        Origin(session.repo.branch, head, "", now),
        Origin(theirs.branch, theirs.commit, "", now),
    )
    provenance = Provenance(commits, session.merge_store, session.engine)
    rules = Rules(
        takes=lambda table: takes(session, table, theirs.direction),
        sums=session.sums,
        adopt_new=session.repo.config.source is None or session.with_schema,
        prefer=prefer,
        hints=session.hints,
        follows=session.repo.config.source is None,
        trace=lambda table, disputes: provenance.refine(table, disputes, {head, theirs.commit}),
    )
    return merge_trees(session.merge_store, session.engine, sides, rules, session.progress)


def _owed(session: Session, head: ObjectId, theirs: Theirs) -> bool:
    """Whether a table that waited when theirs was merged has come to the live database since, or is to."""
    tips = session.ancestry.merge_bases([head], theirs.commit)
    here = session.commits.tree(head).tables
    return any(
        (name in here or session.with_schema) and takes(session, name, theirs.direction)
        for name in session.bases().strangers(head, tips)
    )


def takes(session: Session, table: str, direction: Direction) -> bool:
    """Whether a table's flow lets it come from theirs (``docs/merging.md``, Places and flows)."""
    flow = session.repo.config.table(table).flow
    return direction == "same" or flow == "shared" or (flow == "down" and direction == "down")


def brings_nothing(session: Session, commits: Sequence[ObjectId]) -> bool:
    """Whether another branch's commits are automatic merges only: merging them would make merges of merges for ever."""
    return all(_automatic(session, commit) for commit in commits)


def _automatic(session: Session, commit: ObjectId) -> bool:
    """Whether a commit holds no edit of its own, nor brings any: a parent that is not here counts as an edit."""
    return session.commits.read(commit).merge and not session.ancestry.boundaries(commit)


def _forward_counts(session: Session, head: ObjectId, commit: ObjectId) -> dict[str, Counts]:
    from prontosync.history.diff import TreeDiff

    commits, store = session.commits, session.repo.objects
    old, new = commits.tree(head), commits.tree(commit)
    found = TreeDiff(session.engine, store, old, store, new, progress=session.progress)
    return {diff.table: Counts(taken=diff.counts.total) for diff in found.tables()}


def _ref_with(session: Session, commit: ObjectId) -> RefName | None:
    """A branch that holds the commit: first one that is at it."""
    refs = [r for r in session.repo.refs.names() if not r.startswith(TAG_PREFIX) and session.repo.refs.target(r)]
    at = [r for r in refs if session.repo.refs.target(r) == commit]
    if at:
        return at[0]
    return next((r for r in refs if _holds(session, r, commit)), None)


def _holds(session: Session, ref: RefName, commit: ObjectId) -> bool:
    target = session.repo.refs.target(ref)
    return target is not None and session.ancestry.is_ancestor(commit, target)
