"""Snapshot: commit the live database's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prontosync.disk.live import LiveNote
from prontosync.disk.notes import CaptureNote
from prontosync.errors import Moved, Refused
from prontosync.history.commits import EMPTY, Tree
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, Parent, TableState
from prontosync.model.schema import differences
from prontosync.sources.contract import LeftOut, StateRow
from prontosync.workflow import seen
from prontosync.workflow.capture import Capture, prune
from prontosync.workflow.live import AsLive, HoldsTill, LiveReader, LiveTree, keep_pins
from prontosync.workflow.rules import after_edit
from prontosync.workflow.session import Session
from prontosync.workflow.standing import orphans_of

if TYPE_CHECKING:
    from prontosync.history.captured_rows import Missed

ALWAYS_ALLOWED_DELETES = 100


class MassDeletion(Refused):
    """More rows of a table are gone than ``max_deletes`` allows."""

    id = "mass-deletion"


class RestoredCopy(Moved):
    """The live database is older than what was last written to it."""

    id = "restored-copy"


@dataclass(frozen=True)
class Snapshot:
    """``commit`` is the new commit, None where nothing changed; ``head`` is where the branch is now. ``missed`` is what
    ``full`` found and no trigger had noted, by table; ``in_full`` are the tables that are tracked and were read in full
    all the same, and why. ``as_live`` is what the live database has of tables in which columns arrived that the branch
    carried; the next apply writes the branch's values there."""

    commit: ObjectId | None
    head: ObjectId | None
    changes: Mapping[str, Changes] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    gone: tuple[str, ...] = ()
    held_seconds: float = 0.0
    missed: Mapping[str, Missed] = field(default_factory=dict)
    in_full: Mapping[str, str] = field(default_factory=dict)
    as_live: Mapping[str, AsLive] = field(default_factory=dict)


def take_snapshot(
    session: Session,
    message: str = "",
    author: str | None = None,
    allow_deletes: Sequence[str] = (),
    accept_copy: bool = False,
    full: bool = False,
) -> Snapshot:
    """Commit what the live database holds; the caller has the repository's lock. ``full``: read every row, whatever is
    known of what changed.

    Raises MassDeletion (13), RestoredCopy (15), SourceBusy (11), SourceUnfit or BadRows (18).
    """
    session.guard_space()
    look = seen.look(session)
    known = None if full or Capture(session, session.head()).due else seen.unchanged(session, look)
    if known is not None:
        return Snapshot(None, known.commit, left_out=seen.left_out_of(known))
    options = _Options(message, author, tuple(allow_deletes), accept_copy, full)
    try:
        taken = _read(session, options, brief=not full and Capture(session, session.head()).promising)
    except HoldsTill:
        taken = _read(session, options, brief=False)
    # Where values are yet to be written, the database is to be read again however it looks.
    if taken.commit is not None:
        orphans_of(session, taken.commit)  # counted while rows are at hand, so that ``status`` need not
    seen.remember(session, None if taken.as_live else look, taken.head, taken.left_out)
    prune(session)
    return taken


@dataclass(frozen=True)
class _Options:
    message: str
    author: str | None
    allow_deletes: tuple[str, ...]
    accept_copy: bool
    full: bool


def _read(session: Session, options: _Options, brief: bool) -> Snapshot:
    """Read the live database and commit it. Raises HoldsTill where ``brief`` is too short."""
    store = session.repo.objects
    with store.batch():
        with session.need_source().read(brief=brief) as live:
            settle_pending(session, live.state_row)
            check_copy(session, live.state_row, options.accept_copy)
            head = session.head()
            capture = Capture(session, head, options.full)
            found = LiveReader(session, store, head, capture).read(live)
            marks = capture.marks(live, found)
            in_full = {**live.untracked, **live.doubts}
        found.held_seconds = live.held_seconds
        guard_deletes(session, session.commits.tree(head) if head else EMPTY, found, options.allow_deletes)
        commit = _commit(session, head, found, options.message, options.author)
    now = commit or head
    note = capture.note(now, marks) if now else None
    return _finish(session, head, commit, found, note, capture.missed, in_full)


def settle_pending(session: Session, row: StateRow | None) -> None:
    """After a crash between the database's commit and ours: advance the branch to what the database says it holds."""
    note = session.repo.live.read()
    if note.pending is None:
        return
    written = row is not None and row.repository == session.repo.id and row.commit == note.pending
    if written and row is not None:
        before = session.head()
        if before != note.pending:
            session.advance(session.repo.branch, note.pending)
            session.journal("recover", before=before, after=note.pending, branch=session.repo.branch)
        session.repo.live.write(LiveNote(note.pending, None, row.counter))
    else:
        session.repo.live.write(LiveNote(note.commit, None, note.counter))


def check_copy(session: Session, row: StateRow | None, accept: bool = False) -> None:
    """Raises RestoredCopy where the live database is not the one that was last written to. ``accept`` takes it as it
    is."""
    note = session.repo.live.read()
    counter = row.counter if row is not None else 0
    if counter == note.counter:
        return
    if accept:
        session.repo.live.write(LiveNote(note.commit, None, counter))
        return
    foreign = row is not None and row.repository != session.repo.id
    raise RestoredCopy(
        _copy_message(session, row, foreign, counter < note.counter),
        "take the rows it lacks from the branch: prontosync snapshot --recover; "
        "or accept it as it is: prontosync snapshot --accept-copy",
    )


def guard_deletes(session: Session, before: Tree, found: LiveTree, allowed: Sequence[str]) -> None:
    """Raises MassDeletion where more of a table is gone than the configuration allows."""
    for name, changes in found.changes.items():
        if name in before.tables:
            deleted = _deleted(session, name, before.tables[name], found.tree.tables[name], changes)
            check_deletes(session, name, deleted, before.tables[name].rows, allowed)
    for name in found.gone:
        if session.hints(name).gone:
            continue
        check_deletes(session, name, before.tables[name].rows, before.tables[name].rows, allowed, dropped=True)


def _deleted(session: Session, name: str, before: TableState, now: TableState, changes: Changes) -> int:
    """How many rows are gone. Where columns changed, all rows count as changed, and their keys are looked for."""
    from prontosync.history.diff import keys_gone
    from prontosync.tables.reader import StoredTable

    old, new = (StoredTable(session.repo.objects, session.engine, name, state) for state in (before, now))
    if before.schema == now.schema or not differences(old.schema, new.schema):
        return changes.deleted
    return keys_gone(old, new)


def check_deletes(
    session: Session, table: str, deleted: int, rows: int, allowed: Sequence[str], dropped: bool = False
) -> None:
    """The guard for one table (``docs/merging.md``, Guards)."""
    source = session.repo.config.source
    share = source.max_deletes if source else 1.0
    if deleted <= max(ALWAYS_ALLOWED_DELETES, int(share * rows)) or table in allowed:
        return
    what = (
        f'table "{table}" is gone with its {rows} rows'
        if dropped
        else f'{deleted} of {rows} rows of table "{table}" are gone'
    )
    raise MassDeletion(f"{what}: more than the configuration allows", f'if that is meant: --allow-deletes "{table}"')


def _commit(
    session: Session, head: ObjectId | None, found: LiveTree, message: str, author: str | None
) -> ObjectId | None:
    before = session.commits.tree(head) if head else None
    if before is not None and before == found.tree:
        return None
    parents = (Parent(head, session.repo.branch),) if head else ()
    policy = after_edit(session, head)
    return session.commits.add(found.tree, parents, session.stamp(author), message, policy=policy)


def _finish(
    session: Session,
    head: ObjectId | None,
    commit: ObjectId | None,
    found: LiveTree,
    captured: CaptureNote | None,
    missed: Mapping[str, Missed],
    in_full: Mapping[str, str],
) -> Snapshot:
    now = commit or head
    if now is not None:
        keep_pins(session, now, found.pins)
    if commit is not None:
        session.advance(session.repo.branch, commit)
        session.journal("snapshot", commit=commit)
    note = session.repo.live.read()
    if note.commit != now:
        session.repo.live.write(LiveNote(now, None, note.counter))
    if now is not None:
        session.repo.pins.keep_only({now})
    if captured is not None:
        session.repo.captured.write(captured)
    else:
        session.repo.captured.remove()
    changes = {name: change for name, change in found.changes.items() if commit is not None}
    return Snapshot(
        commit, now, changes, found.left_out, found.gone, found.held_seconds, missed, in_full, found.as_live
    )


def _copy_message(session: Session, row: StateRow | None, foreign: bool, older: bool) -> str:
    if foreign and row is not None:
        return f'the live database was last written to by another repository (branch "{row.branch}")'
    if not older:
        return "the live database was written to after the last run that this repository remembers"
    which = f"a copy of commit {row.commit[:12]}" if row else "a copy made before the first merge"
    return f"the live database was restored from {which}: rows that the branch holds are missing from it"
