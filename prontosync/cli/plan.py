"""What would be done: with ``--dry-run`` the merge's counts, with ``--plan`` the live database's rows, old → new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prontosync.cli import output
from prontosync.cli.context import Context
from prontosync.cli.decisions import decisions_json, merge_text, show_decisions
from prontosync.cli.display import Display, display
from prontosync.cli.escape import escape
from prontosync.cli.outcome import (
    DIGITS,
    change_json,
    conflict_lines,
    count_grid,
    next_json,
    renumbered_lines,
    waiting_lines,
)
from prontosync.model.values import row_to_json

if TYPE_CHECKING:
    from prontosync.history.decisions import Decision
    from prontosync.model.schema import TableSchema
    from prontosync.tables.compare import Deltas
    from prontosync.workflow.integrate import Forecast

PLANNED = 40
"""How many rows of a table's plan a terminal shows."""


def show_plan(context: Context, forecast: Forecast, decisions: Sequence[Decision] | None = None) -> None:
    """Print what would be written to the live database, row by row, and the ``decisions`` where they were asked for."""
    if context.json:
        output.emit_pieces(_plan_json(_forecast_json(forecast, decisions), forecast))
    else:
        shown = display(context)
        output.emit_pieces(_plan_text(shown, forecast))
        if decisions is not None:
            output.emit_pieces(merge_text(shown, decisions))
        shown.tell()


def show_counts(context: Context, forecast: Forecast, decisions: Sequence[Decision] | None = None) -> None:
    """Print what would be merged, by table, and the ``decisions`` where they were asked for."""
    if context.json:
        output.emit_json(_forecast_json(forecast, decisions))
    else:
        output.emit_text("\n".join(_count_lines(forecast)))
        if decisions is not None:
            show_decisions(context, decisions)


def _forecast_json(forecast: Forecast, decisions: Sequence[Decision] | None) -> dict[str, Any]:
    """As the outcome's JSON; nothing was committed, so ``commit`` is null, and ``applied`` is what would be."""
    applied = None
    if forecast.plan is not None:
        applied = {name: change_json(change) for name, change in forecast.plan.counts.items()}
    decided = {} if decisions is None else {"decisions": decisions_json(decisions)}
    following = next_json(forecast.next)
    return {"commit": None, **following, "conflicts": forecast.conflicts, "applied": applied, **decided}


def _count_lines(forecast: Forecast) -> list[str]:
    if forecast.next.commit is None:
        return ["nothing to merge", *conflict_lines(forecast.conflicts)]
    way = " by fast-forward" if forecast.next.fast_forward else ""
    counts = count_grid(forecast.next.counts).rstrip("\n")
    lines = [f"would merge{way}", *([counts] if counts else []), *renumbered_lines(forecast.next.renumbered)]
    return lines + waiting_lines(forecast.next) + conflict_lines(forecast.conflicts)


def _plan_json(members: dict[str, Any], forecast: Forecast) -> Iterator[str]:
    """One object of these members and the plan, in which each row is a line."""
    head = output.encode_json(members)[:-1]
    if forecast.plan is None:
        yield f'{head},"plan":null}}\n'
        return
    yield f'{head},"plan":{{'
    before = "\n"
    for name, deltas in forecast.plan.changes.items():
        yield f'{before}{output.encode_json(name)}:{output.encode_json(change_json(deltas.counts))[:-1]},"rows":['
        rows = (output.encode_json(_row_json(deltas.schema, *row)) for row in _rows(deltas))
        yield from (f"{',' if number else ''}\n{row}" for number, row in enumerate(rows))
        yield "]}"
        before = ",\n"
    yield "}}\n"


def _row_json(schema: TableSchema, kind: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    types = {column.name: column.type for column in schema.columns}
    key = {name: (old or new)[name] for name in schema.key}
    return {
        "change": kind,
        "key": row_to_json(key, types),
        "old": row_to_json(old, types) if old else None,
        "new": row_to_json(new, types) if new else None,
    }


def _plan_text(shown: Display, forecast: Forecast) -> Iterator[str]:
    plan = forecast.plan
    if plan is None:
        yield "there is no live database here to write to\n"
    elif not plan.writes:
        yield "nothing would be written to the live database\n"
    else:
        yield "would be written to the live database:\n"
        yield from (f"  {escape(text)};\n" for text in plan.statements)
        for name, deltas in plan.changes.items():
            yield from _table_text(shown, name, deltas)
    for line in (*waiting_lines(forecast.next), *_not_written(shown, forecast)):
        yield f"{line}\n"


def _table_text(shown: Display, name: str, deltas: Deltas) -> Iterator[str]:
    from prontosync.cli.rows import RowLines
    from prontosync.workflow.diff import changed_columns

    counts = deltas.counts
    head = shown.paint(name, "bold")
    yield f"{head}: {counts.inserted} inserted, {counts.updated} updated, {counts.deleted} deleted\n"
    most = PLANNED if shown.short and counts.total > PLANNED else None
    yield from RowLines(shown, deltas.schema, "  ").pieces(changed_columns(deltas), most)
    if most is not None:
        shown.shortened = True
        yield f"  … and {counts.total - most:,} more rows\n"


def _not_written(shown: Display, forecast: Forecast) -> Iterator[str]:
    """What stays as the live database has it, and the command that shows it."""
    for line in conflict_lines(forecast.conflicts):
        tables = ", ".join(shown.paint(name, "bold") for name in sorted(forecast.tree.conflicts))
        kept = "; not written, the live database keeps its own values" if forecast.plan is not None else ""
        commit = f" {forecast.next.commit[:DIGITS]}" if forecast.next.commit is not None else ""
        yield f"{line} in {tables}{kept}"
        yield f"  to see them: prontosync conflicts{commit}"


def _rows(deltas: Deltas) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Kind, old row and new row of every change; the side that lacks the row is empty."""
    names = deltas.schema.names
    olds = [f"o{i}" for i in range(len(names))]
    news = [f"n{i}" for i in range(len(names))]
    for delta in deltas:
        for batch in delta.table.to_batches(max_chunksize=1000):
            for row in batch.to_pylist():
                kind = row["_ps_change"]
                old = {} if kind == "insert" else dict(zip(names, (row[name] for name in olds), strict=True))
                new = {} if kind == "delete" else dict(zip(names, (row[name] for name in news), strict=True))
                yield kind, old, new
