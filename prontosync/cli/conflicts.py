"""The open conflicts, for a technician, a script or a spreadsheet."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.display import display
from prontosync.cli.options import format_option, output_option, rev_argument, table_option, wide_option
from prontosync.cli.outcome import schema_lines
from prontosync.cli.world import reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.history.conflicts import Conflict
    from prontosync.workflow.conflicts import OpenConflict
    from prontosync.workflow.versions import Aside


class OneFile(UsageError):
    id = "one-file"


@command(
    "conflicts",
    examples=(
        "prontosync conflicts",
        "prontosync conflicts --table customer --json",
        "prontosync conflicts --format csv -o decide.csv",
        "prontosync conflicts --format html -o conflicts.html",
    ),
    exits=(10, 14, 17),
)
@rev_argument()
@table_option()
@format_option("text", "json", "csv", "html")
@wide_option("every candidate's command, and values whole")
@output_option
def conflicts(context: Context, rev: str, table: str | None, format_name: str, output: str | None) -> None:
    """Show what is in dispute: each cell or row, its candidates, and the command that takes one.

    A candidate goes by the branch that it came from; "[shown]" is what the table shows, "[live]" what the live database
    holds, which keeps its own value until the conflict is resolved. Where there are many, a terminal shows the commands
    for the first of each column and kind only, and of rows in dispute the cells that differ. A table whose schema does
    not go together with that of another branch is listed too; it is merged again as soon as its schemas do.

    The CSV file has a row for each candidate: write "x" in the column "decision" beside the right one, or "=VALUE",
    "null" or "delete", and give the file to "prontosync resolve --from". The HTML page stands alone, and has filters by
    table, kind and text.
    """
    from prontosync.workflow.conflicts import list_conflicts
    from prontosync.workflow.versions import asides

    if output is not None and output.endswith("/"):
        raise OneFile("conflicts are one file for all tables", "write -o FILE")
    with reading(context) as session:
        commit = session.revisions.resolve(rev)
        found = list_conflicts(session, commit, [table] if table else [])
        others = [one for one in asides(session, commit) if table in (None, one.conflict.table)]
    _print(context, found, others, "json" if context.json else format_name, output, rev)


def _print(
    context: Context, found: list[OpenConflict], others: list[Aside], form: str, to: str | None, rev: str
) -> None:
    if form == "json":
        out.emit_json([*map(_as_json, found), *map(_schema_json, others)], to=to)
    elif form == "csv":
        from prontosync.workflow.conflict_file import to_csv

        out.emit_data([to_csv(found).encode()], to=to)
    elif form == "html":
        from prontosync.cli.html_conflicts import conflicts_page

        out.emit_pieces(conflicts_page(context, rev, found), to=to)
    else:
        from prontosync.cli.conflict_text import conflicts_text

        shown = display(context, to)
        aside = (f"{line}\n" for one in others for line in schema_lines(one.conflict))
        out.emit_pieces(chain(conflicts_text(shown, found), aside), to=to)
        shown.tell()


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


def _schema_json(one: Aside) -> dict[str, Any]:
    """A table that does not go together with other branches: there is nothing to take, and no row that it is about."""
    conflict = one.conflict
    return {
        "id": f"schema-{conflict.table}",
        "table": conflict.table,
        "key": None,
        "kind": "schema",
        "column": None,
        "candidates": [],
        "shown": None,
        "live": None,
        "since": None,
        "details": list(conflict.details),
        "hint": conflict.hint,
        "branches": list(one.branches),
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
