"""Diff."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output as out
from prontosync.cli.cells import RowTeller
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.options import format_option, key_option, output_option, rev_argument, table_option
from prontosync.cli.outcome import change_json
from prontosync.cli.world import reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.history.diff import SchemaChange, TableDiff
    from prontosync.workflow.diff import Diff, RowChange

_SIGNS: dict[str, tuple[str, out.Style]] = {"insert": ("+", "green"), "delete": ("-", "red"), "update": ("~", "yellow")}


class FormUnfit(UsageError):
    id = "format-unfit"


@command(
    "diff",
    examples=(
        "prontosync diff",
        "prontosync diff HEAD~1 HEAD --stat",
        "prontosync diff HEAD~1 HEAD --table product --key 101",
        "prontosync diff HEAD~1 HEAD --format csv -o changes/",
    ),
    exits=(1, 10, 11, 13, 14, 16, 17, 18),
)
@rev_argument("a", live=True)
@rev_argument("b", default="LIVE", live=True)
@table_option(multiple=True)
@key_option()
@click.option("--stat", is_flag=True, help="Only how many rows of each table differ.")
@click.option("--schema", is_flag=True, help="Only the differences of schemas, constraints and all.")
@format_option("text", "json", "jsonl", "csv")
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
    updated. JSON and CSV have whole rows, old and new. CSV is one table a file: with -o DIR/ (jsonl too) each table
    gets a file of its own, where unusual characters of its name are written as %XX. A cell with an open conflict counts
    as what the table shows.
    """
    from prontosync.workflow.diff import Diff
    from prontosync.workflow.states import states

    form = "json" if context.json else format_name
    _check(form, stat, schema, output)
    with reading(context) as session, states(session, [a, b]) as (old, new):
        found = Diff(session, old, new, tables, key)
        view = View(context, found, stat, schema)
        view.print(form, output)
        return int(exit_code and (view.differs or bool(found.schema_changes(all_of_it=schema))))


class View:
    """A diff on its way out. ``differs`` is known after ``print``."""

    def __init__(self, context: Context, diff: Diff, stat: bool, schema: bool) -> None:
        self._context, self._diff, self._stat, self._schema = context, diff, stat, schema
        self.differs = False

    def print(self, form: str, to: str | None) -> None:
        if form in ("csv", "jsonl") and to is not None and to.endswith("/"):
            self._print_files(form, Path(to))
        elif form == "csv":
            self._print_one_csv(to)
        else:
            forms: dict[str, Callable[[], Iterator[str]]] = {
                "text": self._text,
                "json": self._json,
                "jsonl": self._lines,
            }
            out.emit_pieces(forms[form](), to=to)

    def _tables(self) -> Iterator[TableDiff]:
        for table in () if self._schema else self._diff.tables():
            self.differs = True
            yield table

    def _text(self) -> Iterator[str]:
        for change in self._diff.schema_changes(all_of_it=self._schema):
            yield _schema_text(self._context, change)
        for table in self._tables():
            counts = table.counts
            head = out.paint(self._context, table.table, "bold")
            yield f"{head}: {counts.inserted} inserted, {counts.updated} updated, {counts.deleted} deleted\n"
            if not self._stat:
                yield from self._rows_text(table)

    def _rows_text(self, table: TableDiff) -> Iterator[str]:
        from prontosync.workflow.diff import row_changes

        teller = RowTeller(table.deltas.schema)
        marks = {kind: out.paint(self._context, sign, style) for kind, (sign, style) in _SIGNS.items()}
        for change in row_changes(table.deltas):
            yield f"{marks[change.kind]} {_row_text(teller, change)}\n"

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
        for table in self._tables():
            path = str(folder / file_name(table.table, f".{form}"))
            if form == "csv":
                out.emit_data(self._diff.csv(table), to=path)
            else:
                out.emit_pieces(_lines_of(table), to=path)


def _check(form: str, stat: bool, schema: bool, output: str | None) -> None:
    if form in ("csv", "jsonl") and (stat or schema):
        raise FormUnfit(f"{form} has rows, not counts or schemas", "choose --format text or json")
    if output is not None and output.endswith("/") and form not in ("csv", "jsonl"):
        raise FormUnfit(f"{form} is one file for all tables", "write -o FILE, or choose --format csv or jsonl")


def _schema_text(context: Context, change: SchemaChange) -> str:
    name = out.paint(context, change.table, "bold")
    head = "" if change.change == "changed" else f"table {name} was {change.change}\n"
    return head + "".join(f"table {name}: {escape(detail)}\n" for detail in change.details)


def _schema_json(change: SchemaChange) -> dict[str, Any]:
    return {"table": change.table, "change": change.change, "details": list(change.details)}


def _row_text(teller: RowTeller, change: RowChange) -> str:
    row = change.new if change.old is None else change.old
    assert row is not None
    key = teller.named(row, teller.key)
    if change.old is not None and change.new is not None:
        return f"{key}: {teller.changed(change.old, change.new)}"
    return f"{key}: {teller.named(row, teller.values)}" if teller.values else key


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
