"""The group ``track``: change capture in the live database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command, group
from prontosync.cli.context import Context
from prontosync.cli.grid import grid
from prontosync.cli.world import changing, reading

if TYPE_CHECKING:
    from prontosync.sources.contract import TrackStatus

track = group(
    "track",
    description="""
    Change capture: triggers in the live database that note the keys of the rows touched, so that a snapshot reads those
    rows and not the whole table.

    It is off by default. What the notes cannot vouch for is read in full: a table that was dropped and made again or
    altered, a restored copy, a table without triggers; and every row when the last full read is "full_read" days ago
    (see config). "prontosync snapshot --full" checks the notes against a full read.
    """,
)


@command(
    "enable",
    summary="make the triggers",
    within=track,
    examples=("prontosync track enable", "prontosync track enable stock ticket"),
    exits=(10, 11, 13, 17, 18),
)
@click.argument("tables", metavar="[TABLE]...", nargs=-1, help="Only these tables. Default: all that can be tracked.")
def track_enable(context: Context, tables: tuple[str, ...]) -> None:
    """Make triggers and a table of notes for each TABLE in the live database, in one short transaction.

    A table is tracked by its own primary key; one whose key stands in the configuration is not. The triggers name only
    columns of keys, so the till's own program may alter, drop and rename what it likes. What is there already and right
    is kept; run it again after the till was upgraded.
    """
    from prontosync.workflow.track import enable

    with changing(context) as session:
        found = enable(session, tables)
    _tell(context, found)


@command(
    "disable",
    summary="remove the triggers",
    within=track,
    examples=("prontosync track disable",),
    exits=(10, 11, 17, 18),
)
def track_disable(context: Context) -> None:
    """Remove the triggers, the notes and every other trace from the live database."""
    from prontosync.workflow.track import disable

    with changing(context) as session:
        disable(session)
    if context.json:
        output.emit_json({"tracked": []})
    else:
        output.note(context, "nothing is tracked any more")


@command(
    "status",
    summary="show what is tracked",
    within=track,
    examples=("prontosync track status",),
    exits=(10, 11, 17, 18),
)
def track_status(context: Context) -> None:
    """Show for each table whether its changes are captured, why not, and how many notes there are."""
    from prontosync.workflow.track import status

    with reading(context) as session:
        found = status(session)
    _tell(context, found)


def _tell(context: Context, found: tuple[TrackStatus, ...]) -> None:
    if context.json:
        output.emit_json([_json(one) for one in found])
        return
    if found:
        rows = [(one.table, _state(one), one.notes if one.asked else "", one.reason or "") for one in found]
        output.emit_text(grid(("table", "capture", "notes", ""), rows, cell=None))
    if not any(one.asked for one in found):
        output.hint(context, "prontosync track enable")
    elif any(one.asked and one.reason for one in found):
        output.hint(context, "make right what is not: prontosync track enable")


def _state(one: TrackStatus) -> str:
    if not one.asked:
        return "off"
    return "read in full" if one.reason else "on"


def _json(one: TrackStatus) -> dict[str, Any]:
    return {
        "table": one.table,
        "tracked": one.asked and not one.reason,
        "asked": one.asked,
        "reason": one.reason,
        "notes": one.notes,
    }
