"""Change capture switched on and off: triggers in the live database that note the keys touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prontosync.errors import Refused
from prontosync.workflow.session import Session

if TYPE_CHECKING:
    from prontosync.sources.contract import TrackStatus


class CaptureRefused(Refused):
    id = "capture-refused"


def enable(session: Session, tables: Sequence[str]) -> tuple[TrackStatus, ...]:
    """Make the triggers for ``tables``, or for all that can be tracked; the caller has the lock. Raises CaptureRefused
    (13), SourceBusy (11), SourceUnfit (18)."""
    source = session.need_source()
    config = session.repo.config.source
    if config is not None and not config.apply:
        raise CaptureRefused(
            "this repository never writes to its live database (apply = false), and capture needs triggers there",
            "prontosync config set source.apply true",
        )
    found = source.track_enable(list(tables) or None)
    session.journal("track-enable", tables=[one.table for one in found if one.asked])
    return found


def disable(session: Session) -> None:
    """Remove them, and all that they noted; the caller has the lock. Raises SourceBusy (11)."""
    session.need_source().track_disable()
    session.repo.captured.remove()
    session.journal("track-disable")


def status(session: Session) -> tuple[TrackStatus, ...]:
    """Every table, in name order."""
    return session.need_source().track_status()
