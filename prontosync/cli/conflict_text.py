"""Open conflicts as text: a table after the other, a block for each, and totals at the end."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from prontosync.cli.cells import teller
from prontosync.cli.display import NOT_NARROW, Display
from prontosync.cli.escape import escape
from prontosync.cli.fit import cut, cut_around, fits, padded, width
from prontosync.cli.grid import grid
from prontosync.cli.outcome import conflict_lines

if TYPE_CHECKING:
    from prontosync.history.conflicts import Choice, Conflict
    from prontosync.model.schema import TableSchema
    from prontosync.workflow.conflicts import OpenConflict

ALL_COMMANDS = 5
"""Up to so many conflicts, a terminal shows every candidate's command; of more, those of the first of each group."""
_COMMIT, _WIDEST_NOTE = 8, 160


def conflicts_text(shown: Display, found: Sequence[OpenConflict]) -> Iterator[str]:
    """The text in pieces, line breaks included."""
    if not found:
        yield "no open conflicts\n"
        return
    brief = shown.short and len(found) > ALL_COMMANDS
    for table, members in groupby(found, key=lambda one: one.conflict.table):
        conflicts = list(members)
        yield f"{shown.paint(table, 'bold')}: {conflict_lines(len(conflicts))[0]}\n"
        seen: set[tuple[str, str | None]] = set()
        for one in conflicts:
            group = (one.conflict.kind, one.conflict.column)
            lines = Block(shown, one).lines(commands=not brief or group not in seen)
            yield "".join(f"{line.rstrip()}\n" for line in lines)
            seen.add(group)
        yield "\n"
    shown.shortened = shown.shortened or brief
    yield from _totals(found)


class Block:
    """The lines of one conflict."""

    def __init__(self, shown: Display, one: OpenConflict) -> None:
        self._shown, self._one, self._conflict = shown, one, one.conflict

    def lines(self, *, commands: bool) -> Iterator[str]:
        """What is in dispute; each candidate with where it came from, and with the command that takes it."""
        from prontosync.workflow.decide import words_for

        conflict = self._conflict
        yield f"  {self._headline()}"
        texts = self._candidates()
        size = max((width(text) for text in texts if fits(text, NOT_NARROW)), default=0)
        for choice, text in zip(conflict.choices, texts, strict=True):
            place = padded(text, max(size, width(text)))
            yield f"    {place}  from {_origin(choice)}{self._marks(choice)}"
            if commands:
                yield f"        prontosync {escape(shlex.join(words_for(conflict, choice)))}"
        for note in notes(self._one):
            yield f"    {self._short(note, self._shown.cell and _WIDEST_NOTE)}"

    def _headline(self) -> str:
        conflict = self._conflict
        place = self._shown.paint(key_text(conflict), "cyan")
        column = f", column {self._shown.paint(conflict.column, 'cyan')}" if conflict.column is not None else ""
        return f"{place}{column}  ({escape(conflict.kind)}, since {escape(conflict.since or 'unknown')})"

    def _marks(self, choice: Choice) -> str:
        words = marks(self._one, choice)
        return f"  {self._shown.paint('[' + ', '.join(words) + ']', 'yellow')}" if words else ""

    def _candidates(self) -> list[str]:
        values = [choice.value for choice in self._conflict.choices]
        texts = [self._value(value, values) for value in values]
        if self._conflict.column is None or self._shown.cell is None:
            return texts
        whole = [value_text(self._conflict, value) for value in values]
        limit = min(2 * self._shown.cell, 60)
        if all(fits(text, limit) for text in whole):
            return whole
        self._shown.shortened = True
        return [cut_around(text, whole[i - 1] if i else whole[-1], limit)[0] for i, text in enumerate(whole)]

    def _value(self, value: Any, among: Sequence[Any] = ()) -> str:
        """A candidate on a line; of a row only the cells in which the candidates differ, where room is short."""
        conflict, limit = self._conflict, self._shown.cell
        if conflict.column is not None or value is None:
            return self._short(value_text(conflict, value), limit and 60)
        cells = row_cells(conflict.schema, value)
        if limit is not None and (differing := differing_columns(conflict.schema, among)):
            self._shown.shortened = self._shown.shortened or len(differing) < len(cells)
            cells = [cell for cell in cells if cell[0] in differing]
        return ", ".join(f"{escape(name)}={self._short(text, limit)}" for name, text in cells) or "(the row)"

    def _short(self, text: str, limit: int | None) -> str:
        self._shown.shortened = self._shown.shortened or (limit is not None and not fits(text, limit))
        return cut(text, limit)


def marks(one: OpenConflict, choice: Choice) -> list[str]:
    """Whether a candidate is what the table shows, and what the live database holds."""
    words = ["shown"] if choice.value == one.conflict.shown else []
    return [*words, "live"] if one.known and choice.value == one.live else words


def notes(one: OpenConflict) -> Iterator[str]:
    """Lines that say of a conflict what its candidates do not; escaped, whole."""
    from prontosync.history.conflicts import hint
    from prontosync.history.marks import INVARIANT

    if one.conflict.kind == INVARIANT:
        yield escape(f'invariant "{one.conflict.detail}" does not hold; to see it: prontosync rules')
    elif one.conflict.detail:
        yield escape(one.conflict.detail)
    if (way_out := hint(one.conflict)) is not None:
        yield escape(way_out)
    values = [choice.value for choice in one.conflict.choices]
    if one.conflict.shown not in values:
        yield f"the table shows {value_text(one.conflict, one.conflict.shown)}"
    if one.known and one.live not in values:
        yield f"the live database holds {value_text(one.conflict, one.live)}"


def key_text(conflict: Conflict) -> str:
    """``store_id=12, product_id=991``, escaped."""
    from prontosync.model.keys import key_to_text
    from prontosync.model.values import restored

    return escape(key_to_text(tuple(map(restored, conflict.key)), conflict.schema))


def value_text(conflict: Conflict, value: Any) -> str:
    """A disputed cell's value or a row, or that there is no such row; escaped, whole."""
    from prontosync.model.values import restored

    if conflict.column is None and value is None:
        return "(no such row)"
    if conflict.column is None:
        return ", ".join(f"{escape(name)}={text}" for name, text in row_cells(conflict.schema, value)) or "(the row)"
    return teller(conflict.schema.type_of(conflict.column), None)(restored(value))


def row_cells(schema: TableSchema, row: Sequence[Any]) -> list[tuple[str, str]]:
    """The name and the escaped text of each of a row's cells but the key's."""
    from prontosync.model.values import restored

    cells = zip(schema.columns, row, strict=True)
    return [(c.name, teller(c.type, None)(restored(value))) for c, value in cells if c.name not in schema.key]


def differing_columns(schema: TableSchema, rows: Iterable[Sequence[Any] | None]) -> set[str]:
    """The columns in which whole rows differ; none where there is but one row."""
    present = [row for row in rows if row is not None]
    return {name for i, name in enumerate(schema.names) if len({row[i] for row in present}) > 1}


def counts_by_kind(found: Iterable[OpenConflict]) -> Counter[tuple[str, str]]:
    """How many there are, by table and kind."""
    return Counter((one.conflict.table, one.conflict.kind) for one in found)


def _origin(choice: Choice) -> str:
    from prontosync.history.conflicts import HERE

    if any(origin.branch == HERE for origin in choice.origins):
        return "what is here now"
    return escape(", ".join(f"{o.branch or 'unknown'} ({o.commit[:_COMMIT] or '?'})" for o in choice.origins))


def _totals(found: Sequence[OpenConflict]) -> Iterator[str]:
    counts = counts_by_kind(found)
    kinds = sorted({kind for _, kind in counts})
    if len(counts) > 1:
        tables = sorted({table for table, _ in counts})
        rows = [[table, *(counts[table, kind] or None for kind in kinds)] for table in tables]
        totals = [sum(counts[table, kind] for kind in kinds) for table in tables]
        yield grid(["table", *kinds, "total"], [[*row, total] for row, total in zip(rows, totals, strict=True)])
    yield f"{conflict_lines(len(found))[0]}\n"
