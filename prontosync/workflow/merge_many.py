"""Several branches merged at once: one run, one commit, one apply; the rows and candidates are those of one merge after
the other.

The commit's parents are ours and, in a fixed order, the branches that brought something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prontosync.disk.objects import OverlayObjectStore, ScratchObjectStore
from prontosync.history.bases import Joined
from prontosync.history.disputes import Disputes, Origin
from prontosync.history.merge import Counts, Merged
from prontosync.history.merge_many import Incoming, added, merge_many
from prontosync.history.reach import Reach
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.model.objects import Parent
from prontosync.model.rules import Rules, renumbers
from prontosync.workflow import rules
from prontosync.workflow.integrate import Forecast, Next, Outcome, forecast, integrate
from prontosync.workflow.merge import (
    Theirs,
    UnknownSide,
    accepted,
    again,
    base_for,
    branch_of,
    brings_nothing,
    build_merge,
    news_below,
    preferred_side,
    provenance,
    takes,
    terms_for,
    theirs_of,
    writers,
)
from prontosync.workflow.session import Session
from prontosync.workflow.states import scratch_folder
from prontosync.workflow.stores import stores_matching

_ORDER = {"same": 0, "down": 1, "up": 2}
_NAMED = 3


def merge(
    session: Session,
    revs: Sequence[str],
    prefer: str | None = None,
    message: str = "",
    allow_deletes: Sequence[str] = (),
) -> Outcome:
    """Merge revisions into the current branch and the live database; the caller has the lock."""
    sides = sides_of(session, revs)
    preferred = _preferred(session, sides, prefer)
    return integrate(session, "merge", lambda head: build_all(session, head, sides, preferred, message), allow_deletes)


def merge_forecast(session: Session, revs: Sequence[str], prefer: str | None = None) -> Forecast:
    """What ``merge`` would do, from the head as it is."""
    sides = sides_of(session, revs)
    preferred = _preferred(session, sides, prefer)
    return forecast(session, lambda head: build_all(session, head, sides, preferred))


def matching(session: Session, patterns: Sequence[str]) -> list[str]:
    """The branches but ours whose names as revisions match one of the patterns. Raises NoStores."""
    ours = session.repo.branch
    return [one.ref for one in stores_matching(session, patterns) if one.ref != ours] if patterns else []


def sides_of(session: Session, revs: Sequence[str]) -> list[Theirs]:
    """What revisions name as other sides, each once, in the order in which they are merged: versions of our own branch,
    the upstream, then the others by name; of one branch first what is longest."""
    found = list(dict.fromkeys(theirs_of(session, rev) for rev in dict.fromkeys(revs)))
    return sorted(found, key=lambda t: (_ORDER[t.direction], t.branch, -session.ancestry.depth(t.commit), t.commit))


def build_all(
    session: Session,
    head: ObjectId,
    sides: Sequence[Theirs],
    preferred: Mapping[Theirs, str | None] | None = None,
    message: str = "",
) -> Next:
    """The commit that merges all ``sides`` into ``head``; none where they bring nothing. Where one brings something, it
    is an ordinary merge, or a fast-forward."""
    prefer = preferred or {}
    if session.account is not None:
        session.account.clear()
    forward = _forwarded(session, head, sides)
    now = forward.commit or head
    said = _rules(session, now, sides)
    if len(sides) > 1 and renumbers(said):
        return _one_by_one(session, now, sides, prefer, message, forward)
    session.said = said
    chosen = _Choice(session, now, said)
    for theirs in sides:
        chosen.consider(theirs, prefer.get(theirs))
    if not chosen.sides:
        calm = next((theirs for theirs in sides if theirs.direction == "down"), sides[0] if sides else None)
        return _both(forward, again(session, now, calm, said)) if calm else forward
    if len(chosen.sides) == 1:
        (theirs,) = chosen.sides
        return _both(forward, build_merge(session, now, theirs, prefer.get(theirs), message))
    return _both(forward, _build(session, now, chosen, message))


def _one_by_one(
    session: Session,
    head: ObjectId,
    sides: Sequence[Theirs],
    prefer: Mapping[Theirs, str | None],
    message: str,
    before: Next,
) -> Next:
    """A commit for each branch: where rows get new keys, a commit says of one branch which of its rows moved."""
    now = before
    for theirs in sides:
        step = build_merge(session, now.commit or head, theirs, prefer.get(theirs), message)
        now = _both(now, step)
    return now


@dataclass
class _Choice:
    """Which branches bring something to ``head``, each seen after those before it, and with which base."""

    session: Session
    head: ObjectId
    said: Rules
    sides: list[Theirs] = field(default_factory=list)
    incoming: list[Incoming] = field(default_factory=list)

    def __post_init__(self) -> None:
        session = self.session
        self._reach, self._bases = Reach(session.ancestry, [self.head]), session.bases()
        tree = session.commits.tree(self.head)
        self._tables, self._dropped = set(tree.tables), tree.dropped
        self._joined: list[Joined] = []
        self._depth = session.ancestry.depth(self.head)

    def consider(self, theirs: Theirs, prefer: str | None, *, always: bool = False) -> None:
        """Take a branch where it brings something, or ``always``."""
        session = self.session
        new, tips = self._reach.beyond(theirs.commit)
        if theirs.direction == "same" and not new:
            return  # an older version of our own branch owes nothing
        strange = self._bases.strangers(self.head, tips, self._joined)
        wanted = strange if session.with_schema else strange & self._tables
        owed = any(takes(self.said, name, theirs.direction) for name in wanted)
        owed = owed or news_below(session, self.head, theirs, self.said)
        idle = not new or (theirs.direction != "same" and brings_nothing(session, new))
        if idle and not owed and not always:
            return
        base = self._bases.base_at(tips, self.head, theirs.commit, self._joined)
        base = base_for(session, self.head, theirs, self.said, base)
        tree = session.commits.tree(theirs.commit)
        terms = terms_for(session, theirs, self.said, prefer)
        self.sides.append(theirs)
        origin = Origin(theirs.branch, theirs.commit, "", session.now())
        who = writers(session, self.head, theirs, self.said)
        self.incoming.append(Incoming(base, tree, origin, terms, *who))
        if terms.adopt_new:
            came = tree.tables.keys() - base.tables.keys() - set(self._dropped)
            self._tables |= {name for name in came if terms.takes(name)}
        self._reach.add(theirs.commit)
        self._depth = 1 + max(self._depth, session.ancestry.depth(theirs.commit))
        self._joined.append(Joined(theirs.commit, self._depth, frozenset((*self._tables, *self._dropped))))


def _forwarded(session: Session, head: ObjectId, sides: Sequence[Theirs]) -> Next:
    """The newer versions of our branch that it fast-forwards to."""
    now = Next(None)
    for theirs in sides:
        step = head if now.commit is None else now.commit
        if theirs.direction == "same" and step != theirs.commit and session.ancestry.is_ancestor(step, theirs.commit):
            now = _both(now, build_merge(session, step, theirs))
    return now


def _both(first: Next, then: Next) -> Next:
    """Two steps as one."""
    if first.commit is None or then.commit is None:
        return then if first.commit is None else first
    names = [*first.counts, *(name for name in then.counts if name not in first.counts)]
    counts = {name: added(first.counts.get(name, Counts()), then.counts.get(name, Counts())) for name in names}
    forward = first.fast_forward and then.fast_forward
    aside, moved = (*first.unmerged, *then.unmerged), (*first.renumbered, *then.renumbered)
    return Next(then.commit, True, forward, counts, (*first.waiting, *then.waiting), aside, moved)


def merged_all(
    session: Session, head: ObjectId, sides: Sequence[Theirs], said: Rules, prefer: Mapping[Theirs, str | None]
) -> Merged:
    """The merge of several branches, whether or not they bring something, without a commit."""
    chosen = _Choice(session, head, said)
    for theirs in sides:
        chosen.consider(theirs, prefer.get(theirs), always=True)
    return _merged(session, head, chosen)


def _merged(session: Session, head: ObjectId, chosen: _Choice) -> Merged:
    ours = session.commits.tree(head)
    origin = Origin(session.repo.branch, head, "", session.now())
    known = provenance(session)

    def trace(table: str, disputes: Disputes, commit: ObjectId) -> None:
        known.refine(table, disputes, {commit})

    with scratch_folder(session.repo.tmp) as folder:
        scratch = OverlayObjectStore(ScratchObjectStore(folder), session.merge_store, sparing=False)
        result = merge_many(scratch, session.engine, ours, origin, chosen.incoming, trace, session.progress)
    sides = [(one.base, one.theirs, one.origin) for one in chosen.incoming]
    return accepted(session, chosen.said, ours, result, sides)


def _build(session: Session, head: ObjectId, chosen: _Choice, message: str) -> Next:
    result = _merged(session, head, chosen)
    said, commits = chosen.said, [theirs.commit for theirs in chosen.sides]
    rules.tell_contradictions(session, said)
    policy = rules.named(session, said, head, *commits)
    parents = (Parent(head, session.repo.branch), *(Parent(t.commit, t.branch) for t in chosen.sides))
    words = message or _message(session, chosen.sides)
    automatic = not result.preferred and not rules.is_new(session, said, head, *commits)
    aside = [conflict.table for conflict in result.unmerged]
    commit = session.commits.add(result.tree, parents, session.stamp(), words, automatic, policy, aside)
    return Next(commit, True, counts=result.counts, waiting=result.waiting, unmerged=result.unmerged)


def _rules(session: Session, head: ObjectId, sides: Sequence[Theirs]) -> Rules:
    """The rules in force for a merge of all sides: the newest of theirs and ours."""
    found = [rules.in_force(session, head, theirs.commit, theirs.branch) for theirs in sides]
    return max(found, key=lambda said: said.version, default=rules.in_force(session, head))


def _message(session: Session, sides: Sequence[Theirs]) -> str:
    names = list(dict.fromkeys(theirs.branch for theirs in sides))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"merge {', '.join(names[:_NAMED])}{more} into {session.repo.branch}"


def _preferred(session: Session, sides: Sequence[Theirs], prefer: str | None) -> dict[Theirs, str | None]:
    """For each side what ``--prefer`` says there: a branch among them only where it is that branch. Raises
    UnknownSide."""
    if prefer is None or prefer in ("ours", "theirs", session.repo.branch) or len(sides) == 1:
        return {theirs: preferred_side(session, theirs, prefer) for theirs in sides}
    named = {theirs for theirs in sides if theirs.branch in (prefer, branch_of(session, RefName(prefer)))}
    if not named:
        raise UnknownSide(
            f'"{prefer}" is no side of this merge', f"prefer ours, theirs, {session.repo.branch} or one of the others"
        )
    return {theirs: "theirs" if theirs in named else None for theirs in sides}
