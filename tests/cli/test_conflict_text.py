"""Hundreds of conflicts on a terminal, and a diff on one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prontosync.cli.conflict_text import conflicts_text
from prontosync.cli.context import Context
from prontosync.cli.display import Display
from prontosync.history.conflicts import Choice, Conflict
from prontosync.history.disputes import Origin
from prontosync.model.schema import Column, TableSchema
from prontosync.workflow.conflicts import OpenConflict
from tests.fixtures.store import CLOCK, Store
from tests.fixtures.terminal import TERM, OnTerminal

SCHEMA = TableSchema((Column("id", "int64"), Column("phone", "text"), Column("name", "text")), ("id",))
SINCE = "2026-11-24T08:00:00Z"


def _open(table: str, id: int, column: str | None, values: list[Any], live: Any = None, kind: str = "") -> OpenConflict:
    kind = kind or ("row" if column is None else "cell")
    choices = [
        Choice(v, (Origin(f"stores/{i:03}", f"{i}" * 64, kind, SINCE),)) for i, v in enumerate(values)
    ]  # fmt: skip
    shown = values[0] if column is None else (id, values[0], values[0])
    conflict = Conflict("0" * 12, table, SCHEMA, (id,), kind, column, tuple(choices), shown, SINCE)
    return OpenConflict(conflict, live, True)


def _text(found: list[OpenConflict], columns: int | None = None, *, wide: bool = False) -> tuple[str, bool]:
    clock = datetime(2026, 11, 24, tzinfo=UTC)
    shown = Display(Context(start=Path("/"), clock=lambda: clock, author="", wide=wide), columns)
    return "".join(conflicts_text(shown, found)), shown.shortened


MANY = [
    *(_open("customer", i, "phone", [f"a{i}", f"b{i}"], f"b{i}") for i in range(150)),
    *(_open("customer", 1000 + i, None, [(1000 + i, "1", "Ana"), (1000 + i, "2", "Ana")]) for i in range(50)),
    *(_open("ticket", i, "name", ["x", "y"], "z", "foreign-key") for i in range(3)),
]


def test_many_on_a_terminal_are_short_and_say_what_to_type_once_for_each_group() -> None:
    text, shortened = _text(MANY, 100)
    lines = text.splitlines()
    assert shortened
    assert [line for line in lines if "prontosync resolve" in line] == [
        "        prontosync resolve customer 0 --column phone --take stores/000",
        "        prontosync resolve customer 0 --column phone --take stores/001",
        "        prontosync resolve customer 1000 --take stores/000",
        "        prontosync resolve customer 1000 --take stores/001",
        "        prontosync resolve ticket 0 --column name --take stores/000",
        "        prontosync resolve ticket 0 --column name --take stores/001",
    ]
    assert lines[-4:] == [
        "table     cell  foreign-key  row  total",
        "customer   150                50    200",
        "ticket                    3           3",
        "203 open conflicts",
    ]
    assert "    phone=1  from stores/000 (00000000)  [shown]" in lines
    assert "    the live database holds z" in lines
    assert "    b7  from stores/001 (11111111)  [live]" in lines


def test_elsewhere_and_with_wide_everything_is_there() -> None:
    for text, shortened in (_text(MANY), _text(MANY, 100, wide=True)):
        assert not shortened
        assert text.count("prontosync resolve") == 2 * len(MANY)
        assert "    phone=1, name=Ana  from stores/000 (00000000)  [shown]" in text


def test_long_candidates_are_cut_to_where_they_differ() -> None:
    long = "x" * 300
    text, shortened = _text([_open("t", 1, "phone", [f"{long}a", f"{long}b"])], 90)
    assert shortened
    assert "xxxxa  from stores/000" in text
    assert "xxxxb  from stores/001" in text
    assert all(len(line) < 120 for line in text.splitlines())
    assert f"{long}a  from" in _text([_open("t", 1, "phone", [f"{long}a", f"{long}b"])])[0]


def test_a_diff_on_a_terminal_is_coloured_and_cut(store: Store) -> None:
    store.till("UPDATE customer SET phone = ? WHERE customer_id = 'C012-00001'", ("5" * 300,))
    with OnTerminal("diff", cwd=store.top, env={**TERM, **CLOCK}) as run:
        assert run.finish() == 0
        screen = run.screen
    assert screen.coloured
    assert f"phone +52 55 0012 0001 → {'5' * 39}…" in screen.text
    assert "add --wide" in screen.text
    assert "\x1b" not in store.text("diff", "-o", "out.txt")
    assert "5" * 300 in (store.top / "out.txt").read_text()
