"""The open conflicts, for a technician, a script or a spreadsheet."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.options import format_option, output_option, rev_argument, table_option
from prontosync.cli.outcome import conflict_lines
from prontosync.cli.world import reading

if TYPE_CHECKING:
    from prontosync.history.conflicts import Conflict
    from prontosync.workflow.conflicts import OpenConflict


@command(
    "conflicts",
    examples=(
        "prontosync conflicts",
        "prontosync conflicts --table customer --json",
        "prontosync conflicts --format csv -o decide.csv",
    ),
    exits=(10, 14, 17),
)
@rev_argument()
@table_option()
@format_option("text", "json", "csv")
@output_option
def conflicts(context: Context, rev: str, table: str | None, format_name: str, output: str | None) -> None:
    """Show what is in dispute: each cell or row, its candidates, and the command that takes one.

    A candidate goes by the branch that it came from. The live database keeps its own value until the conflict is
    resolved. The CSV file has a row for each candidate: write "x" in the column "decision" beside the right one, or
    "=VALUE", "null" or "delete", and give the file to "prontosync resolve --from".
    """
    from prontosync.workflow.conflicts import list_conflicts

    with reading(context) as session:
        found = list_conflicts(session, session.revisions.resolve(rev), [table] if table else [])
    _print(context, found, "json" if context.json else format_name, output)


def _print(context: Context, found: list[OpenConflict], form: str, to: str | None) -> None:
    if form == "json":
        out.emit_json([_as_json(one) for one in found], to=to)
    elif form == "csv":
        from prontosync.workflow.conflict_file import to_csv

        out.emit_data([to_csv(found).encode()], to=to)
    else:
        _print_text(found, to)


def _print_text(found: list[OpenConflict], to: str | None) -> None:
    blocks = ["\n".join(_lines(one)) for one in found]
    total = conflict_lines(len(found)) or ["no open conflicts"]
    out.emit_text("\n\n".join([*blocks, *total]), to=to)


def _lines(one: OpenConflict) -> Iterator[str]:
    from prontosync.history.conflicts import hint
    from prontosync.model.keys import key_to_text
    from prontosync.model.values import restored
    from prontosync.workflow.decide import words_for

    conflict = one.conflict
    key = key_to_text(tuple(map(restored, conflict.key)), conflict.schema)
    column = f", column {conflict.column}" if conflict.column is not None else ""
    yield escape(f"{conflict.table}, {key}{column}  ({conflict.kind}, since {conflict.since or 'unknown'})")
    shown, live = _text(conflict, conflict.shown), _text(conflict, one.live)
    for choice in conflict.choices:
        origin = ", ".join(f"{o.branch or 'unknown'} ({o.commit[:8] or '?'})" for o in choice.origins)
        yield escape(f"  {_text(conflict, choice.value)}  from {origin}")
        yield escape(f"      prontosync {shlex.join(words_for(conflict, choice))}")
    if (way_out := hint(conflict)) is not None:
        yield escape(f"  {way_out}")
    yield escape(f"  the table shows {shown}" + (f"; the live database holds {live}" if one.known else ""))


def _text(conflict: Conflict, value: Any) -> str:
    from prontosync.model.values import restored, to_text

    schema = conflict.schema
    if conflict.column is not None:
        return to_text(restored(value), schema.type_of(conflict.column))
    if value is None:
        return "(no such row)"
    cells = zip(schema.columns, value, strict=True)
    return ", ".join(f"{column.name}={to_text(restored(cell), column.type)}" for column, cell in cells)


def _as_json(one: OpenConflict) -> dict[str, Any]:
    from prontosync.model.keys import key_to_json
    from prontosync.model.values import restored

    conflict = one.conflict
    return {
        "id": conflict.id,
        "table": conflict.table,
        "key": key_to_json(tuple(map(restored, conflict.key)), conflict.schema),
        "kind": conflict.kind,
        "column": conflict.column,
        "candidates": [
            {
                "value": _json(conflict, choice.value),
                "from": list(choice.branches),
                "commit": choice.origins[0].commit or None,
                "commits": [origin.commit for origin in choice.origins],
            }
            for choice in conflict.choices
        ],
        "shown": _json(conflict, conflict.shown),
        "live": _json(conflict, one.live),
        "since": conflict.since,
    }


def _json(conflict: Conflict, value: Any) -> Any:
    from prontosync.model.values import restored, row_to_json, to_json

    schema = conflict.schema
    if conflict.column is not None:
        return to_json(restored(value), schema.type_of(conflict.column))
    if value is None:
        return None
    types = {column.name: column.type for column in schema.columns}
    return row_to_json(dict(zip(schema.names, map(restored, value), strict=True)), types)
