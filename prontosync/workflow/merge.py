"""Merge: bring another branch's commits into the current one."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal

from prontosync.errors import UsageError
from prontosync.history.commits import EMPTY, same_table, same_tables
from prontosync.history.disputes import Origin
from prontosync.history.merge import Counts, Merged, MergeTerms, Sides, merge_trees
from prontosync.history.policies import NOBODY, Writer
from prontosync.model.ids import ObjectId
from prontosync.model.names import TAG_PREFIX, RefName
from prontosync.model.objects import Parent
from prontosync.model.rules import Rules
from prontosync.workflow import rules
from prontosync.workflow.holding import has_holds, with_holds
from prontosync.workflow.integrate import Forecast, Next, Outcome, forecast, integrate
from prontosync.workflow.session import Session
from prontosync.workflow.terms import policies_by, writer_of

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
    said = rules.in_force(session, head, theirs.commit, theirs.branch)
    owed = _owed(session, head, theirs, said)
    same = theirs.direction == "same"
    if same and other and not mine and not session.refused:
        return Next(theirs.commit, merged=True, fast_forward=True, counts=_forward_counts(session, head, theirs.commit))
    if not owed and (not other or (not same and brings_nothing(session, other))):
        return _again(session, head, theirs, said)
    rules.tell_contradictions(session, said)
    policy = rules.named(session, said, head, theirs.commit)
    result = _merged(session, head, theirs, said, prefer)
    parents = (Parent(head, session.repo.branch), Parent(theirs.commit, theirs.branch))
    words = message or f"merge {theirs.branch} into {session.repo.branch}"
    decided = result.preferred or result.renumbered or rules.is_new(session, said, head, theirs.commit)
    stamp, keys = session.stamp(), result.renumbered
    commit = session.commits.add(result.tree, parents, stamp, words, not decided, policy, keys)
    return Next(commit, merged=True, counts=result.counts, waiting=result.waiting, renumbered=result.new_keys)


def _again(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> Next:
    """What is to be done where theirs brings nothing: local edits of tables that come down are put in dispute, and rows
    that were held are tried again."""
    tree = session.commits.tree(head)
    restless = _edited_below(session, head, theirs, said)
    if not restless and not has_holds(session, tree):
        return Next(None)
    result = _merged(session, head, theirs, said, None, restless)
    if same_tables(result.tree, tree):
        return Next(None)
    words = "show rows that were held" if not restless else f"local edits of {', '.join(sorted(restless))}"
    policy = rules.named(session, said, head)
    parents = (Parent(head, session.repo.branch),)
    commit = session.commits.add(result.tree, parents, session.stamp(), words, not result.preferred, policy)
    return Next(commit, merged=True, counts=result.counts)


def _edited_below(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> frozenset[str]:
    """The tables that come down from theirs and are not as it was merged last."""
    if theirs.direction != "down":
        return frozenset()
    ours, down = session.commits.tree(head), _down_tables(session, theirs, said)
    base = session.bases().down_base(EMPTY, head, theirs.commit, theirs.branch, down)
    return frozenset(n for n in down if n in base.tables and n in ours.tables and not same_table(base, ours, n))


def _down_tables(session: Session, theirs: Theirs, said: Rules) -> frozenset[str]:
    """The tables that only ever come from theirs."""
    if theirs.direction != "down":
        return frozenset()
    names = session.commits.tree(theirs.commit).tables
    return frozenset(name for name in names if rules.flow(said, name) == "down")


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


def _merged(
    session: Session, head: ObjectId, theirs: Theirs, said: Rules, prefer: str | None, only: Set[str] | None = None
) -> Merged:
    """The merge of theirs, or of ``only`` these tables, with rows held back that this place does not accept."""
    from prontosync.history.lineage import Merging
    from prontosync.history.provenance import Provenance
    from prontosync.workflow.renumbering import recounted, rekeyed

    commits, now = session.commits, session.now()
    bases = session.bases()

    def takes(table: str) -> bool:
        return (only is None or table in only) and _takes(said, table, theirs.direction)

    base = bases.base(head, theirs.commit, takes)
    base = bases.down_base(base, head, theirs.commit, theirs.branch, _down_tables(session, theirs, said))
    merging = Merging(head, theirs.commit, session.repo.branch, theirs.branch)
    choose = theirs.direction == "up" and only is None and session.repo.config.is_head_office
    found = rekeyed(session, base, merging, said, takes, choose)
    origin = Origin(theirs.branch, theirs.commit, "", now)
    writers = _writers(session, head, theirs, said)
    sides = Sides(found.base, found.ours, found.theirs, Origin(session.repo.branch, head, "", now), origin, *writers)
    provenance = Provenance(commits, session.merge_store, session.engine)
    terms = MergeTerms(
        takes=takes,
        policies=policies_by(said),
        adopt_new=session.repo.config.source is None,
        prefer=prefer,
        trace=lambda table, disputes: provenance.refine(table, disputes, {head, theirs.commit}),
    )
    merged = merge_trees(session.merge_store, session.engine, sides, terms, session.progress)
    merged = with_holds(session, found.ours, merged, [(found.theirs, origin)])
    tree = recounted(session, commits.tree(head), found.ours, merged.tree)
    return replace(merged, tree=tree, renumbered=found.renumbered, new_keys=found.new_keys)


def _writers(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> tuple[Writer, Writer]:
    """Who made each side's changes. Between versions of one branch nobody is asked; of the upstream, and of head
    office, every change was judged when it came there, or is its own."""
    if theirs.direction == "same":
        return NOBODY, NOBODY
    ours, other = (writer_of(session.commits, commit, said) for commit in (head, theirs.commit))
    if theirs.direction == "down":
        return ours, replace(other, trusted=True)
    return (replace(ours, trusted=True) if session.repo.config.is_head_office else ours), other


def _owed(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> bool:
    """Whether a table that waited when theirs was merged has come to the live database since."""
    tips = session.ancestry.merge_bases([head], theirs.commit)
    here = session.commits.tree(head).tables
    strangers = session.bases().strangers(head, tips)
    return any(name in here and _takes(said, name, theirs.direction) for name in strangers)


def _takes(said: Rules, table: str, direction: Direction) -> bool:
    """Whether a table's flow lets it come from theirs (``docs/merging.md``, Places and flows)."""
    flow = rules.flow(said, table)
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
