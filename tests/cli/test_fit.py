"""Texts cut to fit, and rows in aligned lines."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prontosync.cli.context import Context
from prontosync.cli.display import Display
from prontosync.cli.fit import cut, cut_around, fits, shared_start, width
from prontosync.cli.rows import RowLines
from prontosync.model.schema import Column, TableSchema
from prontosync.workflow.diff import ChangedColumns

TEXT = st.text(st.sampled_from("ab0 é–李小\u0301…"), max_size=60)
SCHEMA = TableSchema(
    (
        Column("id", "int64"),
        Column("name", "text"),
        Column("price", "decimal(10,2)"),
        Column("photo", "bytes"),
        Column("x", "float64"),
    ),
    ("id",),
)


@given(text=TEXT, columns=st.integers(4, 40))
def test_what_is_cut_fits_and_what_fits_is_not_cut(text: str, columns: int) -> None:
    assert fits(text, columns) == (width(text) <= columns)
    shown = cut(text, columns)
    assert width(shown) <= columns
    assert (shown == text) == fits(text, columns) or shown.endswith("…")


@given(start=TEXT, old=TEXT, new=TEXT, end=TEXT, columns=st.integers(8, 40))
def test_two_texts_are_cut_to_where_they_differ(start: str, old: str, new: str, end: str, columns: int) -> None:
    one, other = start + old + end, start + new + end
    shared = shared_start(one, other)
    assert one[:shared] == other[:shared]
    assert one[shared : shared + 1] != other[shared : shared + 1] or one == other
    shown = cut_around(one, other, columns)
    assert all(width(text) <= columns for text in shown)
    if one == other or (fits(one, columns) and fits(other, columns)):
        assert (shown[0] == shown[1]) == (one == other)
    elif "…" not in one + other and "\u0301" not in one + other:
        assert shown[0] != shown[1]


def test_a_difference_at_the_end_of_a_long_text_is_seen() -> None:
    assert cut_around("x" * 100 + "a", "x" * 100 + "b", 12) == ("…xxxxxxxxxxa", "…xxxxxxxxxxb")
    assert cut_around("a" + "x" * 100, "b" + "x" * 100, 5) == ("axxx…", "bxxx…")
    assert cut_around("x" * 9, "x" * 9, None) == ("x" * 9, "x" * 9)
    assert cut_around("", "x" * 9, 5) == ("", "xxxx…")


def _display(columns: int | None, *, wide: bool = False, colour: bool = False) -> Display:
    clock = datetime(2026, 11, 24, tzinfo=UTC)
    return Display(Context(start=Path("/"), clock=lambda: clock, author="", wide=wide, colour=colour), columns)


def _lines(display: Display, *rows: tuple[tuple[Any, ...] | None, tuple[Any, ...] | None]) -> list[str]:
    none = (None,) * len(SCHEMA.columns)
    kinds = ["insert" if old is None else "delete" if new is None else "update" for old, new in rows]
    old = [list(column) for column in zip(*(row[0] or none for row in rows), strict=True)]
    new = [list(column) for column in zip(*(row[1] or none for row in rows), strict=True)]
    return "".join(RowLines(display, SCHEMA).pieces([ChangedColumns(kinds, old, new)])).splitlines()


def _row(id: int, name: str | None = "n", price: str = "1.00", photo: bytes = b"", x: float = 0.0) -> tuple[Any, ...]:
    return (id, name, Decimal(price), photo, x)


def test_cells_stand_below_each_other() -> None:
    rows = [(_row(1, "李小龍"), _row(1, "Ana", "10.50")), (_row(12), _row(12, price="2.00")), (_row(3), _row(3, None))]
    assert _lines(_display(None), *rows) == [
        "~ id=1:  name 李小龍 → Ana   price 1.00 → 10.50",
        "~ id=12:                     price 1.00 →  2.00",
        "~ id=3:  name n      → NULL",
    ]
    assert _lines(_display(None), (None, _row(1, "a b", "10.00")), (_row(2, " x"), None)) == [
        "+ id=1: name=a b   price=10.00  photo=0x  x=0.0",
        '- id=2: name=" x"  price= 1.00  photo=0x  x=0.0',
    ]


def test_equal_values_are_no_change() -> None:
    assert _lines(_display(None), (_row(1, x=math.nan), _row(1, "m", x=math.nan))) == ["~ id=1: name n → m"]
    assert _lines(_display(None), (_row(1, x=0.0), _row(1, "m", x=-0.0))) == ["~ id=1: name n → m"]


def test_a_terminal_cuts_and_folds_and_says_so() -> None:
    long = "x" * 200
    rows = [(_row(1, long + "a"), _row(1, long + "b", photo=b"\x01" * 99)), (None, _row(2, long))]
    narrow = _display(60)
    shown = _lines(narrow, *rows)
    assert narrow.shortened
    assert all(width(line) <= 60 for line in shown)
    assert f"~ id=1: name …{'x' * 18}a → …{'x' * 18}b" in shown
    assert "(99 bytes)" in "".join(shown)
    for whole in (_display(60, wide=True), _display(None)):
        said = _lines(whole, *rows)
        assert not whole.shortened
        assert f"{long}a → {long}b" in "".join(said)
        assert "01" * 99 in "".join(said)
    assert len(_lines(_display(None), *rows)) == 2


def test_foreign_text_and_colours() -> None:
    bad = _row(1, "\x1b[31m\u202e\n")
    assert _lines(_display(None), (_row(1), bad)) == ['~ id=1: name n → "\\x1b[31m\\u202e\\n"']
    (line,) = _lines(_display(80, colour=True), (_row(1), bad))
    assert line == '\x1b[33m~\x1b[0m id=1: name \x1b[31mn\x1b[0m → \x1b[32m"\\x1b[31m\\u202e\\n"\x1b[0m'


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_only_the_first_rows(most: int) -> None:
    part = ChangedColumns(["insert"] * 2, [[None, None]] * 5, [[1, 2], ["a", "b"], [None] * 2, [None] * 2, [None] * 2])
    text = "".join(RowLines(_display(None), SCHEMA).pieces([part, part], most))
    assert text.count("\n") == min(most, 4)
