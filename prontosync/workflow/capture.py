"""Captured changes: of a table whose touched keys the live database notes, only those rows are read.

A note file tells up to where the notes are in which commit. Whatever does not fit together counts as doubt, and the
table is read in full.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from prontosync.disk.notes import CaptureNote, MarkNote
from prontosync.model.ids import ObjectId
from prontosync.sources.contract import MOST_CHANGED, ChangedRows, Mark, SourceState, SourceTable, TableTracking
from prontosync.workflow.session import Session

if TYPE_CHECKING:
    from prontosync.history.captured_rows import CapturedRows, Missed
    from prontosync.history.live_rows import DisputedRows
    from prontosync.history.live_view import LiveView
    from prontosync.model.objects import TableState
    from prontosync.tables.reader import StoredTable
    from prontosync.workflow.live import LiveTree

T = TypeVar("T")
WHILE_HELD = 2_000
"""So many keys a table are looked up at most where the till has to wait for it."""
PRUNE_FROM = 1_000
"""Notes that were read are removed when there are so many of them: that is a write to the live database."""


class Capture:
    """What the notes say of the live database against ``head``. ``full``: check them against a full read instead of
    relying on them."""

    def __init__(self, session: Session, head: ObjectId | None, full: bool = False) -> None:
        self._session, self._full = session, full
        note = session.repo.captured.read()
        self._note = note if note is not None and note.commit == head else None
        self._noted: dict[str, CapturedRows] = {}
        self._read_whole: set[str] = set()
        self.missed: dict[str, Missed] = {}

    @property
    def promising(self) -> bool:
        """Whether it is worth while to open the live database for a short look only."""
        return self._note is not None and not self._full and not self._overdue()

    @property
    def due(self) -> bool:
        """Whether the notes have been relied on for so long that every row is to be read again."""
        return self._note is not None and self._overdue()

    def vouches(self, live: SourceState, table: str) -> bool:
        """Whether it may be known of a table what changed."""
        mark = self._mark(live, table)
        return mark is not None and mark.token == live.tracking[table].token

    def rows(self, live: SourceState, table: StoredTable, disputed: DisputedRows | None) -> TableState | None:
        """The table as it is now, from the rows that were noted; None where it must be read in full."""
        from prontosync.history.captured_rows import CapturedRows, next_state
        from prontosync.history.live_view import live_view

        mark = self._mark(live, table.name)
        if mark is None:
            return None
        view = live_view(table.schema, table.ddl, self._session.hints(table.name))
        if self._full:
            noted = _changed(live, table, view, mark, lambda changed: CapturedRows.of(table, view, changed), None)
            if noted is not None:
                self._noted[table.name] = noted
            return None
        if self._note is None or self._overdue():
            return None
        exact = self._note.exact
        return _changed(
            live,
            table,
            view,
            mark,
            lambda changed: next_state(table, view, changed, disputed, exact),
            disputed,
        )

    def check(self, table: StoredTable, after: TableState) -> None:
        """After a full read: note what the notes had missed."""
        self._read_whole.add(table.name)
        noted = self._noted.pop(table.name, None)
        if noted is None:
            return
        missed = noted.missed(after)
        if missed is not None:
            self.missed[table.name] = missed

    def marks(self, live: SourceState, found: LiveTree) -> dict[str, MarkNote]:
        """Where the notes of ``live``, which was read as ``found``, stand; while it is open."""
        from prontosync.tables.reader import StoredTable

        store, engine = self._session.repo.objects, self._session.engine
        tables = {
            name: StoredTable(store, engine, name, found.tree.tables[name])
            for name in live.tracking
            if name in found.tree.tables
        }
        return {
            name: self._mark_now(live.tracking[name], table, found.more.get(name)) for name, table in tables.items()
        }

    def note(self, commit: ObjectId, marks: dict[str, MarkNote]) -> CaptureNote | None:
        """The note that with these marks the live database was what ``commit`` holds; None where nothing is tracked."""
        if not marks:
            return None
        whole = self._note is None or self._read_whole >= marks.keys()
        full = self._session.now() if whole or self._note is None else self._note.full
        return CaptureNote(commit, True, full, marks)

    def _mark_now(self, tracked: TableTracking, table: StoredTable, more: int | None) -> MarkNote:
        known = self._note.marks.get(table.name) if self._note else None
        pruned = known.pruned if known and known.token == tracked.token else 0
        mark, rows = tracked.mark, table.state.rows + (more or 0)
        still = known is not None and (known.token, known.sequence, known.rows) == (tracked.token, mark.seq, rows)
        highest = known.highest if still and known else None
        if highest is None and more is None:
            highest = _highest(table)
        return MarkNote(tracked.token, mark.seq, mark.r, rows, highest, pruned)

    def _mark(self, live: SourceState, table: str) -> MarkNote | None:
        if self._note is None or table not in live.tracking:
            return None
        return self._note.marks.get(table)

    def _overdue(self) -> bool:
        """Whether it is time to read every row again; a clock that was set back counts as time too."""
        config = self._session.repo.config.source
        if self._note is None or config is None:
            return True
        passed = self._session.world.clock() - datetime.datetime.fromisoformat(self._note.full)
        return not datetime.timedelta(0) <= passed < datetime.timedelta(days=config.full_read)


def _highest(table: StoredTable) -> int | None:
    schema = table.schema
    return table.highest() if [schema.type_of(name) for name in schema.key] == ["int64"] else None


def _changed(
    live: SourceState,
    table: StoredTable,
    view: LiveView,
    mark: MarkNote,
    consume: Callable[[ChangedRows], T],
    also: DisputedRows | None,
) -> T | None:
    """What ``consume`` makes of the rows that were noted since the mark, and of disputed ones."""
    return live.changed(
        table.name,
        Mark(mark.sequence, mark.random),
        mark.token,
        SourceTable(table.name, view.live, table.ddl),
        consume,
        rows=mark.rows,
        highest=mark.highest,
        extra_keys=also.keys.rename_columns(view.live.key) if also else None,
        limit=WHILE_HELD if live.holds_till else MOST_CHANGED,
    )


def moved(session: Session, before: ObjectId, after: ObjectId) -> None:
    """The live database, of which ``before`` was noted, was written to and is to be ``after`` now: what was written was
    noted by the triggers too, so the notes since tell more than what differs from it."""
    note = session.repo.captured.read()
    if note is not None and note.commit == before:
        session.repo.captured.write(note.moved(after))


def prune(session: Session) -> None:
    """Remove notes that were read, where there are many."""
    note, config = session.repo.captured.read(), session.repo.config.source
    if note is None or session.source is None or config is None or not config.apply:
        return
    due = {name: Mark(mark.sequence, mark.random) for name, mark in note.marks.items() if mark.waiting >= PRUNE_FROM}
    if due:
        session.source.track_prune(due)
        session.repo.captured.write(note.pruned(due))
