"""Rows of text as an aligned table, for reading on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from decimal import Decimal

from prontosync.cli.escape import escape

CELL = 40
"""The width at which a cell is cut, in terminal columns, unless the caller says otherwise."""


def grid(header: Sequence[str], rows: Sequence[Sequence[object]], *, cell: int | None = CELL) -> str:
    """One line a row below the header; numbers to the right, ``None`` as an empty cell, every text escaped.

    ``cell`` cuts what is wider, with an ellipsis; ``None`` cuts nothing. For results that a person reads: every cell
    passes through Python.
    """
    texts = [[_cut(_text(value), cell) for value in row] for row in rows]
    heads = [_cut(escape(name), cell) for name in header]
    right = [_is_numeric([row[i] for row in rows]) for i in range(len(heads))]
    widths = [max(width(text) for text in column) for column in zip(heads, *texts, strict=True)]
    return "".join(_line(cells, widths, right) for cells in [heads, *texts])


def width(text: str) -> int:
    """How many terminal columns the text takes: East Asian wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"x'{value[:CELL].hex()}'"
    return escape(str(value))


def _cut(text: str, limit: int | None) -> str:
    if limit is None or width(text) <= limit:
        return text
    taken, columns = [], 0
    for character in text:
        columns += _character_width(character)
        if columns > limit - 1:
            break
        taken.append(character)
    return "".join(taken) + "…"


def _is_numeric(values: Sequence[object]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float | Decimal) for value in present)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        " " * (size - width(text)) + text if to_right else text + " " * (size - width(text))
        for text, size, to_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip() + "\n"
