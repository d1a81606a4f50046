"""Fetch from, or push to, several remotes: one that fails does not keep the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from prontosync.errors import PRECEDENCE, NotFound, ProntoError
from prontosync.model.names import TAG_PREFIX, RefName, ref_name
from prontosync.workflow.remotes import Transfer, fetch, linked, push, remotes_for_fetch, remotes_for_push
from prontosync.workflow.session import Session

_OF_ONE_REMOTE = frozenset(range(10, 19))


class NoRemote(NotFound):
    id = "no-remote"


class NoSuchBranch(NotFound):
    id = "unknown-branch"


@dataclass
class Exchanged:
    """What was done with each remote, and the errors of those that failed."""

    transfers: list[Transfer] = field(default_factory=list)
    errors: dict[str, ProntoError] = field(default_factory=dict)

    @property
    def error(self) -> ProntoError | None:
        return worst(self.errors)


def fetch_all(session: Session, remotes: Sequence[str] = ()) -> Exchanged:
    """Fetch from the remotes named, or from all; the caller has the lock. Raises NoRemote."""
    result = Exchanged()
    for name in some_remote(remotes_for_fetch(session, remotes)):
        guarded(result.errors, name, partial(_fetch, session, name, result))
    return result


def push_all(session: Session, remotes: Sequence[str] = (), branches: Sequence[str] = ()) -> Exchanged:
    """Push the branches, or the current one, to the remotes named, or to all that take pushes; the caller has the lock.

    Raises NoRemote, NoSuchBranch.
    """
    result = Exchanged()
    refs = [_ref(session, name) for name in branches]
    for name in some_remote(remotes_for_push(session, remotes)):
        guarded(result.errors, name, partial(_push, session, name, refs, result))
    return result


def some_remote(names: Sequence[str]) -> Sequence[str]:
    """The names; raises NoRemote where there are none."""
    if not names:
        raise NoRemote("there is no remote to speak to", "add one: prontosync remote add hub sftp://user@host/path")
    return names


def guarded(errors: dict[str, ProntoError], name: str, action: Callable[[], object]) -> None:
    """Do something with a remote, and keep an error that concerns it alone."""
    try:
        action()
    except ProntoError as error:
        if error.exit not in _OF_ONE_REMOTE:
            raise
        errors[name] = error


def worst(errors: Mapping[str, ProntoError]) -> ProntoError | None:
    """The error that decides the exit code."""
    ranked = {code: number for number, code in enumerate(PRECEDENCE)}
    return min(errors.values(), key=lambda error: ranked.get(error.exit, len(ranked)), default=None)


def _fetch(session: Session, name: str, result: Exchanged) -> None:
    with linked(session, name) as link:
        result.transfers.append(fetch(link))


def _push(session: Session, name: str, refs: Sequence[RefName], result: Exchanged) -> None:
    with linked(session, name) as link:
        result.transfers.append(push(link, refs))


def _ref(session: Session, text: str) -> RefName:
    name = session.repo.branch if text == "HEAD" else ref_name(text)
    for ref in (name, RefName(TAG_PREFIX + name)):
        if session.repo.refs.target(ref) is not None:
            return ref
    raise NoSuchBranch(f'there is no branch or tag "{text}"', "see: prontosync branch")
