"""The group ``remote``: the hubs and other places that snapshots are exchanged with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command, group
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.grid import grid
from prontosync.cli.options import connection_options
from prontosync.cli.world import changing, reading

if TYPE_CHECKING:
    from prontosync.disk.config import RemoteConfig
    from prontosync.workflow.probing import Probed

remote = group(
    "remote",
    description="""
    The remotes of this repository: hubs, on an SFTP server or in a folder.

    A store usually has two: its own hub, and head office's, which it only reads (--no-push). They stand in
    prontosync.toml, one section each.
    """,
)


@command(
    "add",
    summary="add a remote, after trying it out",
    within=remote,
    examples=("prontosync remote add backup ../hub-backup", "prontosync remote add --no-push office2 ../hub-office"),
    exits=(10, 11, 12, 13, 14, 17),
)
@click.argument("name", metavar="NAME", help="A name of your choice: a-z, 0-9, . _ -.")
@click.argument("url", metavar="URL", help="A folder, or sftp://user@host/path.")
@connection_options
@click.option("--no-push", is_flag=True, help="Only ever read from it: push and sync leave it alone unless named.")
def remote_add(
    context: Context,
    name: str,
    url: str,
    identity: str | None,
    known_hosts: str | None,
    fingerprint: str | None,
    no_push: bool,
) -> None:
    """Add the hub at URL as the remote NAME.

    It is tried out first: a server that lets a published file be replaced, or that cannot make hard links, is refused
    (13), and nothing is added. What works but deserves attention is printed as a warning. A hub is made with
    "prontosync init --bare".
    """
    from prontosync.disk.config import RemoteConfig
    from prontosync.workflow import probing

    wanted = RemoteConfig(name, url, identity, known_hosts, fingerprint, not no_push)
    with changing(context) as session:
        found = probing.add(session, wanted)
    _tell(context, [found], f'remote "{name}" added: {found.url}')


@command(
    "list",
    summary="list the remotes",
    within=remote,
    examples=("prontosync remote list", "prontosync remote list --json"),
    exits=(10,),
)
def remote_list(context: Context) -> None:
    """List the remotes, with their addresses, and whether they are pushed to."""
    with reading(context) as session:
        remotes = [one for _, one in sorted(session.repo.config.remotes.items())]
    if context.json:
        output.emit_json([_config_json(one) for one in remotes])
    elif remotes:
        rows = [(one.name, one.url, "" if one.push else "only read from") for one in remotes]
        output.emit_text(grid(("remote", "url", ""), rows, cell=None))
    else:
        output.hint(context, "there is no remote; prontosync remote add hub sftp://user@host/path")


@command(
    "remove",
    summary="forget a remote",
    within=remote,
    examples=("prontosync remote add old ../hub-backup && prontosync remote remove old",),
    exits=(10, 11, 17),
)
@click.argument("name", metavar="NAME", help="The remote's name.")
def remote_remove(context: Context, name: str) -> None:
    """Take the remote NAME out of the configuration.

    Nothing is removed at the other end, and what was fetched from it stays. It is refused (10) while "upstream" names
    it.
    """
    from prontosync.disk.config_edit import remove_remote

    with changing(context) as session:
        remove_remote(session.repo.config_path, name)
        session.repo.remembered.forget(name)
        session.journal("remote-remove", remote=name)
    if context.json:
        output.emit_json({"removed": name})
    else:
        output.note(context, f'remote "{name}" removed')


@command(
    "accept-rollback",
    summary="accept a hub that was restored from a backup",
    within=remote,
    examples=("prontosync remote accept-rollback hub",),
    exits=(10, 11, 17),
)
@click.argument("name", metavar="NAME", help="The remote's name.")
def remote_accept_rollback(context: Context, name: str) -> None:
    """Forget what was last seen of the refs of NAME, because its hub was restored from a backup on purpose.

    A hub whose refs are older than what was seen is refused (14): it may have been tampered with. After this, the next
    fetch takes them as they are, and the next push sends again what the hub lost.
    """
    from prontosync.workflow.probing import accept_rollback

    with changing(context) as session:
        accept_rollback(session, name)
    if context.json:
        output.emit_json({"accepted": name})
    else:
        output.note(context, f'what remote "{name}" holds is taken as it is')
        output.hint(context, f"prontosync fetch {name}, then prontosync push {name}")


@command(
    "check",
    summary="try out a remote again",
    within=remote,
    examples=("prontosync remote check", "prontosync remote check hub"),
    exits=(10, 12, 13, 14, 17),
)
@click.argument("name", metavar="[NAME]", required=False, help="The remote's name. Default: all.")
def remote_check(context: Context, name: str | None) -> None:
    """Try out what a remote must do, and say what this account could write there beyond its own.

    The hub's answers are checked, a few small files are made and removed below its "tmp". One that this repository only
    reads from is not written to.
    """
    from prontosync.workflow import probing
    from prontosync.workflow.exchange import some_remote
    from prontosync.workflow.remotes import remotes_for_fetch

    with reading(context) as session:
        names = some_remote(remotes_for_fetch(session, [name] if name else []))
        found = [probing.check(session, one) for one in names]
    _tell(context, found, "")


def _tell(context: Context, found: list[Probed], done: str) -> None:
    if context.json:
        output.emit_json([_probed_json(one) for one in found] if not done else _probed_json(found[0]))
        return
    if done:
        output.note(context, done)
    else:
        output.emit_text("\n".join(_line(one) for one in found))
    for one in found:
        for warning in one.warnings:
            output.complain([f'warning: remote "{one.remote}": {warning}'])


def _line(one: Probed) -> str:
    state = "publishes safely" if one.push else "readable, never pushed to"
    return f"{escape(one.remote)}: {state}, hub {escape(one.hub)}"


def _probed_json(one: Probed) -> dict[str, Any]:
    return {"remote": one.remote, "url": one.url, "hub": one.hub, "push": one.push, "warnings": one.warnings}


def _config_json(one: RemoteConfig) -> dict[str, Any]:
    return {
        "remote": one.name,
        "url": one.url,
        "push": one.push,
        "identity": one.identity,
        "known_hosts": one.known_hosts,
        "fingerprint": one.fingerprint,
    }
