"""The commands that make a repository, a hub or a database: init, clone, restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.grid import grid
from prontosync.cli.options import connection_options, rev_argument
from prontosync.cli.outcome import DIGITS
from prontosync.cli.world import reading, world_of
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.sources.contract import LeftOut
    from prontosync.workflow.start import Cloned, Started

_SOURCE = "The live database: a path, or sqlite:///path."


class StoreMissing(UsageError):
    id = "store-missing"


class BareTakesNone(UsageError):
    id = "bare-takes-none"


@command(
    "init",
    examples=(
        "prontosync init ../shop --source pos.db --store 012",
        "prontosync init ../headquarters",
        "prontosync init --bare ../hub-013",
    ),
    exits=(10, 11, 12, 13, 14, 16, 17, 18),
)
@click.argument("folder", metavar="[DIR]", default=".", help="Where to make it. Default: here.")
@click.option("--source", metavar="URL", help=_SOURCE)
@click.option("--store", metavar="NAME", help="The store's name: a-z, 0-9, . _ -; its branch is stores/NAME.")
@click.option("--branch", metavar="BRANCH", help="The branch, where it is not stores/NAME (main without a store).")
@click.option("--bare", is_flag=True, help="Make a hub: DIR is a folder or an sftp URL.")
@connection_options
def init(
    context: Context,
    folder: str,
    source: str | None,
    store: str | None,
    branch: str | None,
    bare: bool,
    identity: str | None,
    known_hosts: str | None,
    fingerprint: str | None,
) -> None:
    """Make a repository for a live database, for head office, or a hub.

    With --source and --store it belongs to one store's database, which is read and not changed: the tables found are
    listed with their keys, and those left out with the reason and what to configure. Without --source it is head
    office's, which merges stores. With --bare it is a hub, where the others push to and fetch from; the connection
    options are for its sftp URL.
    """
    from prontosync.workflow import start

    if bare:
        _refuse_words(source, store, branch)
        remote = start.hub_at(folder, world_of(context), identity, known_hosts, fingerprint)
        hub = start.init_bare(remote)
        _tell_hub(context, folder, hub)
        return
    if source is not None and store is None:
        raise StoreMissing("a live database belongs to a store", "add --store NAME")
    started = start.init(context.start / folder, world_of(context), source, store, branch)
    if context.json:
        output.emit_json(_started_json(started))
    else:
        _tell_started(context, started)


@command(
    "clone",
    examples=(
        "prontosync clone ../hub-office ../reports",
        "prontosync clone ../hub-012 ../new-till --store 012 --source ../new-till.db",
    ),
    exits=(10, 11, 12, 13, 14, 16, 17, 18),
)
@click.argument("url", metavar="URL", help="The hub: a folder, or sftp://user@host/path.")
@click.argument("folder", metavar="DIR", help="Where to make the repository: a folder that is new or empty.")
@click.option("--branch", metavar="BRANCH", help="Which branch. Default: the store's, else main, else the only one.")
@click.option("--store", metavar="NAME", help="The store's name. Default, with --source: DIR's name in lower case.")
@click.option("--source", metavar="URL", help=f"{_SOURCE} A new one is filled from the branch.")
@connection_options
def clone(
    context: Context,
    url: str,
    folder: str,
    branch: str | None,
    store: str | None,
    source: str | None,
    identity: str | None,
    known_hosts: str | None,
    fingerprint: str | None,
) -> None:
    """Make a repository with what a hub holds. The hub becomes its remote "hub".

    With --source, a database that does not exist or is empty is built from the branch's newest commit: that is how a
    dead PC comes back. One that holds the same rows is adopted as it is. One that holds others keeps them: its state
    becomes a commit of its own, and the next pull or sync merges both, deleting nothing.
    """
    from prontosync.disk.config import RemoteConfig
    from prontosync.workflow import start

    remote = RemoteConfig(start.HUB, url, _absolute(context, identity), _absolute(context, known_hosts), fingerprint)
    cloned = start.clone(url, context.start / folder, world_of(context), remote, branch, store, source)
    if context.json:
        output.emit_json(_cloned_json(cloned))
    else:
        _tell_cloned(context, cloned)


@command("restore", examples=("prontosync restore HEAD~1 ../before.db",), exits=(10, 11, 13, 14, 16, 17, 18))
@rev_argument(required=True)
@click.argument("url", metavar="URL", help="The new database: a path, or sqlite:///path.")
def restore(context: Context, rev: str, url: str) -> None:
    """Build a database from a snapshot: the same tables, keys, indexes, defaults and rows.

    A database that holds tables already is left alone (18). This repository's own live database is not meant: for a
    dead PC, "prontosync clone --source" does all of it.
    """
    from prontosync.workflow.restore import restore_to
    from prontosync.workflow.states import resolve

    with reading(context) as session:
        restored = restore_to(session, resolve(session, rev), url)
    if context.json:
        output.emit_json({"commit": restored.commit, "tables": restored.tables})
        return
    rows = sum(restored.tables.values())
    output.note(
        context, f'"{url}" now holds {len(restored.tables)} tables, {rows} rows, of commit {restored.commit[:DIGITS]}'
    )


def _absolute(context: Context, path: str | None) -> str | None:
    return str(context.start / path) if path else None


def _refuse_words(source: str | None, store: str | None, branch: str | None) -> None:
    if source or store or branch:
        raise BareTakesNone(
            "a hub has no live database, store or branch of its own", "leave --source, --store, --branch out"
        )


def _tell_hub(context: Context, folder: str, hub: str) -> None:
    if context.json:
        output.emit_json({"hub": hub, "url": folder})
    else:
        output.note(context, f'a hub is in "{folder}"')
        output.hint(context, f"in a repository: prontosync remote add hub {folder}")


def _started_json(started: Started) -> dict[str, Any]:
    return {
        "repository": str(started.top),
        "branch": started.branch,
        "tables": [
            {"table": table.name, "key": list(table.schema.key), "columns": len(table.schema.columns)}
            for table in started.tables
        ],
        "left_out": left_out_json(started.left_out),
    }


def left_out_json(tables: tuple[LeftOut, ...]) -> list[dict[str, str | None]]:
    return [{"table": left.name, "reason": left.reason, "hint": left.hint} for left in tables]


def tell_left_out(context: Context, tables: tuple[LeftOut, ...]) -> None:
    """The tables that are not read: why, and what to configure."""
    for left in tables:
        output.note(context, f'left out: table "{left.name}": {left.reason}')
        if left.hint:
            for line in left.hint.splitlines():
                output.hint(context, line)


def _tell_started(context: Context, started: Started) -> None:
    output.note(context, f'a repository is in "{started.top}", branch {started.branch}')
    if started.tables:
        rows = [(table.name, ", ".join(table.schema.key), len(table.schema.columns)) for table in started.tables]
        output.emit_text(grid(("table", "key", "columns"), rows))
    tell_left_out(context, started.left_out)
    if started.tables:
        output.hint(context, 'prontosync snapshot -m "the first one"')


def _cloned_json(cloned: Cloned) -> dict[str, Any]:
    return {
        "repository": str(cloned.top),
        "branch": cloned.branch,
        "head": cloned.head,
        "source": cloned.source,
        "objects": cloned.fetched.objects,
        "bytes": cloned.fetched.bytes,
        "seconds": round(cloned.fetched.seconds, 3),
    }


_SOURCE_STATES = {
    "restored": "the live database was built from it",
    "adopted": "the live database holds the same rows",
    "differs": "the live database holds other rows, which were kept as a commit of their own",
}


def _tell_cloned(context: Context, cloned: Cloned) -> None:
    at = f" at {cloned.head[:DIGITS]}" if cloned.head else ", which has no commits yet"
    output.note(context, f'a repository is in "{cloned.top}", branch {cloned.branch}{at}')
    if cloned.source is not None:
        output.note(context, _SOURCE_STATES[cloned.source])
    if cloned.absent is not None:
        output.note(context, f"the hub has no branch {cloned.absent}; this is {cloned.branch}")
    if cloned.source is not None or cloned.absent is not None:
        output.hint(
            context, "a hub does not hold the other remotes, store.upstream and the [table.*] rules: add them again"
        )
    if cloned.source == "differs":
        output.hint(context, "merge both: prontosync pull --plan, then prontosync pull")
