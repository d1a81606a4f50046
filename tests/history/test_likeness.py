"""A child's value finds its parent exactly where SQLite's own foreign key check finds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pyarrow as pa
import pytest

from prontosync.engine.arrow import arrow_schema
from prontosync.history.likeness import forms, own_form
from prontosync.history.orphans import orphans
from prontosync.model.schema import Column, Ddl, ForeignKey, TableSchema
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_rows
from tests.fixtures.rows import Keeper

UUID = bytes.fromhex("00112233445566778899aabbccddeeff")
KINDS: dict[str, tuple[str, list[tuple[Any, Any]]]] = {
    "bool": ("BOOLEAN", [(True, 1), (False, 0)]),
    "int64": ("INTEGER", [(n, n) for n in (0, 1, 5, -3, 2**53 + 1, 20260102)]),
    "float64": ("REAL", [(n, n) for n in (0.0, 1.0, 2.5, -3.0, 1e300, -0.0)]),
    "decimal(9,2)": ("DECIMAL(9,2)", [(Decimal("1.00"), 1), (Decimal("2.50"), 2.5), (Decimal("-3.00"), -3)]),
    "text": (
        "TEXT",
        [(t, t) for t in ("1", "1.0", "01", " 5 ", "2.5", "25e-1", "-3", "x", "1x", "", "'q\\", "é", "2026-01-02")]
        + [("00112233-4455-6677-8899-aabbccddeeff",) * 2, ("9007199254740993",) * 2],
    ),
    "bytes": ("BLOB", [(b"1", b"1"), (b"x", b"x"), (b"\xff'\\", b"\xff'\\")]),
    "date": ("DATE", [(date(2026, 1, 2), "2026-01-02"), (date(1999, 12, 31), "1999-12-31")]),
    "uuid": ("UUID", [(UUID, "00112233-4455-6677-8899-aabbccddeeff")]),
    "any": (
        "",
        [
            (b"i1", 1),
            (b"r1.0", 1.0),
            (b"r2.5", 2.5),
            (b"t1", "1"),
            (b"t1.0", "1.0"),
            (b"b1", b"1"),
            (b"tx", "x"),
            (b"t\xc3\xa9", "é"),
            (b"t'q\\", "'q\\"),
            (b"i-3", -3),
            (b"i9007199254740993", 2**53 + 1),
        ],
    ),
}


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


def table(keeper: Keeper, name: str, kind: str, values: list[Any], foreign: tuple[ForeignKey, ...] = ()) -> StoredTable:
    schema = TableSchema((Column("id", "int64"), Column("v", kind)), ("id",), foreign)
    rows = pa.table([list(range(len(values))), values], schema=arrow_schema(schema))
    ddl = Ddl("sqlite", ("CREATE TABLE x (id)",), {"id": "INTEGER", "v": KINDS.get(kind, ("DATETIME",))[0]})
    state = store_rows(keeper.store, keeper.engine, name, schema, ddl, iter(rows.to_batches()), ordered=True).state
    return StoredTable(keeper.store, keeper.engine, name, state)


@pytest.mark.parametrize(("mine", "theirs"), list(product(KINDS, KINDS)))
def test_a_parent_is_found_where_sqlite_finds_it(keeper: Keeper, mine: str, theirs: str) -> None:
    key = ForeignKey(("v",), "parent", ("v",))
    for logical, stored in KINDS[theirs][1]:
        children = KINDS[mine][1]
        tables = {
            "parent": table(keeper, "parent", theirs, [logical]),
            "child": table(keeper, "child", mine, [value for value, _ in children], (key,)),
        }
        database = sqlite3.connect(":memory:")
        database.execute(f"CREATE TABLE parent (v {KINDS[theirs][0]} UNIQUE)")
        database.execute(f"CREATE TABLE child (v {KINDS[mine][0]} REFERENCES parent (v))")
        database.execute("INSERT INTO parent VALUES (?)", (stored,))
        database.executemany("INSERT INTO child VALUES (?)", [(value,) for _, value in children])
        expected = len(database.execute("PRAGMA foreign_key_check").fetchall())
        database.close()
        assert orphans(keeper.engine, tables).get(("child", key), 0) == expected, (logical, stored)


def test_values_whose_text_differs_from_column_to_column_are_not_compared(keeper: Keeper) -> None:
    times = table(keeper, "parent", "timestamp", [datetime(2026, 1, 2)])
    texts = table(keeper, "child", "text", ["2026-01-02 00:00:00"])
    assert forms(texts, "v", times, "v") is None
    assert forms(times, "v", times, "v") is not None
    assert own_form("timestamp")("x") == "x"
