"""Pull and sync: fetch, snapshot, merge, apply, push, for the remotes of a repository."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from prontosync.errors import NotFound, ProntoError
from prontosync.history.merge import Counts
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.model.renumbering import NewKey
from prontosync.workflow.exchange import guarded, some_remote, worst
from prontosync.workflow.integrate import Forecast, Next, Outcome, forecast, integrate
from prontosync.workflow.merge import Theirs, build_merge, theirs_of
from prontosync.workflow.remotes import (
    Link,
    NotForward,
    Transfer,
    fetch,
    known_remote,
    linked,
    push,
    remotes_for_fetch,
    remotes_for_push,
)
from prontosync.workflow.session import NoHead, Session
from prontosync.workflow.snapshot import Snapshot, take_snapshot

PUSH_TRIES = 5
HERE = ""


class BranchUnknown(NotFound):
    id = "unknown-branch"


@dataclass(frozen=True)
class Pulled:
    """What the fetches did, and the merge; ``outcome`` is None where there was nothing to merge."""

    fetched: tuple[Transfer, ...]
    outcome: Outcome | None


@dataclass
class Synced:
    """What a sync did. ``errors`` did not keep it from the rest: by remote, and under ``HERE`` that of the snapshot
    or merge."""

    snapshot: Snapshot | None = None
    fetched: list[Transfer] = field(default_factory=list)
    outcome: Outcome | None = None
    pushed: list[Transfer] = field(default_factory=list)
    errors: dict[str, ProntoError] = field(default_factory=dict)

    @property
    def error(self) -> ProntoError | None:
        """The one of the errors that decides the exit code."""
        return worst(self.errors)


def pull(
    session: Session, remote: str | None = None, branch: RefName | None = None, allow_deletes: Sequence[str] = ()
) -> Pulled:
    """Fetch, snapshot, merge and apply; the caller has the lock."""
    names = some_remote(remotes_for_fetch(session, [remote] if remote else []))
    fetched = []
    for name in names:
        with linked(session, name) as link:
            fetched.append(fetch(link, [branch] if branch and remote else ()))
    if branch is not None and remote is not None and session.repo.refs.target(RefName(f"{remote}/{branch}")) is None:
        raise BranchUnknown(f'remote "{remote}" has no branch "{branch}"', "see: prontosync branch --all")
    return Pulled(tuple(fetched), integrate_fetched(session, names, branch, "pull", allow_deletes))


def pull_forecast(session: Session, remote: str | None, branch: RefName | None) -> Forecast:
    """What ``pull`` would merge, after fetching."""
    names = some_remote(remotes_for_fetch(session, [remote] if remote else []))
    for name in names:
        with linked(session, name) as link:
            fetch(link, [branch] if branch and remote else ())
    return forecast(session, lambda head: _build_all(session, head, names, branch))


def integrate_fetched(
    session: Session,
    remotes: Sequence[str],
    branch: RefName | None,
    event: str,
    allow_deletes: Sequence[str] = (),
    snapshot: Snapshot | None = None,
) -> Outcome | None:
    """Merge what was fetched: the remotes' branches of our branch's name, and the upstream. A branch that is only there
    becomes ours where we have no commit yet and no live database. With ``apply = false`` nothing is merged.

    ``snapshot`` is one that was just taken, to start from."""
    source = session.repo.config.source
    if source is not None and not source.apply:
        return None
    if session.head() is None and session.source is None and not _adopt(session, remotes, branch):
        return None
    return integrate(session, event, lambda head: _build_all(session, head, remotes, branch), allow_deletes, snapshot)


def sync(session: Session, remotes: Sequence[str] = (), allow_deletes: Sequence[str] = ()) -> Synced:
    """Snapshot, fetch, merge, apply, push. A remote that cannot be reached does not keep the others, nor the snapshot.

    A snapshot or merge that is refused does not keep the commits made before from being pushed. The caller has the
    lock; errors are in the answer.
    """
    result = Synced()
    for name in remotes:
        known_remote(session, name)
    if session.source is not None:
        guarded(result.errors, HERE, partial(_snapshot, session, result, allow_deletes))
    names = remotes_for_fetch(session, remotes)
    pushing = [name for name in remotes_for_push(session, []) if name in names]
    with ExitStack() as stack:
        links: dict[str, Link] = {}
        for name in names:
            guarded(result.errors, name, partial(_open, session, stack, links, name))
        for name, link in links.items():
            guarded(result.errors, name, partial(_fetch, link, result))
        if HERE not in result.errors:
            guarded(result.errors, HERE, partial(_merge, session, names, result, allow_deletes))
        for name in pushing:
            if name in links and name not in result.errors:
                guarded(result.errors, name, partial(_push, session, links[name], result, allow_deletes))
    session.journal("sync", remotes=names, error=result.error.id if result.error else None)
    return result


def _snapshot(session: Session, result: Synced, allow_deletes: Sequence[str]) -> None:
    result.snapshot = take_snapshot(session, allow_deletes=allow_deletes)


def _merge(session: Session, remotes: Sequence[str], result: Synced, allow_deletes: Sequence[str]) -> None:
    result.outcome = integrate_fetched(session, remotes, None, "pull", allow_deletes, result.snapshot)


def _open(session: Session, stack: ExitStack, links: dict[str, Link], name: str) -> None:
    links[name] = stack.enter_context(linked(session, name))


def _fetch(link: Link, result: Synced) -> None:
    result.fetched.append(fetch(link))


def _push(session: Session, link: Link, result: Synced, allow_deletes: Sequence[str]) -> None:
    """Push; where somebody else moved the branch first, merge theirs and try again."""
    for tries_left in reversed(range(PUSH_TRIES)):
        try:
            result.pushed.append(push(link))
            return
        except NotForward:
            if not tries_left:
                raise
            result.fetched.append(fetch(link))
            result.outcome = integrate_fetched(session, [link.name], None, "pull", allow_deletes)


def _build_all(session: Session, head: ObjectId, remotes: Sequence[str], branch: RefName | None) -> Next:
    """One merge after the other, each on top of the last."""
    now, counts, merged, forward = head, dict[str, Counts](), False, False
    waiting: tuple[str, ...] = ()
    renumbered: tuple[NewKey, ...] = ()
    for theirs in _sides(session, remotes, branch):
        step = build_merge(session, now, theirs)
        if step.commit is None:
            continue
        now, forward = step.commit, step.fast_forward and not merged
        merged, waiting, renumbered = True, waiting + step.waiting, renumbered + step.renumbered
        for table, found in step.counts.items():
            counts[table] = _added(counts.get(table, Counts()), found)
    return Next(now if now != head else None, merged, forward, counts, waiting, renumbered)


def _sides(session: Session, remotes: Sequence[str], branch: RefName | None) -> list[Theirs]:
    """The other versions of our branch, or of the one asked for, then the upstream."""
    wanted = [f"{remote}/{branch or session.repo.branch}" for remote in remotes]
    store = session.repo.config.store
    if branch is None and store and store.upstream and store.upstream.partition("/")[0] in remotes:
        wanted.append(store.upstream)
        if session.repo.refs.target(RefName(store.upstream)) is None:
            session.world.note(f'upstream "{store.upstream}" is not there: nothing comes from it')
    known = [ref for ref in dict.fromkeys(wanted) if session.repo.refs.target(RefName(ref)) is not None]
    return [theirs_of(session, ref) for ref in known]


def _adopt(session: Session, remotes: Sequence[str], branch: RefName | None) -> bool:
    """Start our branch where a remote's is. Raises NoHead where a branch was asked for that is nowhere."""
    for remote in remotes:
        target = session.repo.refs.target(RefName(f"{remote}/{branch or session.repo.branch}"))
        if target is not None:
            session.advance(session.repo.branch, target)
            return True
    if branch is not None:
        raise NoHead(f'branch "{session.repo.branch}" has no commits yet', "see: prontosync branch --all")
    return False


def _added(a: Counts, b: Counts) -> Counts:
    return replace(
        a, taken=a.taken + b.taken, merged=a.merged + b.merged, disputed=a.disputed + b.disputed, held=a.held + b.held
    )
