"""The history: log and show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.graph import Graph
from prontosync.cli.options import explain_option, key_option, rev_argument, table_option, wide_option
from prontosync.cli.outcome import DIGITS, change_json, conflict_lines, renumbered_lines
from prontosync.cli.world import reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.workflow.log import LogEntry, RowStep


class OneCommit(UsageError):
    id = "one-commit"


@command(
    "log",
    examples=(
        "prontosync log",
        "prontosync log HEAD~1 -n 2 --json",
        "prontosync log --table product --key 101",
        "prontosync -C ../office log --graph -n 5",
        "prontosync log --explain HEAD --table product",
    ),
    exits=(10, 14, 17),
)
@rev_argument()
@click.option("-n", "limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@table_option()
@key_option()
@click.option("--graph", is_flag=True, help="Draw how the commits descend from each other.")
@explain_option("Of the one commit REV, tell what was decided by which rule, cell by cell.")
@wide_option("every decision of --explain")
def log(
    context: Context, rev: str, limit: int | None, table: str | None, key: str | None, graph: bool, explain: bool
) -> None:
    """Show the commits of REV, newest first, with the rows that each changed.

    With --table, only those that changed the table; with --key, those that changed this row, and how. A merge is shown
    with what it changed against its first parent.

    With --explain, a merge is made again from its parents by the rules that it names, and compared with what it holds.
    Of a resolution, the conflicts that it decided are told, with their candidates and by whom.
    """
    from prontosync.workflow.log import Log
    from prontosync.workflow.states import resolve

    if explain:
        _explain(context, rev, table, alone=limit is None and key is None and not graph)
        return
    with reading(context) as session:
        entries = islice(Log(session, resolve(session, rev), table, key).entries(), limit)
        if context.json:
            output.emit_pieces(_array(entry_json(entry) for entry in entries))
        else:
            output.emit_pieces(_text(context, entries, Graph() if graph else None))


def _explain(context: Context, rev: str, table: str | None, *, alone: bool) -> None:
    from prontosync.cli.explain import show_explained
    from prontosync.workflow.explain import explain
    from prontosync.workflow.log import Log
    from prontosync.workflow.states import resolve

    if not alone:
        raise OneCommit("--explain is of one commit", "leave out -n, --key and --graph")
    with reading(context) as session:
        commit = resolve(session, rev)
        entry, found = Log(session, commit).entry(commit), explain(session, commit)
        rules = session.commits.rules(commit)
    if table is not None:
        found = replace(found, decisions=tuple(one for one in found.decisions if one.table == table))
    show_explained(context, found, rules, _block(context, entry, full=True), entry_json(entry))


@command("show", examples=("prontosync show", "prontosync show HEAD~1 --json"), exits=(10, 14, 17))
@rev_argument()
def show(context: Context, rev: str) -> None:
    """Show one commit: who made it and when, what it says of itself, its parents, and the rows changed in each table.

    The rows themselves: "prontosync diff REV~1 REV".
    """
    from prontosync.workflow.log import Log
    from prontosync.workflow.states import resolve

    with reading(context) as session:
        commit = resolve(session, rev)
        entry = Log(session, commit).entry(commit)
    if context.json:
        output.emit_json(entry_json(entry))
        return
    output.emit_text("\n".join(_block(context, entry, full=True)))
    if entry.commit.parents:
        output.hint(context, f"prontosync diff {commit[:DIGITS]}~1 {commit[:DIGITS]}")


def entry_json(entry: LogEntry) -> dict[str, Any]:
    """The contract's object; ``row`` is added where the log is of one row."""
    commit = entry.commit
    return {
        "commit": entry.id,
        "parents": [{"commit": parent.commit, "branch": parent.branch} for parent in commit.parents],
        "store": commit.store,
        "author": commit.author,
        "time": commit.time,
        "message": commit.message,
        "merge": commit.merge,
        "tables": {
            name: {**change_json(state.changes), "rows": state.rows, "digest": state.digest}
            for name, state in sorted(entry.tables.items())
        },
        "dropped": list(entry.gone),
        "conflicts": entry.conflicts,
        "signature": "none" if commit.signature is None else "unchecked",
        **({"renumbered": [key._asdict() for key in entry.renumbered]} if entry.renumbered else {}),
        **({"row": _row_json(entry.row)} if entry.row else {}),
    }


def _row_json(row: RowStep) -> dict[str, Any]:
    from prontosync.model.keys import key_to_json
    from prontosync.model.values import restored, to_json

    def whole(values: tuple[Any, ...] | None) -> dict[str, Any] | None:
        if values is None:
            return None
        return {c.name: to_json(restored(v), c.type) for c, v in zip(row.schema.columns, values, strict=True)}

    kind = "insert" if row.old is None else "delete" if row.new is None else "update"
    key = key_to_json(tuple(map(restored, row.key)), row.schema)
    return {"change": kind, "key": key, "old": whole(row.old), "new": whole(row.new)}


def _array(values: Iterator[dict[str, Any]]) -> Iterator[str]:
    """One JSON array, an element a line."""
    before = "["
    for value in values:
        yield f"{before}\n{output.encode_json(value)}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _text(context: Context, entries: Iterator[LogEntry], graph: Graph | None) -> Iterator[str]:
    for entry in entries:
        lines = [*_block(context, entry), ""]
        margins = graph.margins(entry.id, entry.parents, len(lines)) if graph else [""] * len(lines)
        yield "".join(f"{margin}{line}".rstrip() + "\n" for margin, line in zip(margins, lines, strict=False))
        yield "".join(f"{margin}\n" for margin in margins[len(lines) :])


def _block(context: Context, entry: LogEntry, full: bool = False) -> list[str]:
    commit = entry.commit
    digits = None if full else DIGITS
    what = "merge" if len(commit.parents) > 1 else "commit"
    head = output.paint(context, f"{what} {entry.id[:digits]}", "yellow")
    lines = [f"{head}  {escape(commit.time)}  {escape(commit.store)}, {escape(commit.author)}"]
    if full:
        lines += [f"parent {parent.commit} ({escape(parent.branch)})" for parent in commit.parents]
    lines += [f"    {escape(line)}" for line in commit.message.splitlines()]
    if entry.row is not None:
        lines.append(f"  {_row_text(entry.row)}")
    else:
        lines += [f"  {_counts(name, entry)}" for name in sorted(entry.tables)]
        lines += [f"  {escape(name)}: dropped" for name in entry.gone]
        lines += [f"  {line}" for line in renumbered_lines(entry.renumbered)]
    if entry.conflicts:
        lines.append(output.paint(context, f"  {conflict_lines(entry.conflicts)[0]}", "red"))
    return lines


def _counts(name: str, entry: LogEntry) -> str:
    changes = entry.tables[name].changes
    parts = [
        f"{number} {word}"
        for number, word in ((changes.inserted, "inserted"), (changes.updated, "updated"), (changes.deleted, "deleted"))
        if number
    ]
    return f"{escape(name)}: {', '.join(parts) or 'definition changed'}"


def _row_text(row: RowStep) -> str:
    from prontosync.cli.cells import changed_cells, named_cells
    from prontosync.model.values import restored

    old = tuple(map(restored, row.old)) if row.old else None
    new = tuple(map(restored, row.new)) if row.new else None
    if old and new:
        columns = [i for i, (a, b) in enumerate(zip(row.old or (), row.new or (), strict=True)) if a != b]
        return f"~ {changed_cells(row.schema, old, new, columns)}"
    some = new or old
    assert some is not None
    return f"{'+' if new else '-'} {named_cells(row.schema, some, row.schema.names)}"
