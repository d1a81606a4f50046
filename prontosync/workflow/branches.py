"""Branches and tags of this repository: made, moved to, taken away."""

from __future__ import annotations

from dataclasses import dataclass

from prontosync.errors import NotFound, Refused, UsageError
from prontosync.model.ids import ObjectId
from prontosync.model.names import TAG_PREFIX, BadName, RefName, ref_name
from prontosync.workflow.session import Session
from prontosync.workflow.states import remote_branches, resolve


class UnknownBranch(NotFound):
    id = "unknown-branch"


class RefExists(UsageError):
    id = "ref-exists"


class CurrentBranch(Refused):
    id = "current-branch"


class BoundBranch(Refused):
    """The branch is what the live database holds."""

    id = "bound-branch"


@dataclass(frozen=True)
class Branch:
    """``remote`` is the remote that it is of, None for one of ours."""

    name: RefName
    commit: ObjectId | None
    current: bool
    remote: str | None


def list_branches(session: Session, every: bool = False) -> list[Branch]:
    """Ours in name order, the current one even where it has no commit yet; with ``every`` the remotes' too."""
    current, remotes = session.repo.branch, session.repo.config.remotes
    found = {name: target for name in session.repo.refs.names() if (target := session.repo.refs.target(name))}
    ours = [n for n in {*found, current} if not n.startswith(TAG_PREFIX) and n.partition("/")[0] not in remotes]
    result = [Branch(name, found.get(name), name == current, None) for name in sorted(ours)]
    if every:
        theirs = sorted(remote_branches(session).items())
        result += [Branch(name, commit, False, name.partition("/")[0]) for name, commit in theirs]
    return result


def list_tags(session: Session) -> dict[str, ObjectId]:
    """Tags without their prefix, in name order."""
    refs = session.repo.refs
    names = [name for name in refs.names() if name.startswith(TAG_PREFIX)]
    return {name.removeprefix(TAG_PREFIX): target for name in names if (target := refs.target(name))}


def create_branch(session: Session, name: str, rev: str) -> tuple[RefName, ObjectId]:
    """A new branch at a revision. Raises RefExists, BadName, UnknownRevision."""
    return _create(session, _branch_name(session, name), "branch", rev)


def create_tag(session: Session, name: str, rev: str) -> tuple[RefName, ObjectId]:
    """A new tag at a revision; a tag never moves. Raises RefExists, BadName, UnknownRevision."""
    ref_name(name)  # by itself too: hex digits only would be taken for an id
    return _create(session, ref_name(TAG_PREFIX + name), "tag", rev)


def delete_branch(session: Session, name: str) -> ObjectId:
    """Take a branch away; gives where it was. Raises CurrentBranch, UnknownBranch."""
    branch = _branch_name(session, name)
    if branch == session.repo.branch:
        raise CurrentBranch(f'"{branch}" is the current branch', "switch to another one first")
    return _delete(session, branch, "branch")


def delete_tag(session: Session, name: str) -> ObjectId:
    return _delete(session, ref_name(TAG_PREFIX + name), "tag")


def switch(session: Session, name: str, create: bool = False, rev: str = "HEAD") -> tuple[RefName, ObjectId | None]:
    """Make a branch the current one. One that only a remote has starts here where that is; ``create`` makes it at a
    revision. Raises BoundBranch in a repository with a live database."""
    if session.repo.config.source is not None:
        raise BoundBranch(
            f'branch "{session.repo.branch}" is what the live database holds: it cannot be switched',
            "clone the hub into another folder, without --source, and switch there",
        )
    branch = _branch_name(session, name)
    if create:
        create_branch(session, branch, rev)
    elif session.repo.refs.target(branch) is None and branch != session.repo.branch:
        session.advance(branch, _on_a_remote(session, branch))
    session.repo.set_branch(branch)
    session.journal("switch", branch=branch)
    return branch, session.repo.refs.target(branch)


def _create(session: Session, name: RefName, what: str, rev: str) -> tuple[RefName, ObjectId]:
    if session.repo.refs.target(name) is not None:
        raise RefExists(
            f'{what} "{_short(name)}" exists already', f"take it away first: prontosync {what} --delete {_short(name)}"
        )
    commit = resolve(session, rev)
    session.advance(name, commit)
    session.journal(what, ref=name, commit=commit)
    return name, commit


def _delete(session: Session, name: RefName, what: str) -> ObjectId:
    before = session.repo.refs.target(name)
    if before is None:
        raise UnknownBranch(f'there is no {what} "{_short(name)}"', f"see: prontosync {what}")
    session.advance(name, None)
    session.journal(f"{what}-delete", ref=name, commit=before)
    return before


def _branch_name(session: Session, name: str) -> RefName:
    if name.startswith(TAG_PREFIX):
        raise BadName(f'"{name}" is the name of a tag, not of a branch', "choose another first component")
    return ref_name(name, session.repo.config.remotes)


def _on_a_remote(session: Session, branch: RefName) -> ObjectId:
    found = {ref: commit for ref, commit in remote_branches(session).items() if ref.partition("/")[2] == branch}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    if found:
        raise RefExists(
            f'several remotes have a branch "{branch}"', f"choose one: prontosync switch --create {branch} {min(found)}"
        )
    raise UnknownBranch(f'there is no branch "{branch}"', f"make it: prontosync switch --create {branch}")


def _short(name: RefName) -> str:
    return name.removeprefix(TAG_PREFIX)
