"""What would be done: with ``--dry-run`` the merge's counts, with ``--plan`` the live database's rows, old → new."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from prontosync.cli import output
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.outcome import (
    change_json,
    conflict_lines,
    count_grid,
    next_json,
    renumbered_lines,
    waiting_lines,
)
from prontosync.model.values import row_to_json, to_text

if TYPE_CHECKING:
    from prontosync.model.schema import TableSchema
    from prontosync.tables.compare import Deltas
    from prontosync.workflow.apply import Plan
    from prontosync.workflow.integrate import Forecast

_SIGNS = {"insert": "+", "update": "~", "delete": "-"}


def show_plan(context: Context, forecast: Forecast) -> None:
    """Print what would be written to the live database, row by row."""
    if context.json:
        output.emit_pieces(_plan_json(forecast))
    else:
        lines = chain(_plan_lines(forecast.plan), conflict_lines(forecast.conflicts))
        output.emit_pieces(f"{line}\n" for line in lines)


def show_counts(context: Context, forecast: Forecast) -> None:
    """Print what would be merged, by table."""
    if context.json:
        output.emit_json(_forecast_json(forecast))
    else:
        output.emit_text("\n".join(_count_lines(forecast)))


def _forecast_json(forecast: Forecast) -> dict[str, Any]:
    """As the outcome's JSON; nothing was committed, so ``commit`` is null, and ``applied`` is what would be."""
    applied = None
    if forecast.plan is not None:
        applied = {name: change_json(change) for name, change in forecast.plan.counts.items()}
    return {"commit": None, **next_json(forecast.next), "conflicts": forecast.conflicts, "applied": applied}


def _count_lines(forecast: Forecast) -> list[str]:
    if forecast.next.commit is None:
        return ["nothing to merge", *conflict_lines(forecast.conflicts)]
    way = " by fast-forward" if forecast.next.fast_forward else ""
    counts = count_grid(forecast.next.counts).rstrip("\n")
    lines = [f"would merge{way}", *([counts] if counts else []), *renumbered_lines(forecast.next.renumbered)]
    return lines + waiting_lines(forecast.next) + conflict_lines(forecast.conflicts)


def _plan_json(forecast: Forecast) -> Iterator[str]:
    """One object, in which each row of the plan is a line."""
    head = output.encode_json(_forecast_json(forecast))[:-1]
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


def _plan_lines(plan: Plan | None) -> Iterator[str]:
    if plan is None:
        yield "there is no live database here to write to"
    elif not plan.changes:
        yield "nothing would be written to the live database"
    else:
        yield "would be written to the live database:"
        for name, deltas in plan.changes.items():
            counts = deltas.counts
            yield f"{escape(name)}: {counts.inserted} inserted, {counts.updated} updated, {counts.deleted} deleted"
            for kind, old, new in _rows(deltas):
                yield f"  {_SIGNS[kind]} {_row_text(deltas.schema, kind, old, new)}"


def _row_text(schema: TableSchema, kind: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    def text(row: dict[str, Any], name: str) -> str:
        return to_text(row[name], schema.type_of(name))

    key = ", ".join(f"{name}={text(old or new, name)}" for name in schema.key)
    if kind == "update":
        changed = [name for name in schema.values if text(old, name) != text(new, name)]
        rest = ", ".join(f"{name}: {text(old, name)} → {text(new, name)}" for name in changed)
    else:
        rest = ", ".join(f"{name}={text(old or new, name)}" for name in schema.values)
    return escape(f"{key}  {rest}".rstrip())


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
