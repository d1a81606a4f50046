"""The tables of a revision: ls-tables, ls-files, export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.grid import grid
from prontosync.cli.options import output_option, rev_argument
from prontosync.cli.world import reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.workflow.tables import TableFiles, TableSummary

_EXITS = (10, 11, 14, 17, 18)


class NeedsFile(UsageError):
    id = "needs-file"


_TABLE = click.argument("table", metavar="TABLE", help="A table's name.")


@command("ls-tables", examples=("prontosync ls-tables", "prontosync ls-tables HEAD~1 --json"), exits=_EXITS)
@rev_argument(live=True)
def ls_tables(context: Context, rev: str) -> None:
    """List the tables of a revision: rows, key, columns, and the digest of the rows.

    Two tables with the same digest hold the same rows, wherever they are and however they are stored.
    """
    from prontosync.workflow.states import states
    from prontosync.workflow.tables import list_tables

    with reading(context) as session, states(session, [rev]) as (state,):
        found = list(list_tables(session, state))
    if context.json:
        out.emit_json([_summary_json(one) for one in found])
    else:
        rows = [(one.table, one.rows, ", ".join(one.key), len(one.columns), one.digest[:16]) for one in found]
        out.emit_text(grid(("table", "rows", "key", "columns", "digest"), rows))


@command("ls-files", examples=("prontosync ls-files HEAD stock", "prontosync ls-files HEAD stock --json"), exits=_EXITS)
@rev_argument(required=True)
@_TABLE
def ls_files(context: Context, rev: str, table: str) -> None:
    """List the files that hold a table, and print the SQL that reads them.

    The files are plain Parquet, and the SQL is for the plain "duckdb" program: nobody needs this one to read the data.
    Each file's name is the BLAKE3 hash of its bytes, so "b3sum" checks it; here they have been checked.
    """
    from prontosync.workflow.states import states
    from prontosync.workflow.tables import table_files

    with reading(context) as session, states(session, [rev]) as (state,):
        found = table_files(session, state, table)
    if context.json:
        out.emit_json(
            {
                "table": table,
                "segments": [str(path) for path in found.segments],
                "patches": [str(path) for path in found.patches],
                "sql": found.sql,
            }
        )
    else:
        # As data: the SQL must name a column with a line break or an escape in it exactly.
        out.emit_data([f"{line}\n".encode() for line in _file_lines(found)])


@command(
    "export",
    examples=("prontosync export HEAD stock -o stock.csv", "prontosync export HEAD~1 product -o product.parquet"),
    exits=(*_EXITS, 13, 16),
)
@rev_argument(required=True, live=True)
@_TABLE
@output_option
def export(context: Context, rev: str, table: str, output: str | None) -> None:
    """Write one table of a revision to a file, as its ending says: .csv, .parquet or .jsonl.

    Rows come in the order of the key. In CSV an empty field is NULL and "" an empty text, bytes are 0x…, times are
    ISO 8601.
    """
    from prontosync.workflow import tables as work
    from prontosync.workflow.states import states

    if output is None or output == "-":
        raise NeedsFile("a table is exported to a file", "add -o FILE, ending with .csv, .parquet or .jsonl")
    ending = work.export_format(output)
    with reading(context) as session, states(session, [rev]) as (state,):
        found = state.table(session, table)
        if ending == ".csv":
            out.emit_data(work.csv_of(session, found), to=output)
        elif ending == ".parquet":
            out.emit_data(work.parquet_of(session, found), to=output)
        else:
            out.emit_json_lines(work.json_rows(session, found), to=output)
    if context.json:
        out.emit_json({"table": table, "rows": found.state.rows, "file": output})
    else:
        out.note(context, f'{found.state.rows} rows of table "{table}" are in "{output}"')


def _summary_json(one: TableSummary) -> dict[str, Any]:
    columns = [{"name": name, "type": kind} for name, kind in one.columns]
    return {"table": one.table, "rows": one.rows, "digest": one.digest, "key": list(one.key), "columns": columns}


def _file_lines(found: TableFiles) -> list[str]:
    lines = [str(path) for path in found.segments]
    lines += [f"{path} (patch)" for path in found.patches]
    return [*lines, "", found.sql + ";"]
