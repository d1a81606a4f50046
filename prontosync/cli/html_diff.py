"""A diff as a page: by table the rows that differ, old → new by cell."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from prontosync.cli import html
from prontosync.cli.cells import differs, teller
from prontosync.cli.context import Context

if TYPE_CHECKING:
    from prontosync.history.diff import SchemaChange, TableDiff
    from prontosync.model.objects import Changes
    from prontosync.model.schema import TableSchema
    from prontosync.workflow.diff import ChangedColumns

MOST_ROWS = 10_000
"""Rows of a table that a page shows."""
_WORDS = {"insert": "+ inserted", "delete": "- deleted", "update": "~ updated"}


@dataclass(frozen=True)
class DiffPage:
    """What a page says of where it is from: the two revisions as they were asked for, and the command's own words."""

    context: Context
    old: str
    new: str
    stat: bool = False

    def whole(self, schemas: Sequence[SchemaChange], tables: Iterable[TableDiff]) -> Iterator[str]:
        """One page of all tables, in pieces; each table is gone through as it comes."""
        return html.page(self.context, self._title(), [], self._body(schemas, tables), "change")

    def of_table(self, table: TableDiff) -> Iterator[str]:
        """A page of one table, which an index beside it refers to."""
        title = f"{table.table}, {self._title()}"
        facts = ['<a href="index.html">all tables</a>']
        return html.page(self.context, title, facts, self._table(table), "change")

    def index(self, schemas: Sequence[SchemaChange], counts: Sequence[tuple[str, str, Changes]]) -> Iterator[str]:
        """A page that lists tables: name, file, how many rows."""

        def body() -> Iterator[str]:
            yield from _schemas(schemas)
            yield _counts_table([(name, quote(file), changes) for name, file, changes in counts])

        return html.page(self.context, self._title(), [], body(), "change")

    def _title(self) -> str:
        return f"diff {self.old} → {self.new}"

    def _body(self, schemas: Sequence[SchemaChange], tables: Iterable[TableDiff]) -> Iterator[str]:
        yield from _schemas(schemas)
        counts: list[tuple[str, str, Changes]] = []
        for number, table in enumerate(tables):
            counts.append((table.table, "" if self.stat else f"#table-{number}", table.counts))
            if not self.stat:
                yield from self._table(table, f"table-{number}")
        if counts:
            yield _counts_table(counts)
        elif not schemas:
            yield "<p>Nothing differs.</p>\n"

    def _table(self, table: TableDiff, identity: str = "table") -> Iterator[str]:
        from prontosync.workflow.diff import changed_columns

        schema, counts = table.deltas.schema, table.counts
        name = html.text(table.table)
        yield f'<section data-table="{name}" id="{identity}">\n<h2>{name}</h2>\n<p class="facts">{_words(counts)}</p>\n'
        if counts.total > MOST_ROWS:
            rest = html.command(self._command(table.table))
            yield f'<p class="facts">The first {MOST_ROWS:,} of {counts.total:,} rows. All of them: {rest}</p>\n'
        heads = "".join(f'<th scope="col">{html.text(head)}</th>' for head in ("change", *schema.key, "cells"))
        yield f'<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
        rows, left = _Rows(schema), MOST_ROWS
        for part in changed_columns(table.deltas):
            some = part.first(left)
            yield rows.html(some)
            left -= len(some.kinds)
            if left <= 0:
                break
        yield "</tbody>\n</table></div>\n</section>\n"

    def _command(self, table: str) -> str:
        options = ["--table", table, "--format", "csv", "-o", "rows.csv"]
        return f"prontosync {shlex.join(['diff', self.old, self.new, *options])}"


class _Rows:
    """The rows of one table as rows of a table of HTML."""

    def __init__(self, schema: TableSchema) -> None:
        self._names = [html.text(name) for name in schema.names]
        self._tell: list[Callable[[Any], str]] = [teller(column.type, None) for column in schema.columns]
        self._key = [schema.names.index(name) for name in schema.key]
        self._values = [schema.names.index(name) for name in schema.values]

    def html(self, part: ChangedColumns) -> str:
        return "".join([self._row(part, row, kind) for row, kind in enumerate(part.kinds)])

    def _row(self, part: ChangedColumns, row: int, kind: str) -> str:
        side = part.old if kind == "delete" else part.new
        keys = "".join(f'<th scope="row" class="key">{html.value(self._tell[i](side[i][row]))}</th>' for i in self._key)
        if kind == "update":
            changed = [i for i in self._values if differs(part.old[i][row], part.new[i][row])]
            cells = [
                self._cell(i, html.change(self._tell[i](part.old[i][row]), self._tell[i](part.new[i][row])))
                for i in changed
            ]
        else:
            tag = "del" if kind == "delete" else "ins"
            cells = [self._cell(i, f"<{tag}>{html.value(self._tell[i](side[i][row]))}</{tag}>") for i in self._values]
        return (
            f'<tr class="{kind}" data-kind="{_WORDS[kind][2:]}"><td class="change">{_WORDS[kind]}</td>{keys}'
            f"<td>{' '.join(cells)}</td></tr>\n"
        )

    def _cell(self, i: int, inner: str) -> str:
        return f'<div class="cell"><span class="name">{self._names[i]}</span> {inner}</div>'


def _schemas(changes: Sequence[SchemaChange]) -> Iterator[str]:
    if not changes:
        return
    yield "<h2>Tables, columns and keys</h2>\n<ul>\n"
    for change in changes:
        for words in change.details or (f"the table was {change.change}",):
            yield f"<li><b>{html.text(change.table)}</b>: {html.text(words)}</li>\n"
    yield "</ul>\n"


def _counts_table(counts: Sequence[tuple[str, str, Changes]]) -> str:
    """How many rows of each table; ``counts`` are its name, where it is shown, as a link, and the numbers."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("table", "inserted", "updated", "deleted"))
    rows = []
    for name, link, changes in counts:
        shown = f'<a href="{html.text(link)}">{html.text(name)}</a>' if link else html.text(name)
        numbers = "".join(f"<td>{n:,}</td>" for n in (changes.inserted, changes.updated, changes.deleted))
        rows.append(f'<tr><th scope="row">{shown}</th>{numbers}</tr>\n')
    return (
        f'<h2 id="counts">Rows by table</h2>\n<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{''.join(rows)}</tbody>\n</table></div>\n"
    )


def _words(counts: Changes) -> str:
    return f"{counts.inserted:,} inserted, {counts.updated:,} updated, {counts.deleted:,} deleted"
