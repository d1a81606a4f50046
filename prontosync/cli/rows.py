"""Rows that differ, as aligned lines for people: a sign, the key, and the cells, old → new. For diffs and for plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prontosync.cli.cells import differs, is_number, teller
from prontosync.cli.display import NOT_NARROW, Display
from prontosync.cli.escape import escape
from prontosync.cli.fit import cut, cut_around, fits, padded, width
from prontosync.cli.output import Style
from prontosync.model.schema import TableSchema

if TYPE_CHECKING:
    from prontosync.workflow.diff import ChangedColumns

SIGNS: dict[str, tuple[str, Style]] = {"insert": ("+", "green"), "delete": ("-", "red"), "update": ("~", "yellow")}
_GAP = "  "
_FOLD = "    "
_WIDEST_LINE = 160
"""Columns up to which cells stand below each other where no terminal limits them."""


@dataclass
class _Slot:
    """One column of the lines: its cells by row, without those that have none, and how wide the widest is."""

    columns: int
    aligned: dict[int, str]
    loose: dict[int, str]


class RowLines:
    """The rows of one table. What is aligned is a piece of some 1,000 rows, so that memory stays bounded."""

    def __init__(self, display: Display, schema: TableSchema, indent: str = "") -> None:
        self._display, self._indent = display, indent
        self._limit = display.cell
        self._widest = None if self._limit else NOT_NARROW
        self._names = [escape(name) for name in schema.names]
        self._types = [column.type for column in schema.columns]
        self._tell: list[Callable[[Any], str]] = [teller(column.type, None) for column in schema.columns]
        self._key = [schema.names.index(name) for name in schema.key]
        self._values = [schema.names.index(name) for name in schema.values]
        self._marks = {kind: display.paint(sign, style) for kind, (sign, style) in SIGNS.items()}

    def pieces(self, parts: Iterable[ChangedColumns], most: int | None = None) -> Iterator[str]:
        """The lines of all rows, or of the first ``most``, line breaks included."""
        left = most
        for part in parts:
            some = part if left is None else part.first(left)
            yield self._piece(some)
            if left is not None:
                left -= len(some.kinds)
                if left <= 0:
                    return

    def _piece(self, part: ChangedColumns) -> str:
        updates = [row for row, kind in enumerate(part.kinds) if kind == "update"]
        others = [row for row, kind in enumerate(part.kinds) if kind != "update"]
        keys, columns = self._keys(part)
        bodies = [""] * len(part.kinds)
        self._fill(bodies, columns, updates, [slot for i in self._values if (slot := self._changed(part, i, updates))])
        if others:
            self._fill(bodies, columns, others, [self._whole(part, i, others) for i in self._values], fold=True)
        start = {kind: f"{self._indent}{mark} " for kind, mark in self._marks.items()}
        lines = zip(part.kinds, keys, bodies, strict=True)
        return "".join([f"{start[kind]}{key}{body}".rstrip() + "\n" for kind, key, body in lines])

    def _keys(self, part: ChangedColumns) -> tuple[list[str], int]:
        """The key of each row, and how wide they are."""
        gone = [row for row, kind in enumerate(part.kinds) if kind == "delete"]
        every: list[list[str]] = []
        for i in self._key:
            values = list(part.new[i])
            for row in gone:
                values[row] = part.old[i][row]
            name, last = self._names[i], i == self._key[-1]
            end = "," if not last else ":" if self._values else ""
            texts = self._short(list(map(self._tell[i], values)), i)
            every.append(_column([f"{name}={text}{end}" for text in texts], self._widest)[0])
        keys = every[0] if len(every) == 1 else [" ".join(texts) for texts in zip(*every, strict=True)]
        return keys, max(map(width, keys[:1]), default=0)

    def _changed(self, part: ChangedColumns, i: int, updates: Sequence[int]) -> _Slot | None:
        """The cells of a column that an update changes; None where there are none."""
        old, new = part.old[i], part.new[i]
        if len(updates) == len(part.kinds):
            rows = [row for row, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        else:
            rows = [row for row in updates if old[row] != new[row]]
        if self._types[i] == "float64":
            rows = [row for row in rows if differs(old[row], new[row])]
        if not rows:
            return None
        olds, news = self._short_pairs(
            [self._tell[i](old[row]) for row in rows], [self._tell[i](new[row]) for row in rows], i
        )
        right, name = is_number(self._types[i]), self._names[i]
        before, columns_before = _column(olds, self._widest, right=right)
        after, columns_after = _column(news, self._widest, right=right)
        columns = width(name) + columns_before + columns_after + 4
        aligned = dict(zip(rows, self._arrows(name, before, after), strict=True))
        return _Slot(columns, aligned, dict(zip(rows, self._arrows(name, olds, news), strict=True)))

    def _arrows(self, name: str, olds: list[str], news: list[str]) -> list[str]:
        if not self._display.context.colour:
            return [f"{name} {old} → {new}" for old, new in zip(olds, news, strict=True)]
        paint = self._display.paint
        return [f"{name} {paint(old, 'red')} → {paint(new, 'green')}" for old, new in zip(olds, news, strict=True)]

    def _whole(self, part: ChangedColumns, i: int, others: Sequence[int]) -> _Slot:
        """The cells of a column in rows that came or went."""
        old, new, kinds, tell = part.old[i], part.new[i], part.kinds, self._tell[i]
        texts = self._short([tell(old[row] if kinds[row] == "delete" else new[row]) for row in others], i)
        name = self._names[i]
        aligned, columns = _column(texts, self._widest, right=is_number(self._types[i]))
        cells, loose = [f"{name}={text}" for text in aligned], [f"{name}={text}" for text in texts]
        if self._display.context.colour:
            styles: list[Style] = [SIGNS[kinds[row]][1] for row in others]
            cells = [self._display.paint(text, style) for text, style in zip(cells, styles, strict=True)]
            loose = [self._display.paint(text, style) for text, style in zip(loose, styles, strict=True)]
        rows = dict(zip(others, cells, strict=True))
        return _Slot(width(name) + 1 + columns, rows, dict(zip(others, loose, strict=True)))

    def _fill(
        self, bodies: list[str], start: int, rows: Sequence[int], slots: Sequence[_Slot], *, fold: bool = False
    ) -> None:
        """Put the cells of rows in line: below each other where they fit so, else one after the other. ``fold``: every
        row has all of them, so they stand below each other on several lines too."""
        start += len(self._indent) + 2
        room = self._display.columns or _WIDEST_LINE
        fitting = start + sum(slot.columns + len(_GAP) for slot in slots) <= room
        if not slots:
            return
        if not fitting and self._display.columns is not None:
            self._fold(bodies, start, rows, slots, aligned=fold)
        elif fitting:
            columns = [
                [slot.aligned.get(row) or " " * slot.columns for row in rows]
                if len(slot.aligned) < len(rows)
                else slot.aligned.values()
                for slot in slots
            ]
            for row, cells in zip(rows, zip(*columns, strict=True), strict=True):
                bodies[row] = " " + _GAP.join(cells)
        else:
            for row in rows:
                bodies[row] = " " + _GAP.join([slot.loose[row] for slot in slots if row in slot.loose])

    def _fold(
        self, bodies: list[str], start: int, rows: Sequence[int], slots: Sequence[_Slot], *, aligned: bool
    ) -> None:
        """The same on as many lines as the terminal needs."""
        assert self._display.columns is not None
        indent = self._indent + _FOLD
        for row in rows:
            text, used = "", start
            for slot in slots:
                cell = (slot.aligned if aligned else slot.loose).get(row)
                if cell is None:
                    continue
                if used + len(_GAP) + slot.columns > self._display.columns and used > len(indent):
                    text, used = f"{text.rstrip()}\n{indent}{cell}", len(indent) + slot.columns
                else:
                    text, used = f"{text}{_GAP if text else ' '}{cell}", used + len(_GAP) + slot.columns
            bodies[row] = text

    def _short(self, texts: list[str], i: int) -> list[str]:
        limit = self._limit
        if limit is None or all(fits(text, limit) for text in texts):
            return texts
        self._display.shortened = True
        return [self._sized(text, cut(text, limit), i) for text in texts]

    def _short_pairs(self, olds: list[str], news: list[str], i: int) -> tuple[list[str], list[str]]:
        limit = self._limit
        if limit is None or all(fits(text, limit) for texts in (olds, news) for text in texts):
            return olds, news
        self._display.shortened = True
        pairs = [cut_around(old, new, limit) for old, new in zip(olds, news, strict=True)]
        return (
            [self._sized(text, pair[0], i) for text, pair in zip(olds, pairs, strict=True)],
            [self._sized(text, pair[1], i) for text, pair in zip(news, pairs, strict=True)],
        )

    def _sized(self, text: str, shown: str, i: int) -> str:
        """Of bytes that are cut it is said how many there are."""
        if shown == text or self._types[i] != "bytes":
            return shown
        return f"{shown} ({len(text) // 2 - 1} bytes)"


def _column(texts: list[str], widest: int | None, *, right: bool = False) -> tuple[list[str], int]:
    """The texts at one width, and that width; those that are wider than ``widest`` stick out."""
    if all(map(str.isascii, texts)):
        sizes = list(map(len, texts))
        most = max(sizes)
        if most == min(sizes):
            return texts, most
        size = min(most, widest or most)
        return [text.rjust(size) if right else text.ljust(size) for text in texts], size
    most = max(map(width, texts))
    size = min(most, widest or most)
    return [padded(text, size, right=right) for text in texts], size
