"""What a merge or a commit decided, by which rule: as text, a table after the other, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from prontosync.cli import output
from prontosync.cli.cells import teller
from prontosync.cli.context import Context
from prontosync.cli.display import Display, display
from prontosync.cli.escape import escape
from prontosync.cli.fit import cut, fits, padded, width

if TYPE_CHECKING:
    from prontosync.history.decisions import Decision
    from prontosync.model.values import Row, Value

DECIDED = 40
"""How many of a table's decisions a terminal shows."""
_WIDEST_LINE = 160
_HEAD = ("", "column", "base", "ours", "theirs", "result", "rule")


def decisions_json(decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """The contract's objects: what is in dispute is a list of its candidates; a row that is not there is null, and so
    is a side that there is not."""
    return [_as_json(one) for one in decisions]


def show_decisions(context: Context, decisions: Sequence[Decision]) -> None:
    """Print them below what a merge did."""
    shown = display(context)
    output.emit_pieces(merge_text(shown, decisions))
    shown.tell()


def merge_text(shown: Display, decisions: Sequence[Decision]) -> Iterator[str]:
    """The text with a line before it, or a line that there is nothing."""
    yield "\nwhat was decided:\n" if decisions else "\nnothing had to be decided\n"
    yield from decisions_text(shown, decisions)


def decisions_text(shown: Display, decisions: Sequence[Decision]) -> Iterator[str]:
    """The text in pieces, line breaks included: a line each where they fit, else two."""
    for table, members in groupby(decisions, key=lambda one: one.table):
        found = list(members)
        number = f"{len(found):,} decision{'' if len(found) == 1 else 's'}"
        yield f"{shown.paint(table, 'bold')}: {number}\n"
        most = DECIDED if shown.short and len(found) > DECIDED else len(found)
        yield from _lines(shown, found[:most])
        if most < len(found):
            shown.shortened = True
            yield f"  … and {len(found) - most:,} more\n"


def _lines(shown: Display, decisions: Sequence[Decision]) -> Iterator[str]:
    rows = [_HEAD, *(_cells(shown, one) for one in decisions)]
    sizes = [max(map(width, column)) for column in zip(*rows, strict=True)]
    if sum(sizes) + 2 * len(sizes) <= (shown.columns or _WIDEST_LINE):
        for row in rows:
            line = "  ".join(padded(text, size) for text, size in zip(row, sizes, strict=True))
            yield f"  {line}".rstrip() + "\n"
        return
    for key, column, base, ours, theirs, result, rule in rows[1:]:
        yield f"  {key}{f', {column}' if column else ''}: {result}  [{rule}]\n"
        yield f"      base {base}, ours {ours}, theirs {theirs}\n"


def _cells(shown: Display, one: Decision) -> tuple[str, ...]:
    from prontosync.model.keys import key_to_text
    from prontosync.model.values import restored

    key = escape(key_to_text(tuple(map(restored, one.key)), one.schema))
    sides = [_set_text(shown, one, values) for values in (one.base, one.ours, one.theirs, one.result)]
    return (_short(shown, key, 2), escape(one.column or ""), *sides, _short(shown, escape(one.rule), 2))


def _set_text(shown: Display, one: Decision, values: Iterable[Value | Row | None]) -> str:
    """The candidates of one side; of rows the cells in which the decision's rows differ."""
    texts = [_text(one, value) for value in _ordered(one, values)]
    return _short(shown, " | ".join(texts) or "-")


def _text(one: Decision, value: Value | Row | None) -> str:
    from prontosync.model.values import restored

    if one.column is not None:
        return teller(one.schema.type_of(one.column), None)(restored(value))
    if value is None:
        return "(no such row)"
    differing = _differing(one)
    cells = zip(one.schema.columns, value, strict=True)
    told = [f"{escape(c.name)}={teller(c.type, None)(restored(v))}" for c, v in cells if c.name in differing]
    return ", ".join(told) or "(the row)"


def _differing(one: Decision) -> set[str]:
    """The columns in which whole rows differ; all but the key's where there is but one row."""
    rows = {row for values in (one.base, one.ours, one.theirs, one.result) for row in values if row is not None}
    names = one.schema.names
    found = {name for i, name in enumerate(names) if len({row[i] for row in rows}) > 1}
    return found or set(one.schema.values)


def _ordered(one: Decision, values: Iterable[Value | Row | None]) -> list[Any]:
    """Candidates in a fixed order, absent rows last."""
    from prontosync.model.values import orderable, orderable_row, restored

    if one.column is not None:
        return sorted(values, key=lambda value: orderable(restored(value)))
    rows = list(values)
    present = sorted((r for r in rows if r is not None), key=lambda row: orderable_row(map(restored, row)))
    return [*present, *(r for r in rows if r is None)]


def _short(shown: Display, text: str, times: int = 1) -> str:
    limit = shown.cell and shown.cell * times
    shown.shortened = shown.shortened or (limit is not None and not fits(text, limit))
    return cut(text, limit)


def _as_json(one: Decision) -> dict[str, Any]:
    from prontosync.model.keys import key_to_json
    from prontosync.model.values import restored

    sides = {"base": one.base, "ours": one.ours, "theirs": one.theirs, "result": one.result}
    return {
        "table": one.table,
        "key": key_to_json(tuple(map(restored, one.key)), one.schema),
        "column": one.column,
        **{name: _set_json(one, values) for name, values in sides.items()},
        "rule": one.rule,
    }


def _set_json(one: Decision, values: Iterable[Value | Row | None]) -> Any:
    found = [_value_json(one, value) for value in _ordered(one, values)]
    return found if len(found) > 1 else found[0] if found else None


def _value_json(one: Decision, value: Value | Row | None) -> Any:
    from prontosync.model.values import restored, row_to_json, to_json

    if one.column is not None:
        return to_json(restored(value), one.schema.type_of(one.column))
    if value is None:
        return None
    types = {column.name: column.type for column in one.schema.columns}
    return row_to_json(dict(zip(one.schema.names, map(restored, value), strict=True)), types)
