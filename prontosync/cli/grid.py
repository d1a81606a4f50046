"""Rows of text as an aligned table, for reading on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from prontosync.cli.escape import escape
from prontosync.cli.fit import cut, padded, width

CELL = 40
"""The width at which a cell is cut, in terminal columns, unless the caller says otherwise."""


def grid(header: Sequence[str], rows: Sequence[Sequence[object]], *, cell: int | None = CELL) -> str:
    """One line a row below the header; numbers to the right, ``None`` as an empty cell, every text escaped.

    ``cell`` cuts what is wider, with an ellipsis; ``None`` cuts nothing. For results that a person reads: every cell
    passes through Python.
    """
    texts = [[cut(_text(value), cell) for value in row] for row in rows]
    heads = [cut(escape(name), cell) for name in header]
    right = [_is_numeric([row[i] for row in rows]) for i in range(len(heads))]
    widths = [max(width(text) for text in column) for column in zip(heads, *texts, strict=True)]
    return "".join(_line(cells, widths, right) for cells in [heads, *texts])


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"x'{value[:CELL].hex()}'"
    return escape(str(value))


def _is_numeric(values: Sequence[object]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float | Decimal) for value in present)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    columns = zip(cells, widths, right, strict=True)
    return "  ".join(padded(text, size, right=to_right) for text, size, to_right in columns).rstrip() + "\n"
