"""SQL over revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.grid import grid
from prontosync.cli.options import REV_HELP, format_option, output_option
from prontosync.cli.world import reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.workflow.query import Answer


class AttachUnfit(UsageError):
    id = "bad-attachment"


class NeedsFile(UsageError):
    id = "needs-file"


@command(
    "sql",
    examples=(
        'prontosync sql "SELECT color, sum(on_hand) AS pairs FROM stock JOIN product USING (product_id) GROUP BY ALL"',
        'prontosync sql "SELECT count(*) FROM ticket" --at HEAD@{2026-11-24} --json',
        'prontosync sql "SELECT * FROM old.product ANTI JOIN product USING (product_id, price)" --attach old=HEAD~1',
        'prontosync sql "SELECT * FROM conflicts.customer"',
        'prontosync sql "SELECT _ps_store, count(*) FROM all.ticket GROUP BY ALL"',
        "prontosync sql \"SELECT sum(on_hand) FROM all.stock\" --branches '*stores/*' --at '@{2026-11-24}'",
    ),
    exits=(10, 11, 13, 14, 16, 17, 18),
)
@click.argument("query", metavar="QUERY", help="One SELECT in DuckDB's SQL.")
@click.option("--at", metavar="REV", default="HEAD", show_default=True, help=f'{REV_HELP}, or "LIVE".')
@click.option("--attach", metavar="NAME=REV", multiple=True, help="Another revision, as the schema NAME: NAME.stock.")
@click.option(
    "--branches",
    metavar="PATTERN",
    multiple=True,
    help='Which branches all.TABLE unites, by their names as revisions, such as "hub/stores/*"; may be given several '
    "times. Default: every store's, each once.",
)
@format_option("table", "json", "jsonl", "csv", "parquet")
@output_option
def sql(
    context: Context,
    query: str,
    at: str,
    attach: tuple[str, ...],
    branches: tuple[str, ...],
    format_name: str,
    output: str | None,
) -> None:
    """Ask a question in SQL: read-only, of any revision, each table a view.

    The query is run by DuckDB, which can read these tables and nothing else. An attached revision is a schema, so
    states can be compared: "SELECT * FROM old.stock". Open conflicts are in the schema "conflicts", a row for each
    candidate. A table whose name is unusual goes in double quotes.

    In the schema "all" is each table of all stores as one, with the store's name in the column "_ps_store". A column
    that a store lacks is NULL; where types differ, numbers become the wider number, all else text. By default these
    are all branches but head office's, each once, with the longest history where several remotes have it. With
    --branches, all that match count; one branch at one commit, seen through two remotes, counts once. With --at
    "@{2026-12-31}" each is as it was at that moment, and a branch that was not there yet is left out.

    A column of mixed types is text here, with blobs in hex, as 0x00ff; all times are UTC. In CSV bytes are in hex too,
    in JSON base64.
    """
    from prontosync.workflow.query import asked

    form = "json" if context.json else format_name
    if form == "parquet" and output is None:
        raise NeedsFile("parquet is not for reading on a terminal", "add -o FILE")
    with reading(context) as session, asked(session, query, at, _attached(attach), branches) as answer:
        _print(answer, form, output)


def _attached(words: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, rev = word.partition("=")
        if not equals or not name or not rev:
            raise AttachUnfit(f'"{word}" does not say what to attach', "write --attach old=HEAD~1")
        if name.lower() in (known.lower() for known in found):
            raise AttachUnfit(f'"{name}" is attached twice', "choose another name")
        found[name] = rev
    return found


def _print(answer: Answer, form: str, to: str | None) -> None:
    if form == "csv":
        out.emit_data(answer.csv(), to=to)
    elif form == "parquet":
        out.emit_data(answer.parquet(), to=to)
    elif form == "jsonl":
        out.emit_json_lines(answer.records(), to=to)
    elif form == "json":
        out.emit_json(list(answer.records()), to=to)
    else:
        rows = list(answer.rows())
        count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
        out.emit_text(grid(answer.names, rows, cell=None if to else 60) + count, to=to)
