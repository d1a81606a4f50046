"""Snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.grid import grid
from prontosync.cli.options import allow_deletes_option, message_option
from prontosync.cli.outcome import DIGITS, change_json, outcome_json, report
from prontosync.cli.start import tell_left_out
from prontosync.cli.world import changing
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.model.objects import TableState
    from prontosync.workflow.session import Session
    from prontosync.workflow.snapshot import Snapshot

LONG_HOLD = 0.25
"""Seconds for which a till may be held without a word of it."""


class OneWay(UsageError):
    id = "one-way"


@command(
    "snapshot",
    examples=('prontosync snapshot -m "after the stock count"', "prontosync snapshot --allow-deletes ticket"),
    exits=(1, 10, 11, 13, 14, 15, 16, 17, 18),
)
@message_option
@click.option("--author", metavar="NAME", help="Who made the change. Default: PRONTOSYNC_AUTHOR, else this account.")
@allow_deletes_option
@click.option("--accept-copy", is_flag=True, help="Take a database that was restored from an older copy as it is.")
@click.option("--full", is_flag=True, help="Read every row, and say what change capture (track) had missed.")
@click.option("--recover", is_flag=True, help="Give a database that was restored from an older copy the rows it lacks.")
def snapshot(
    context: Context,
    message: str | None,
    author: str | None,
    allow_deletes: tuple[str, ...],
    accept_copy: bool,
    full: bool,
    recover: bool,
) -> int | None:
    """Commit the live database's state. Where nothing changed, no commit is made.

    All tables are read in one committed state while the till goes on. A snapshot that would lose more rows of a table
    than "max_deletes" allows is refused (13), and so is one of a database that was restored from an older copy (15):
    --recover merges such a copy with the branch, so that what it lost comes back and what it gained stays (exit 1 where
    a conflict is left); --accept-copy records its loss as deletions.
    """
    if recover and accept_copy:
        raise OneWay("--recover and --accept-copy are two ways of going on", "choose one")
    if recover:
        return _recover(context, message, author, allow_deletes)
    from prontosync.workflow.snapshot import take_snapshot

    with changing(context) as session:
        taken = take_snapshot(session, message or "", author, allow_deletes, accept_copy, full)
        states = session.commits.tree(taken.commit).tables if taken.commit else {}
        result = snapshot_json(session, taken, states) if context.json else None
    if result is not None:
        output.emit_json(result)
    else:
        _tell(context, taken, states)
    return None


def snapshot_json(session: Session, taken: Snapshot, states: Mapping[str, TableState]) -> dict[str, Any]:
    """The contract's object: changed tables, with rows and digest; a digest that the state lacks is computed."""
    from prontosync.tables.reader import StoredTable

    missed = {name: {"rows": found.rows, "keys": list(found.keys)} for name, found in taken.missed.items()}
    extra: dict[str, Any] = {"missed": missed} if missed else {}
    if taken.commit is None:
        return {"commit": None, "tables": {}, **extra}
    tables: dict[str, Any] = {}
    for name, changes in sorted(taken.changes.items()):
        digest = StoredTable(session.repo.objects, session.engine, name, states[name]).digest()
        tables[name] = {**change_json(changes), "rows": states[name].rows, "digest": digest}
    return {"commit": taken.commit, "tables": tables, **({"dropped": list(taken.gone)} if taken.gone else {}), **extra}


def _recover(context: Context, message: str | None, author: str | None, allow_deletes: tuple[str, ...]) -> int:
    from prontosync.workflow.recover import recover

    with changing(context) as session:
        outcome = recover(session, message or "", author, allow_deletes)
    if context.json:
        output.emit_json(outcome_json(outcome))
    else:
        report(context, outcome, "recovered")
    return int(outcome.conflicts > 0)


def _tell(context: Context, taken: Snapshot, states: Mapping[str, TableState]) -> None:
    if taken.commit is None:
        output.note(context, "nothing changed")
    elif not context.quiet:
        rows = [
            (name, counts.inserted, counts.updated, counts.deleted, states[name].rows)
            for name, counts in sorted(taken.changes.items())
        ]
        listed = grid(("table", "inserted", "updated", "deleted", "rows"), rows) if rows else ""
        output.emit_text(f"snapshot {taken.commit[:DIGITS]}\n{listed}")
    for name in taken.gone:
        output.note(context, f'table "{name}" is gone from the live database')
    tell_captured(context, taken)
    tell_left_out(context, taken.left_out)
    tell_held(context, taken.held_seconds)


def tell_captured(context: Context, taken: Snapshot) -> None:
    """What change capture missed, and of which tables it could not vouch for the rest."""
    for name, missed in taken.missed.items():
        keys = ", ".join(f"({key})" for key in missed.keys) + (", …" if missed.rows > len(missed.keys) else "")
        rows = f"{missed.rows} changed row{'s' if missed.rows > 1 else ''}"
        output.note(context, f'capture missed {rows} of table "{name}": {keys}')
    for name, reason in sorted(taken.in_full.items()):
        output.note(context, f'table "{name}" was read in full: {reason}')
    if taken.in_full:
        output.hint(context, "prontosync track status")


def tell_held(context: Context, seconds: float) -> None:
    """How long the till could not write, where that is worth a word."""
    if seconds > LONG_HOLD:
        output.note(context, f"the till could not write for {seconds:.2f} s, while its database was read")
        output.hint(context, 'in WAL mode it is never held: sqlite3 DATABASE "PRAGMA journal_mode = wal"')
