"""Status."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.grid import grid
from prontosync.cli.outcome import DIGITS, changes_json, conflict_lines, schema_json, schema_lines
from prontosync.cli.snapshot import tell_held
from prontosync.cli.start import left_out_json, tell_left_out
from prontosync.cli.world import changing, reading

if TYPE_CHECKING:
    from prontosync.workflow.status import Standing, Status


@command(
    "status",
    examples=("prontosync status", "prontosync status --fetch", "prontosync status --exit-code --json"),
    exits=(1, 10, 11, 12, 13, 14, 15, 16, 17, 18),
)
@click.option("--fetch", is_flag=True, help="Fetch from all remotes first.")
@click.option(
    "--exit-code", is_flag=True, help="Exit 1 where anything is to be done: changes, commits to move, conflicts."
)
def status(context: Context, fetch: bool, exit_code: bool) -> int:
    """Show what changed in the live database since the last commit, and how things stand.

    "ahead" are commits that the remote lacks, "behind" are commits that it has and that are not merged here; both as of
    the last fetch. Nothing is changed, here or in the database.
    """
    from prontosync.workflow import status as work

    if fetch:
        from prontosync.cli.transfer import raise_worst
        from prontosync.workflow.exchange import fetch_all

        with changing(context) as session:
            exchanged = fetch_all(session, [])
        raise_worst(exchanged.errors, exchanged.error)
    with reading(context) as session:
        found = work.status(session)
    if context.json:
        output.emit_json(_json(found))
    else:
        _tell(context, found)
    return int(exit_code and found.differs)


def _json(found: Status) -> dict[str, Any]:
    sync = found.last_sync
    return {
        "branch": found.branch,
        "head": found.head,
        "changes": changes_json(found.changes),
        "ahead": found.ahead,
        "behind": found.behind,
        "conflicts": found.conflicts,
        "open": [
            {"table": one.table, "kind": one.kind, "conflicts": one.number, "oldest": one.oldest or None}
            for one in found.open
        ],
        "orphans": [
            {"table": one.table, "columns": list(one.columns), "parent": one.parent, "rows": one.rows}
            for one in found.orphans
        ],
        "upstream": _standing_json(found.upstream),
        "last_sync": {"time": sync["time"], "error": sync.get("error")} if sync else None,
        "left_out": left_out_json(found.left_out),
        "waiting": list(found.waiting),
        "dropped": list(found.gone),
        "carried": {name: list(one.columns) for name, one in found.carried.items()},
        "dropped_columns": {name: list(one.dropped) for name, one in found.carried.items() if one.dropped},
        "unmerged": [{**schema_json(one.conflict), "branches": list(one.branches)} for one in found.asides],
        "trouble": [{"error": e.id, "message": e.message, "hint": e.hint} for e in found.trouble],
    }


def _standing_json(standing: Standing | None) -> dict[str, Any] | None:
    return {"ref": standing.ref, "ahead": standing.ahead, "behind": standing.behind} if standing else None


def _tell(context: Context, found: Status) -> None:
    if not context.quiet:
        output.emit_text("\n".join(_lines(context, found)))
    for error in found.trouble:
        output.note(context, error.message)
        if error.hint:
            output.hint(context, error.hint)
    tell_left_out(context, found.left_out)
    tell_held(context, found.held_seconds)
    for line in _next(found):
        output.hint(context, line)


def _lines(context: Context, found: Status) -> list[str]:
    head = found.head[:DIGITS] if found.head else "no commits yet"
    lines = [f"branch {output.paint(context, found.branch, 'bold')} ({head})"]
    if found.other is not None:
        lines.append(_standing_line(found.other))
    elif found.remotes:
        lines.append("no remote has this branch yet")
    if found.upstream is not None:
        lines.append(f"upstream {escape(found.upstream.ref)}: {found.upstream.behind} commits not merged here")
    if found.last_sync is not None:
        error = found.last_sync.get("error")
        lines.append(
            f"last sync {escape(str(found.last_sync['time']))}{f', failed: {escape(str(error))}' if error else ''}"
        )
    lines += _live_lines(found)
    for aside in found.asides:
        lines += schema_lines(aside.conflict)
    lines += _orphan_lines(found)
    if found.conflicts:
        lines += _conflict_lines(context, found)
    return lines


def _conflict_lines(context: Context, found: Status) -> list[str]:
    """How many of which kind, and how long the oldest of each are open."""
    rows = [(one.table, one.kind, one.number, one.oldest or "unknown", _age(context, one.oldest)) for one in found.open]
    return [
        output.paint(context, conflict_lines(found.conflicts)[0], "red") + ":",
        grid(("table", "kind", "open", "oldest", "days"), rows).rstrip("\n"),
    ]


def _age(context: Context, since: str) -> int | None:
    """Whole days, None where they are not known."""
    if not since:
        return None
    return max(0, (context.clock() - datetime.datetime.fromisoformat(since)).days)


def _orphan_lines(found: Status) -> list[str]:
    return [
        f'{one.rows:,} rows of table "{escape(one.table)}" refer by {escape(", ".join(one.columns))} to rows of '
        f'"{escape(one.parent)}" that are not there: merges leave them as they are'
        for one in found.orphans
    ]


def _standing_line(other: Standing) -> str:
    if not other.ahead and not other.behind:
        return f"same as {escape(other.ref)}"
    return f"against {escape(other.ref)}: {other.ahead} ahead, {other.behind} behind"


def _live_lines(found: Status) -> list[str]:
    if not found.has_source:
        return ["no live database here"]
    lines = [f'table "{escape(name)}" is gone from the live database' for name in found.gone]
    lines += [f'table "{escape(name)}" waits: the live database does not have it' for name in found.waiting]
    lines += _carried_lines(found)
    if not found.changes and not found.gone:
        return [*lines, "no changes in the live database"]
    rows = [(name, c.inserted, c.updated, c.deleted) for name, c in sorted(found.changes.items())]
    return [
        *lines,
        "changed in the live database:",
        grid(("table", "inserted", "updated", "deleted"), rows).rstrip("\n"),
    ]


def _carried_lines(found: Status) -> list[str]:
    lines = []
    for name, one in sorted(found.carried.items()):
        for column in one.columns:
            what = "was dropped here" if column in one.dropped else "is not in the live database"
            lines.append(f'column "{escape(column)}" of table "{escape(name)}" {what}: the branch carries its values')
    return lines


def _next(found: Status) -> list[str]:
    """What to type next, the most urgent first."""
    lines = []
    if found.conflicts:
        lines.append("prontosync conflicts")
    if found.changes or found.gone:
        lines.append("prontosync diff, then prontosync snapshot")
    lines += [
        f"if column {escape(column)} ends everywhere, head office says so: "
        f"dropped = [{json.dumps(escape(column), ensure_ascii=False)}] under [table.{escape(name)}]"
        for name, one in sorted(found.carried.items())
        for column in one.dropped
    ]
    behind = found.behind or (found.upstream.behind if found.upstream else 0)
    if behind:
        lines.append("prontosync pull --plan, then prontosync pull")
    elif found.ahead:
        lines.append("prontosync push")
    return lines
