"""Adding and checking remotes: a remote is used only once it is known to keep what is published there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from prontosync.disk.config import RemoteConfig
from prontosync.disk.config_edit import RemoteExists, add_remote
from prontosync.model.names import simple_name
from prontosync.workflow.remotes import known_remote, linked, open_remote
from prontosync.workflow.session import Session, World
from prontosync.workflow.start import kept_address


@dataclass(frozen=True)
class Probed:
    """A remote that answers: its hub's id, and what is to be known about it. ``push`` false: only read from."""

    remote: str
    url: str
    hub: str
    push: bool
    warnings: tuple[str, ...]


def add(session: Session, remote: RemoteConfig) -> Probed:
    """Probe a remote and note it in the configuration; the caller has the lock.

    Raises RemoteExists, BadName, and what ``check`` raises: nothing is noted then.
    """
    name = simple_name(remote.name, "remote")
    if name in session.repo.config.remotes:
        raise RemoteExists(f'remote "{name}" exists already', f"prontosync remote remove {name}")
    kept = _kept(remote, session.world)
    with open_remote(session, kept) as opened:
        found = Probed(name, kept.url, opened.hub_id(), kept.push, tuple(opened.probe()) if kept.push else ())
    add_remote(session.repo.config_path, kept)
    session.journal("remote-add", remote=name)
    return found


def check(session: Session, name: str) -> Probed:
    """Probe a remote again. Raises UnknownRemote (17), Refused (13) for what cannot publish safely, Unreachable (12).

    One that is never pushed to (``push = false``) needs no more than to be readable.
    """
    with linked(session, name) as link:
        push = link.config.push
        hub = link.remote.hub_id()
        return Probed(name, link.config.url, hub, push, tuple(link.remote.probe()) if push else ())


def accept_rollback(session: Session, name: str) -> None:
    """Forget what was seen of a remote's refs; the caller has the lock. Raises UnknownRemote."""
    known_remote(session, name)
    session.repo.remembered.forget(name)
    session.journal("accept-rollback", remote=name)


def _kept(remote: RemoteConfig, world: World) -> RemoteConfig:
    """With paths made absolute, so that cron may start anywhere."""
    return replace(
        remote,
        url=kept_address(remote.url, world),
        identity=_absolute(remote.identity, world.folder),
        known_hosts=_absolute(remote.known_hosts, world.folder),
    )


def _absolute(path: str | None, folder: Path) -> str | None:
    return None if path is None else str((folder / path).absolute())
