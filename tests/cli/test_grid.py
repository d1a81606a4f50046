from __future__ import annotations

from decimal import Decimal

from prontosync.cli.fit import width
from prontosync.cli.grid import grid


def test_text_to_the_left_and_numbers_to_the_right() -> None:
    table = grid(["name", "rows"], [["stock", 7], ["ticket", 1200], ["é", None]])
    assert table == "name    rows\nstock      7\nticket  1200\né\n"


def test_wide_and_combining_characters_count_as_shown() -> None:
    assert width("李小龍") == 6
    assert width("e\u0301") == 1
    assert grid(["a", "b"], [["李", "x"], ["abcd", "y"]]) == "a     b\n李    x\nabcd  y\n"


def test_long_cells_are_cut_and_hostile_ones_escaped() -> None:
    assert grid(["a"], [["x" * 9]], cell=5) == "a\nxxxx…\n"
    assert grid(["a"], [["李小龍"]], cell=4) == "a\n李…\n"
    assert grid(["a"], [["\x1b[31m"]]) == "a\n\\x1b[31m\n"
    assert grid(["a"], [["x" * 99]], cell=None) == "a\n" + "x" * 99 + "\n"


def test_values_of_every_kind() -> None:
    assert grid(["v"], [[Decimal("9.50")], [-3], [0.5]]) == "   v\n9.50\n  -3\n 0.5\n"
    assert grid(["v"], [[b"\x00\xff"]]) == "v\nx'00ff'\n"
    assert grid(["none"], []) == "none\n"
