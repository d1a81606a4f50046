"""Objects and refs as they are stored, for scripts and for repair."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from prontosync.disk import files
from prontosync.disk.refs import RefMoved
from prontosync.errors import NotFound, UsageError
from prontosync.history.revisions import AmbiguousRevision
from prontosync.model.ids import ObjectId, ObjectName, object_id
from prontosync.model.names import RefName, ref_name
from prontosync.workflow.branches import BoundBranch
from prontosync.workflow.session import Session
from prontosync.workflow.states import resolve

_HEX = re.compile(r"[0-9a-f]{8,64}")


class UnknownObject(NotFound):
    id = "unknown-object"


class BadId(UsageError):
    id = "bad-id"


@dataclass(frozen=True)
class RefChange:
    ref: RefName
    old: ObjectId | None
    new: ObjectId | None


def find_object(session: Session, text: str) -> ObjectName:
    """The object whose id starts with at least 8 hex digits. Raises BadId, AmbiguousRevision, UnknownObject."""
    if not _HEX.fullmatch(text):
        raise BadId(f'"{text}" is not an object id', "write at least 8 of its hex digits")
    found = sorted((n for n in session.repo.objects.names() if n.id.startswith(text)), key=lambda n: n.id)
    if len({name.id for name in found}) > 1:
        raise AmbiguousRevision(f'"{text}" could be {" or ".join(n.id for n in found[:5])}', "write more digits")
    if not found:
        raise UnknownObject(f'there is no object "{text}" here')
    return found[0]


def hash_file(path: Path) -> ObjectId:
    """The address that a file's bytes have as an object. Raises FileMissing."""
    return object_id(files.read_bytes(path))


def update_ref(session: Session, name: str, new: str | None, old: str | None = None) -> RefChange:
    """Move a ref to a revision (None: take it away); with ``old`` only from there. The caller has the lock.

    Raises RefMoved (15) where the ref is elsewhere, BoundBranch for the branch that the live database holds.
    """
    ref = ref_name(name)
    if ref == session.repo.branch and session.repo.config.source is not None:
        raise BoundBranch(
            f'branch "{ref}" is what the live database holds: moving it alone would record old values as new edits',
            "bring changes in with merge, pull or revert, which write the database too",
        )
    target = resolve(session, new) if new is not None else None
    state = session.repo.refs.read(ref)
    before = state.target if state else None
    if old is not None and before != _expected(session, old):
        raise RefMoved(f'ref "{ref}" is at {before or "nothing"}, not at {old}', "look at it: prontosync rev-parse")
    if target != before:
        session.repo.refs.advance_if_at(ref, state, target, session.mover())
        session.journal("update-ref", ref=ref, before=before, after=target)
    return RefChange(ref, before, target)


def _expected(session: Session, text: str) -> ObjectId | None:
    """A revision, or zeros for a ref that must not exist."""
    return None if set(text) == {"0"} else resolve(session, text)
