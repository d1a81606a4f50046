"""Verify: whether this repository, or what a remote holds, is whole and unchanged."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from prontosync.disk.objects import ScratchObjectStore
from prontosync.errors import Damaged, ProntoError
from prontosync.history.commits import Commits
from prontosync.history.verify import Findings, Verifier
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.remote.transfer import Fetch
from prontosync.workflow.remotes import Link, linked
from prontosync.workflow.session import Session
from prontosync.workflow.states import resolve

Sample = tuple[int, int]
_ID = re.compile(r"[0-9a-f]{64}")


def verify(session: Session, rev: str | None = None, sample: Sample | None = None) -> Findings:
    """Every object and ref; with a revision, what that commit needs and its first-parent line."""
    verifier = Verifier(session.commits, session.engine, sample, session.progress)
    if rev is None:
        verifier.objects(session.repo.objects)
        verifier.refs(session.repo.refs)
    else:
        verifier.commit(resolve(session, rev))
    return verifier.findings


def verify_remote(session: Session, name: str, sample: Sample | None = None) -> Findings:
    """Everything that the remote's refs need, downloaded into a scratch folder and checked; and that no ref went back
    behind what was seen of it."""
    session.repo.tmp.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="verify-", dir=session.repo.tmp))
    try:
        with linked(session, name) as link:
            return _checked(session, link, ScratchObjectStore(folder), folder, sample)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(session: Session, link: Link, store: ScratchObjectStore, folder: Path, sample: Sample | None) -> Findings:
    verifier = Verifier(Commits(store), session.engine, sample, session.progress)
    known = session.repo.remembered.refs(link.name)
    for ref in sorted({*link.remote.list_refs(), *known}):
        try:
            tips = _tips(link, ref)
            label = f'fetching "{ref}" from "{link.name}"'
            Fetch(link.remote, store, ref, ref, folder / "tmp", session.progress, label).bring(tips)
        except Damaged as error:
            _note(verifier.findings, ref, error)
            continue
        for tip in tips:
            verifier.commit(tip)
    verifier.objects(store)
    return verifier.findings


def _tips(link: Link, ref: RefName) -> list[ObjectId]:
    """All commits that a ref ever was at, newest first. Raises RolledBack, BrokenChain."""
    remembered = link.remembered(ref)
    if remembered is not None:
        link.remote.read_refs({ref: remembered})
    records = link.remote.read_refs({ref: None})[ref]
    return list(dict.fromkeys(state.target for state, _ in reversed(records) if state.target))


def _note(findings: Findings, ref: RefName, error: ProntoError) -> None:
    """By the object that the message names, else by the ref."""
    named = _ID.search(error.message)
    what = named[0] if named else f"ref {ref}"
    if "lacks" in error.message and named:
        findings.add_missing(what)
    else:
        findings.note(what, error)
