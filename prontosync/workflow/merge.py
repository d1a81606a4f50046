"""Merge: bring another branch's commits into the current one."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from prontosync.errors import UsageError
from prontosync.history.commits import EMPTY, Tree, same_table, same_tables
from prontosync.history.disputes import Disputes, Origin
from prontosync.history.merge import Counts, Merged, MergeTerms, Sides, merge_trees
from prontosync.history.policies import NOBODY, Writer
from prontosync.model.ids import ObjectId
from prontosync.model.names import TAG_PREFIX, RefName
from prontosync.model.objects import Parent
from prontosync.model.rules import Rules
from prontosync.workflow import rules
from prontosync.workflow.integrate import Next
from prontosync.workflow.live import table_disputes
from prontosync.workflow.session import Session
from prontosync.workflow.terms import hints_by, policies_by, writer_of

if TYPE_CHECKING:
    from prontosync.history.provenance import Provenance

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
    session.said = said
    same = theirs.direction == "same"
    # An older version of our own branch owes nothing.
    owed = bool(other or not same) and _owed(session, head, theirs, said)
    owed = owed or news_below(session, head, theirs, said)
    if same and other and not mine and not session.refused:
        return Next(theirs.commit, merged=True, fast_forward=True, counts=forward_counts(session, head, theirs.commit))
    idle = not other or (not same and brings_nothing(session, other))
    if idle and not owed:
        return again(session, head, theirs, said)
    rules.tell_contradictions(session, said)
    policy = rules.named(session, said, head, theirs.commit)
    result = merged_with(session, head, theirs, said, prefer)
    if idle and same_tables(result.tree, session.commits.tree(head)):
        return Next(None, unmerged=result.unmerged)
    parents = (Parent(head, session.repo.branch), Parent(theirs.commit, theirs.branch))
    words = message or f"merge {theirs.branch} into {session.repo.branch}"
    decided = result.preferred or result.renumbered or rules.is_new(session, said, head, theirs.commit)
    stamp, aside = session.stamp(), [conflict.table for conflict in result.unmerged]
    commit = session.commits.add(result.tree, parents, stamp, words, not decided, policy, aside, result.renumbered)
    told = (result.counts, result.waiting, result.unmerged, result.new_keys)
    return Next(commit, True, False, *told)


def again(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> Next:
    """What is to be done where theirs brings nothing: local edits of tables that come down are put in dispute, and rows
    that were held are tried again."""
    tree = session.commits.tree(head)
    restless = _edited_below(session, head, theirs, said)
    if not restless and not _has_holds(session, tree):
        return Next(None)
    result = merged_with(session, head, theirs, said, None, restless)
    if same_tables(result.tree, tree):
        return Next(None)
    words = "show rows that were held" if not restless else f"local edits of {', '.join(sorted(restless))}"
    policy = rules.named(session, said, head)
    parents = (Parent(head, session.repo.branch),)
    commit = session.commits.add(result.tree, parents, session.stamp(), words, not result.preferred, policy)
    return Next(commit, merged=True, counts=result.counts)


def _has_holds(session: Session, tree: Tree) -> bool:
    """Whether a state holds rows back."""
    return any(d.held for name in tree.conflicts for d in table_disputes(session, tree, name).rows.values())


def _edited_below(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> frozenset[str]:
    """The tables that come down from theirs and are not as it was merged last."""
    ours, base = session.commits.tree(head), _below(session, head, theirs, said)
    return frozenset(name for name in base.tables if name in ours.tables and not same_table(base, ours, name))


def news_below(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> bool:
    """Whether a table that comes down from theirs has changed there since it was merged last: a branch that we merged
    beside it may have brought its commits, and no row of such a table."""
    there, base = session.commits.tree(theirs.commit), _below(session, head, theirs, said)
    here = session.commits.tree(head).tables
    return any(name in here and not same_table(base, there, name) for name in base.tables)


def _below(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> Tree:
    """The tables that come down from theirs, as it was merged last."""
    return session.bases().down_base(EMPTY, head, theirs.commit, theirs.branch, _down_tables(session, theirs, said))


def _down_tables(session: Session, theirs: Theirs, said: Rules) -> frozenset[str]:
    """The tables that only ever come from theirs."""
    if theirs.direction != "down":
        return frozenset()
    names = session.commits.tree(theirs.commit).tables
    return frozenset(name for name in names if rules.flow(said, name) == "down")


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


def merged_with(
    session: Session, head: ObjectId, theirs: Theirs, said: Rules, prefer: str | None, only: Set[str] | None = None
) -> Merged:
    """The merge of theirs, or of ``only`` these tables, with rows held back that this place does not accept."""
    from prontosync.history.lineage import Merging
    from prontosync.workflow.renumbering import recounted, rekeyed

    commits, now = session.commits, session.now()

    def taken(table: str) -> bool:
        return (only is None or table in only) and takes(said, table, theirs.direction)

    base = base_for(session, head, theirs, said, session.bases().base(head, theirs.commit, taken))
    merging = Merging(head, theirs.commit, session.repo.branch, theirs.branch)
    choose = theirs.direction == "up" and only is None and session.repo.config.is_head_office
    found = rekeyed(session, base, merging, said, taken, choose)
    origin, here = Origin(theirs.branch, theirs.commit, "", now), Origin(session.repo.branch, head, "", now)
    sides = Sides(found.base, found.ours, found.theirs, here, origin, *writers(session, head, theirs, said))

    def trace(table: str, disputes: Disputes) -> None:
        provenance(session).refine(table, disputes, {head, theirs.commit})

    terms = replace(terms_for(session, theirs, said, prefer), takes=taken, trace=trace)
    merged = merge_trees(session.merge_store, session.engine, sides, terms, session.progress)
    merged = accepted(session, said, found.ours, merged, [(found.base, found.theirs, origin)])
    tree = recounted(session, commits.tree(head), found.ours, merged.tree)
    if session.account is not None:
        before, other = commits.tree(head), commits.tree(theirs.commit)
        session.account.hear_keys(session, before, other, tree, found.new_keys)
    return replace(merged, tree=tree, renumbered=found.renumbered, new_keys=found.new_keys)


def accepted(
    session: Session, said: Rules, ours: Tree, merged: Merged, sides: Sequence[tuple[Tree, Tree, Origin]]
) -> Merged:
    """A merge with rows held back that this place does not accept, and marks on those that break an invariant.
    ``sides`` are base, state and origin of what was merged; of several, invariants see ours as the base."""
    from prontosync.workflow.holding import with_holds
    from prontosync.workflow.invariants import Four, checked

    held = with_holds(session, ours, merged, [(theirs, origin) for _, theirs, origin in sides])
    base, theirs, origin = sides[-1] if len(sides) == 1 else (ours, merged.tree, sides[-1][2])
    found = checked(session, said, Four(base, ours, theirs, held.tree), origin)
    if session.account is not None:
        session.account.hear_marks(session, ours, found.tree, sides)
    return replace(held, tree=found.tree, preferred=held.preferred or found.fresh)


def base_for(session: Session, head: ObjectId, theirs: Theirs, said: Rules, base: Tree) -> Tree:
    """The base of a merge, from that of the common ancestors: tables that come down have one of their own."""
    down = _down_tables(session, theirs, said)
    return session.bases().down_base(base, head, theirs.commit, theirs.branch, down)


def terms_for(session: Session, theirs: Theirs, said: Rules, prefer: str | None) -> MergeTerms:
    """What a merge with ``theirs`` goes by, but for where candidates come from."""
    return MergeTerms(
        takes=lambda table: takes(said, table, theirs.direction),
        policies=policies_by(said),
        adopt_new=session.repo.config.source is None or session.with_schema,
        prefer=prefer,
        explain=session.account.hear if session.account is not None else None,
        hints=hints_by(said),
        follows=session.repo.config.source is None,
    )


def provenance(session: Session) -> Provenance:
    from prontosync.history.provenance import Provenance

    return Provenance(session.commits, session.merge_store, session.engine)


def writers(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> tuple[Writer, Writer]:
    """Who made each side's changes. Between versions of one branch nobody is asked; of the upstream, and of head
    office, every change was judged when it came there, or is its own."""
    if theirs.direction == "same":
        return NOBODY, NOBODY
    ours, other = (writer_of(session.commits, commit, said) for commit in (head, theirs.commit))
    if theirs.direction == "down":
        return ours, replace(other, trusted=True)
    return (replace(ours, trusted=True) if session.repo.config.is_head_office else ours), other


def _owed(session: Session, head: ObjectId, theirs: Theirs, said: Rules) -> bool:
    """Whether a table that waited when theirs was merged has come to the live database since, or is to."""
    tips = session.ancestry.merge_bases([head], theirs.commit)
    here = session.commits.tree(head).tables
    strangers = session.bases().strangers(head, tips)
    wanted = strangers if session.with_schema else strangers & here.keys()
    return any(takes(said, name, theirs.direction) for name in wanted)


def takes(said: Rules, table: str, direction: Direction) -> bool:
    """Whether a table's flow lets it come from theirs (``docs/merging.md``, Places and flows)."""
    flow = rules.flow(said, table)
    return direction == "same" or flow == "shared" or (flow == "down" and direction == "down")


def brings_nothing(session: Session, commits: Sequence[ObjectId]) -> bool:
    """Whether another branch's commits are automatic merges only: merging them would make merges of merges for ever."""
    return all(_automatic(session, commit) for commit in commits)


def _automatic(session: Session, commit: ObjectId) -> bool:
    """Whether a commit holds no edit of its own, nor brings any: a parent that is not here counts as an edit."""
    return session.commits.read(commit).merge and not session.ancestry.boundaries(commit)


def forward_counts(session: Session, head: ObjectId, commit: ObjectId) -> dict[str, Counts]:
    """What a fast-forward brings."""
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
