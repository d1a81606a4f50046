"""Diff."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.display import Display, display
from prontosync.cli.escape import escape
from prontosync.cli.options import format_option, key_option, output_option, rev_argument, table_option, wide_option
from prontosync.cli.outcome import change_json
from prontosync.cli.world import reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.cli.html_diff import DiffPage
    from prontosync.history.diff import SchemaChange, TableDiff
    from prontosync.workflow.diff import Diff


_FILES = ("csv", "jsonl", "html")
"""The formats that may have a file a table."""


class FormUnfit(UsageError):
    id = "format-unfit"


@command(
    "diff",
    examples=(
        "prontosync diff",
        "prontosync diff HEAD~1 HEAD --stat",
        "prontosync diff HEAD~1 HEAD --table product --key 101",
        "prontosync diff HEAD~1 HEAD --format csv -o changes/",
        "prontosync diff HEAD~1 HEAD --format html -o changes.html",
    ),
    exits=(1, 10, 11, 13, 14, 16, 17, 18),
)
@rev_argument("a", live=True)
@rev_argument("b", default="LIVE", live=True)
@table_option(multiple=True)
@key_option()
@click.option("--stat", is_flag=True, help="Only how many rows of each table differ.")
@click.option("--schema", is_flag=True, help="Only the differences of schemas, constraints and all.")
@format_option("text", "json", "jsonl", "csv", "html")
@wide_option("long cells whole")
@click.option("--exit-code", is_flag=True, help="Exit 1 where they differ.")
@output_option
def diff(
    context: Context,
    a: str,
    b: str,
    tables: tuple[str, ...],
    key: str | None,
    stat: bool,
    schema: bool,
    format_name: str,
    exit_code: bool,
    output: str | None,
) -> int:
    """Show the rows in which two states differ: from A to B.

    Tables, columns and keys that differ come first, then the rows, by table and key: "+" was inserted, "-" deleted, "~"
    updated. On a terminal a long cell is cut to the place where old and new differ; elsewhere all is shown whole,
    without colours. A cell with an open conflict counts as what the table shows.

    JSON and CSV have whole rows, old and new. CSV is one table a file: with -o DIR/ (jsonl and html too) each table
    gets a file of its own, where unusual characters of its name are written as %XX. An HTML page stands alone, has
    filters by table, kind and text, and shows the first 10,000 rows of a table.
    """
    from prontosync.workflow.diff import Diff
    from prontosync.workflow.states import states

    form = "json" if context.json else format_name
    _check(form, stat, schema, output)
    with reading(context) as session, states(session, [a, b]) as (old, new):
        found = Diff(session, old, new, tables, key)
        view = View(context, found, (a, b), stat, schema)
        view.print(form, output)
        return int(exit_code and (view.differs or bool(found.schema_changes(all_of_it=schema))))


class View:
    """A diff on its way out. ``differs`` is known after ``print``."""

    def __init__(self, context: Context, diff: Diff, revs: tuple[str, str], stat: bool, schema: bool) -> None:
        self._context, self._diff, self._stat, self._schema = context, diff, stat, schema
        self._display, self._revs = display(context), revs
        self.differs = False

    def print(self, form: str, to: str | None) -> None:
        self._display = display(self._context, to)
        if form in _FILES and to is not None and to.endswith("/"):
            self._print_files(form, Path(to))
        elif form == "csv":
            self._print_one_csv(to)
        else:
            forms: dict[str, Callable[[], Iterator[str]]] = {
                "text": self._text,
                "json": self._json,
                "jsonl": self._lines,
                "html": self._html,
            }
            out.emit_pieces(forms[form](), to=to)
            self._display.tell()

    def _tables(self) -> Iterator[TableDiff]:
        for table in () if self._schema else self._diff.tables():
            self.differs = True
            yield table

    def _text(self) -> Iterator[str]:
        from prontosync.cli.rows import RowLines
        from prontosync.workflow.diff import changed_columns

        for change in self._diff.schema_changes(all_of_it=self._schema):
            yield _schema_text(self._display, change)
        for table in self._tables():
            counts = table.counts
            head = self._display.paint(table.table, "bold")
            yield f"{head}: {counts.inserted} inserted, {counts.updated} updated, {counts.deleted} deleted\n"
            if not self._stat:
                yield from RowLines(self._display, table.deltas.schema).pieces(changed_columns(table.deltas))

    def _json(self) -> Iterator[str]:
        changes = [_schema_json(change) for change in self._diff.schema_changes(all_of_it=self._schema)]
        yield f'{{"schema":{out.encode_json(changes)},"tables":{{'
        before = "\n"
        for table in self._tables():
            counts = out.encode_json(change_json(table.counts))
            yield f"{before}{out.encode_json(table.table)}:{counts[:-1]}"
            if not self._stat:
                yield ',"rows":['
                yield from _separated(out.encode_json(row) for row in _rows_json(table))
                yield "]"
            yield "}"
            before = ",\n"
        yield "}}\n"

    def _html(self) -> Iterator[str]:
        return self._page().whole(self._diff.schema_changes(), self._tables())

    def _page(self) -> DiffPage:
        from prontosync.cli.html_diff import DiffPage

        return DiffPage(self._context, *self._revs, self._stat)

    def _lines(self) -> Iterator[str]:
        for table in self._tables():
            yield from _lines_of(table)

    def _print_one_csv(self, to: str | None) -> None:
        found = list(self._tables())
        if len(found) > 1:
            names = ", ".join(f'"{table.table}"' for table in found)
            raise FormUnfit(
                f"csv is one table a file, and {len(found)} differ: {names}", "add -o DIR/ or --table TABLE"
            )
        if found:
            out.emit_data(self._diff.csv(found[0]), to=to)

    def _print_files(self, form: str, folder: Path) -> None:
        from prontosync.workflow.diff import file_name

        out.make_folder(folder)
        if form == "html":
            self._print_pages(folder)
            return
        for table in self._tables():
            path = str(folder / file_name(table.table, f".{form}"))
            if form == "csv":
                out.emit_data(self._diff.csv(table), to=path)
            else:
                out.emit_pieces(_lines_of(table), to=path)

    def _print_pages(self, folder: Path) -> None:
        """A page a table, and ``index.html``, of which a table of that name takes none away."""
        from prontosync.workflow.diff import file_name

        page, counts = self._page(), []
        for table in self._tables():
            name = file_name(table.table, ".html")
            if name.lower() == "index.html":
                name = f"%{ord(name[0]):02X}{name[1:]}"
            out.emit_pieces(page.of_table(table), to=str(folder / name))
            counts.append((table.table, name, table.counts))
        out.emit_pieces(page.index(self._diff.schema_changes(), counts), to=str(folder / "index.html"))


def _check(form: str, stat: bool, schema: bool, output: str | None) -> None:
    if form in ("csv", "jsonl") and (stat or schema):
        raise FormUnfit(f"{form} has rows, not counts or schemas", "choose --format text or json")
    if form == "html" and output is not None and output.endswith("/") and stat:
        raise FormUnfit("counts are one page", "write -o FILE")
    if output is not None and output.endswith("/") and form not in _FILES:
        raise FormUnfit(f"{form} is one file for all tables", "write -o FILE, or choose --format csv, jsonl or html")


def _schema_text(shown: Display, change: SchemaChange) -> str:
    name = shown.paint(change.table, "bold")
    head = "" if change.change == "changed" else f"table {name} was {change.change}\n"
    return head + "".join(f"table {name}: {escape(detail)}\n" for detail in change.details)


def _schema_json(change: SchemaChange) -> dict[str, Any]:
    return {"table": change.table, "change": change.change, "details": list(change.details)}


def _rows_json(table: TableDiff) -> Iterator[dict[str, Any]]:
    from prontosync.model.keys import key_to_json
    from prontosync.model.values import row_to_json
    from prontosync.workflow.diff import row_changes

    schema = table.deltas.schema
    types = {column.name: column.type for column in schema.columns}

    def whole(row: tuple[Any, ...] | None) -> dict[str, Any] | None:
        return None if row is None else row_to_json(dict(zip(schema.names, row, strict=True)), types)

    for change in row_changes(table.deltas):
        yield {
            "table": table.table,
            "change": change.kind,
            "key": key_to_json(change.key, schema),
            "old": whole(change.old),
            "new": whole(change.new),
        }


def _lines_of(table: TableDiff) -> Iterator[str]:
    return (out.encode_json(row) + "\n" for row in _rows_json(table))


def _separated(texts: Iterator[str]) -> Iterator[str]:
    before = "\n"
    for text in texts:
        yield before + text
        before = ",\n"
