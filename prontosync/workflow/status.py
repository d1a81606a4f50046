"""Status: what changed in the live database, how this branch stands to the remotes, what is open, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prontosync.disk.notes import OrphanNote
from prontosync.errors import ProntoError
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.model.objects import Changes
from prontosync.sources.contract import LeftOut
from prontosync.workflow import rules
from prontosync.workflow.merge import branch_of, brings_nothing
from prontosync.workflow.remotes import remotes_for_push
from prontosync.workflow.session import Session
from prontosync.workflow.snapshot import check_copy
from prontosync.workflow.standing import OpenCount, open_counts, orphans_of
from prontosync.workflow.states import LiveState, live_state, remote_branches
from prontosync.workflow.versions import Aside, Carried, asides, carried


@dataclass(frozen=True)
class Standing:
    """How the branch stands to a remote's: commits that only we have, and commits that only it has."""

    ref: RefName
    ahead: int
    behind: int


@dataclass(frozen=True)
class Status:
    """``changes`` and what follows it are of the live database, and empty without one.

    ``other`` is the branch of the same name on the first remote that is pushed to, None where it was never seen.
    ``waiting`` are tables that the upstream has and the live database lacks. ``trouble`` is what keeps the next run
    from working as usual, or what it will mend, with a hint. ``carried`` are columns that the branch has and the live
    database lacks, ``asides`` tables that do not go together with those of other branches.
    """

    branch: RefName
    head: ObjectId | None
    conflicts: int
    ahead: int
    behind: int
    other: Standing | None = None
    upstream: Standing | None = None
    last_sync: Mapping[str, Any] | None = None
    has_source: bool = False
    remotes: tuple[str, ...] = ()
    changes: Mapping[str, Changes] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    waiting: tuple[str, ...] = ()
    held_seconds: float = 0.0
    trouble: tuple[ProntoError, ...] = ()
    carried: Mapping[str, Carried] = field(default_factory=dict)
    asides: tuple[Aside, ...] = ()
    open: tuple[OpenCount, ...] = ()
    orphans: tuple[OrphanNote, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything is to be done: live changes, commits to push or to merge, open conflicts."""
        missing = self.upstream.behind if self.upstream else 0
        return bool(self.changes or self.gone or self.ahead or self.behind or missing or self.conflicts or self.trouble)


class Unfinished(ProntoError):
    """Not raised: told by ``status``."""

    id = "unfinished"


def status(session: Session) -> Status:
    """Read the live database against the branch; nothing is changed. Raises what reading it raises (11, 17, 18)."""
    head, branch = session.head(), session.repo.branch
    other, upstream = _other(session, head), _upstream(session, head)
    opened = open_counts(session, session.commits.tree(head)) if head else ()
    known = Status(
        branch,
        head,
        sum(one.number for one in opened),
        other.ahead if other else _unpushed(session, head),
        other.behind if other else 0,
        other,
        upstream,
        session.repo.journal.last("sync"),
        session.source is not None,
        tuple(sorted(session.repo.config.remotes)),
        asides=tuple(asides(session, head)) if head else (),
        open=opened,
        orphans=orphans_of(session, head) if head else (),
    )
    if session.source is None:
        return replace(known, trouble=_rules_trouble(session))
    with live_state(session) as live:
        return _with_live(session, known, live)


def _with_live(session: Session, known: Status, live: LiveState) -> Status:
    found = live.found
    before = session.commits.tree(live.base).tables if live.base else {}
    changed = {
        name: counts
        for name, counts in found.changes.items()
        if counts or name not in before or found.tree.tables[name].schema != before[name].schema
    }
    return replace(
        known,
        changes=changed,
        gone=found.gone,
        left_out=found.left_out,
        waiting=_waiting(session, live),
        held_seconds=found.held_seconds,
        trouble=_trouble(session, live),
        carried=carried(session, live.base) if live.base else {},
    )


def _trouble(session: Session, live: LiveState) -> tuple[ProntoError, ...]:
    found = (*_interrupted(session, live), *_missing_upstream(session), *_unknown_tables(session, live))
    return (*found, *_rules_trouble(session))


def _rules_trouble(session: Session) -> tuple[ProntoError, ...]:
    """Rules of this place's file that are not in force: contradicted by head office's, or not published yet."""
    left_out = rules.contradictions(session, session.repo.config)
    found = [Unfinished(rules.describe(one), "see them all: prontosync rules") for one in left_out]
    if rules.waiting(session):
        words = "the rules of this file are not those in force for the stores"
        found.append(Unfinished(words, "compare: prontosync rules, then publish: prontosync rules commit"))
    return tuple(found)


def _missing_upstream(session: Session) -> tuple[ProntoError, ...]:
    """An upstream that its remote was never seen to have: its prices would never arrive."""
    store = session.repo.config.store
    upstream = store.upstream if store else None
    if upstream is None or session.repo.refs.target(RefName(upstream)) is not None:
        return ()
    remote = upstream.partition("/")[0]
    if not session.repo.remembered.refs(remote):
        return ()
    return (Unfinished(f'upstream "{upstream}" is not on remote "{remote}"', "see: prontosync branch --all"),)


def _unknown_tables(session: Session, live: LiveState) -> tuple[ProntoError, ...]:
    """Sections of the configuration that are about no table: a misspelt one leaves the table without its rules."""
    known = {*live.found.tree.tables, *live.found.gone, *(left.name for left in live.found.left_out)}
    config = session.repo.config
    said = {*config.tables, *(one.table for one in config.invariants.values())}
    other = [name for name in said if name not in known and session.selection.chosen(name)]
    return tuple(
        Unfinished(
            f'the configuration has rules for table "{name}", which is not there', "check the name in prontosync.toml"
        )
        for name in sorted(other)
    )


def _interrupted(session: Session, live: LiveState) -> tuple[ProntoError, ...]:
    note = session.repo.live.read()
    if note.pending is not None:
        written = live.base == note.pending
        what = "and is in the live database" if written else "and did not reach the live database"
        return (Unfinished(f"a merge was interrupted {what}", "the next run goes on from there: prontosync sync"),)
    try:
        check_copy(session, live.row)
    except ProntoError as error:
        return (error,)
    return ()


def _waiting(session: Session, live: LiveState) -> tuple[str, ...]:
    """Tables of the upstream that flow here and that the live database does not have."""
    config = session.repo.config
    upstream = config.store.upstream if config.store else None
    target = session.repo.refs.target(RefName(upstream)) if upstream else None
    if target is None:
        return ()
    there = session.commits.tree(target).tables
    said = rules.in_force(session, live.base, target, upstream.partition("/")[2] if upstream else None)
    here = {*live.found.tree.tables, *live.found.tree.dropped, *(left.name for left in live.found.left_out)}
    ended = session.hints
    return tuple(sorted(n for n in there if n not in here and rules.flow(said, n) != "own" and not ended(n).gone))


def _other(session: Session, head: ObjectId | None) -> Standing | None:
    pushed = remotes_for_push(session, [])
    return _standing(session, head, RefName(f"{pushed[0]}/{session.repo.branch}")) if pushed else None


def _upstream(session: Session, head: ObjectId | None) -> Standing | None:
    store = session.repo.config.store
    if store is None or store.upstream is None:
        return None
    ref = RefName(store.upstream)
    if branch_of(session, ref) == session.repo.branch:
        return None
    found = _standing(session, head, ref)
    there = remote_branches(session).get(ref)
    if found is None or there is None or not brings_nothing(session, _only_there(session, head, there)):
        return found
    return replace(found, behind=0)


def _standing(session: Session, head: ObjectId | None, ref: RefName) -> Standing | None:
    there = remote_branches(session).get(ref)
    if there is None:
        return None
    mine = [head] if head else []
    return Standing(ref, len(session.ancestry.only_in(mine, [there])), len(_only_there(session, head, there)))


def _only_there(session: Session, head: ObjectId | None, there: ObjectId) -> list[ObjectId]:
    return session.ancestry.only_in([there], [head] if head else [])


def _unpushed(session: Session, head: ObjectId | None) -> int:
    """Where the remote lacks our branch, all its commits are ahead; without a remote, none is."""
    if head is None or not remotes_for_push(session, []):
        return 0
    return len(session.ancestry.only_in([head], []))
