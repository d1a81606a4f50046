"""Whether the live database is as it was when the head was taken from it, told by its files without reading a table."""

from __future__ import annotations

from collections.abc import Iterable

import prontosync
from prontosync.disk import files
from prontosync.disk.config import located
from prontosync.disk.notes import LeftOutNote, SourceNote
from prontosync.model.ids import ObjectId, object_id
from prontosync.sources.contract import LeftOut
from prontosync.sources.locate import look as look_at
from prontosync.workflow.session import Session


def look(session: Session) -> str | None:
    """What the files of the live database look like now; to be asked before they are read. None where that says
    nothing."""
    source = session.repo.config.source
    if source is None:
        return None
    base = session.repo.top
    return look_at(located(source.url, base), base=base, now_ns=session.world.machine_ns())


def unchanged(session: Session, now: str | None) -> SourceNote | None:
    """What was noted of the live database, where it and all that reading it depends on are as they were."""
    note = session.repo.seen.read()
    live = session.repo.live.read()
    if note is None or now is None or note.source != now or live.pending is not None:
        return None
    if note.settings != _settings(session) or note.counter != live.counter or note.commit != live.commit:
        return None
    return note if session.head() == note.commit else None


def left_out_of(note: SourceNote) -> tuple[LeftOut, ...]:
    """The tables that were not read."""
    return tuple(LeftOut(left.name, left.reason, left.hint) for left in note.left_out)


def remember(session: Session, before: str | None, commit: ObjectId | None, left_out: Iterable[LeftOut]) -> None:
    """Note that the live database, which looked like ``before`` before it was read, held ``commit``."""
    if before is None or commit is None:
        session.repo.seen.remove()
        return
    counter = session.repo.live.read().counter
    left = tuple(LeftOutNote(one.name, one.reason, one.hint) for one in left_out)
    session.repo.seen.write(SourceNote(before, _settings(session), commit, counter, left))


def _settings(session: Session) -> str:
    """By what the live database is read: the configuration, and this version."""
    return object_id(files.read_bytes(session.repo.config_path) + prontosync.__version__.encode())
