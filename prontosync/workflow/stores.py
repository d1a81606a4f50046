"""Stores: the branches that stand for places, chosen by pattern, and where each was at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from prontosync.errors import NotFound
from prontosync.model.ids import ObjectId
from prontosync.model.names import TAG_PREFIX, RefName
from prontosync.workflow.session import Session

PREFIX = "stores/"
NAMED = 5


class NoStores(NotFound):
    id = "no-stores"


@dataclass(frozen=True)
class StoreBranch:
    """``ref`` is the branch as a revision names it, ``branch`` its own name without the remote."""

    ref: RefName
    branch: str
    commit: ObjectId

    @property
    def store(self) -> str:
        """The store's name."""
        return self.branch.removeprefix(PREFIX)


def stores_matching(session: Session, patterns: Sequence[str]) -> list[StoreBranch]:
    """Every branch whose name as a revision matches one of the patterns (``*``, ``?``, ``[…]``), in the order of their
    names; one and the same branch at one commit once. Raises NoStores."""
    found = [one for one in _branches(session) if any(fnmatchcase(one.ref, pattern) for pattern in patterns)]
    if not found:
        said = " or ".join(f'"{pattern}"' for pattern in patterns)
        raise NoStores(f"no branch here matches {said}", "see: prontosync branch --all; fetch them: prontosync fetch")
    return _ordered({(one.branch, one.commit): one for one in reversed(found)}.values())


def every_store(session: Session) -> list[StoreBranch]:
    """All branches but head office's, each once: where several remotes have it, or a remote and we, the one with the
    longest history. Raises NoStores."""
    office = _office(session)
    best: dict[str, StoreBranch] = {}
    for one in _branches(session):
        if one.branch != office:
            best[one.branch] = max(best.get(one.branch, one), one, key=lambda b: session.ancestry.depth(b.commit))
    if not best:
        raise NoStores("there is no branch of a store here", "fetch them: prontosync fetch")
    return _ordered(best.values())


def at_moment(session: Session, stores: Sequence[StoreBranch], when: str) -> list[StoreBranch]:
    """The same at a moment (what ``@{…}`` takes). Those that did not exist yet are left out, and a note tells. Raises
    NoStores where none did, or BadRevision."""
    revisions = session.revisions
    found = [(one, revisions.last_before(one.commit, when)) for one in stores]
    there = [StoreBranch(one.ref, one.branch, commit) for one, commit in found if commit is not None]
    missing = [one.ref for one, commit in found if commit is None]
    if not there:
        raise NoStores(f"none of these {len(stores)} branches existed at @{{{when}}}", "choose a later moment")
    if missing:
        names = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
        session.world.note(f"{len(missing)} of {len(stores)} branches did not exist yet at @{{{when}}}: {names}")
    return there


def _branches(session: Session) -> list[StoreBranch]:
    refs, remotes = session.repo.refs, session.repo.config.remotes
    found = []
    for ref in sorted(refs.names()):
        target = None if ref.startswith(TAG_PREFIX) else refs.target(ref)
        if target is not None:
            first, _, rest = ref.partition("/")
            found.append(StoreBranch(ref, rest if first in remotes else ref, target))
    return found


def _office(session: Session) -> str:
    """Head office's branch: the upstream's, or ours where there is none."""
    store = session.repo.config.store
    return store.upstream.partition("/")[2] if store and store.upstream else session.repo.branch


def _ordered(found: Iterable[StoreBranch]) -> list[StoreBranch]:
    return sorted(found, key=lambda one: (one.branch, one.ref))
