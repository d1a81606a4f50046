"""Repair: get again from the remotes what is damaged or missing here, and send again what a remote lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prontosync.errors import Damaged
from prontosync.history.verify import Findings
from prontosync.model.ids import ObjectId, ObjectName, is_object_id
from prontosync.model.names import RefName
from prontosync.model.progress import Task, counted
from prontosync.remote.contract import Remote
from prontosync.remote.transfer import outgoing
from prontosync.workflow.remotes import linked
from prontosync.workflow.session import Session
from prontosync.workflow.verify import verify


class StillDamaged(Damaged):
    """No remote has it whole."""

    id = "still-damaged"


@dataclass(frozen=True)
class Repaired:
    """The objects that are whole again, and what is still wrong."""

    objects: tuple[ObjectId, ...]
    findings: Findings

    def check(self) -> None:
        """Raises StillDamaged where anything is still wrong."""
        wrong = [*(what for what, _ in self.findings.damaged), *self.findings.missing]
        if wrong:
            others = f" (and {len(wrong) - 1} others)" if len(wrong) > 1 else ""
            raise StillDamaged(
                f"{wrong[0]}{others} is damaged or missing, and no remote has it whole", "see all: prontosync verify"
            )


def repair(session: Session, remotes: Sequence[str]) -> Repaired:
    """Check everything, and replace each object that is damaged or missing by that of the first remote that has it; the
    caller has the lock. What can be computed again and is damaged is removed."""
    session.repo.cache.remove_damaged()
    mended: list[ObjectId] = []
    findings = verify(session)
    while wanted := list(_names(session, findings)):
        fresh: list[ObjectId] = []
        for remote in remotes:
            fresh += _bring(session, remote, [name for name in wanted if name.id not in fresh])
        if not fresh:
            break
        mended += fresh
        findings = verify(session)  # what a missing list named could not be looked at before
    if mended:
        session.journal("repair", objects=len(mended))
    return Repaired(tuple(dict.fromkeys(mended)), findings)


def resend(session: Session, remotes: Sequence[str], branches: Sequence[RefName]) -> list[ObjectId]:
    """Publish every object of the branches (default: the current one) that a remote lacks; the caller has the lock.
    Gives the ids of what was sent. A damaged file on a hub must be removed there first: a published name is never
    written again."""
    sent: list[ObjectId] = []
    for name in remotes:
        with linked(session, name) as link:
            for ref in branches or [session.repo.branch]:
                with session.progress.task(f'sending what "{name}" lacks of "{ref}"', None, "bytes") as task:
                    sent += _resend_ref(session, link.remote, ref, task)
    return list(dict.fromkeys(sent))


def _resend_ref(session: Session, remote: Remote, ref: RefName, task: Task) -> list[ObjectId]:
    tip = session.repo.refs.target(ref)
    sent: list[ObjectId] = []
    if tip is None:
        return sent
    for group in outgoing(session.repo.objects, session.commits, session.ancestry, ref, tip, None):
        absent = set(remote.missing([upload.name for upload in group.uploads]))
        remote.publish([upload for upload in group.uploads if upload.name in absent], task)
        sent += [name.id for name in sorted(absent)]
    return sent


def _names(session: Session, findings: Findings) -> Iterator[ObjectName]:
    """The objects to ask for. Which of two kinds a missing one was is not known: a remote has only one of them."""
    for what in [*(what for what, _ in findings.damaged), *findings.missing]:
        if is_object_id(what):
            both = [ObjectName(ObjectId(what), "json"), ObjectName(ObjectId(what), "parquet")]
            here = [name for name in both if session.repo.objects.path(name).exists()]
            yield from (name for name in here or both if not _is_whole(session, name))


def _is_whole(session: Session, name: ObjectName) -> bool:
    try:
        session.repo.objects.read(name)
    except Damaged:
        return False
    return True


def _bring(session: Session, remote: str, wanted: Sequence[ObjectName]) -> list[ObjectId]:
    """Those that a remote gave. One that is damaged there too does not keep the others."""
    with linked(session, remote) as link:
        brought = []
        for name in counted(wanted, f'getting objects from "{remote}"', len(wanted), "objects", session.progress):
            try:
                brought += _bring_one(session, link.remote, name)
            except Damaged:
                continue
        return brought


def _bring_one(session: Session, remote: Remote, name: ObjectName) -> list[ObjectId]:
    session.repo.tmp.mkdir(exist_ok=True)
    for _, path in remote.fetch([(name, None)], session.repo.tmp):
        if path is not None:
            session.repo.objects.put_right(name, path)
            return [name.id]
    return []
