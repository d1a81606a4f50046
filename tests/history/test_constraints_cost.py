"""Held rows by single cases: what is said of them, what is never read for them, and how long chains are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from prontosync.disk.objects import MemoryObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.constraints import Breach, Breaches, breaches
from prontosync.model.ids import ObjectName
from prontosync.model.schema import Column, Ddl, ForeignKey, TableSchema
from prontosync.sources.trial import SqliteTrial
from prontosync.tables.layout import Limits
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes, store_rows
from tests.fixtures.rows import as_table, one_batch, patch_between

TINY = Limits(rows=2, bytes=2_000)
Rows = Sequence[tuple[Any, ...]]
PRODUCTS = TableSchema((Column("id", "int64"), Column("code", "text")), ("id",), (), (("code",),))
LINES = TableSchema(
    (Column("ticket", "int64"), Column("line", "int64"), Column("product", "int64"), Column("qty", "int64")),
    ("ticket", "line"),
    (ForeignKey(("product",), "products", ("id",)),),
)
CHECKED = "CREATE TABLE lines (ticket INT, line INT, product INT, qty INT CHECK (qty > 0), PRIMARY KEY (ticket, line))"


class CountingStore(MemoryObjectStore):
    """A store that notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[ObjectName] = []

    def read(self, name: ObjectName) -> bytes:
        self.reads.append(name)
        return super().read(name)


class Shop:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.store = engine, CountingStore()
        self.before: dict[str, StoredTable] = {}
        self.after: dict[str, StoredTable] = {}
        self._rows: dict[str, Rows] = {}

    def table(self, name: str, schema: TableSchema, rows: Rows, statement: str = "CREATE TABLE x (id)") -> None:
        ddl = Ddl("sqlite", (statement,))
        batches = iter([one_batch(as_table(schema, rows))])
        state = store_rows(self.store, self.engine, name, schema, ddl, batches, ordered=True, limits=TINY).state
        self._rows[name] = rows
        self.before[name] = self.after[name] = StoredTable(self.store, self.engine, name, state)

    def becomes(self, name: str, rows: Rows) -> None:
        table = self.before[name]
        patch = patch_between(table.schema, as_table(table.schema, self._rows[name]), as_table(table.schema, rows))
        self.after[name] = StoredTable(self.store, self.engine, name, store_changes(table, patch, limits=TINY))

    def breaches(self) -> Breaches:
        """Of states that nothing was read of yet."""
        self.store.reads.clear()
        before, after = (
            {name: StoredTable(self.store, self.engine, name, one.state) for name, one in side.items()}
            for side in (self.before, self.after)
        )
        return breaches(self.engine, before, after, SqliteTrial())

    def segments_read(self, name: str) -> int:
        segments = {segment.name for segment in self.before[name].segments}
        return len(segments & set(self.store.reads))


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Engine() as engine:
        made = Shop(engine)
        made.table("products", PRODUCTS, [(n, f"c{n}") for n in range(40)])
        made.table("lines", LINES, [(n // 4, n % 4, n % 20, 1) for n in range(160)], CHECKED)
        yield made


def test_what_is_held_is_said_with_the_value_and_the_row_in_the_way(shop: Shop) -> None:
    lines = [(n // 4, n % 4, n % 20, 1) for n in range(160)]
    shop.becomes("lines", [*lines[1:], (0, 0, 0, 0), (50, 0, 99, 1)])
    shop.becomes("products", [(n, f"c{n}") for n in range(1, 39)] + [(39, "c5"), (41, "c41")])
    found = shop.breaches()
    assert found.rows["lines"] == {
        (0, 0): Breach((0, 0), "check", "CHECK constraint failed: qty > 0"),
        (50, 0): Breach((50, 0), "foreign-key", 'foreign key (product): table "products" has no row for product=99'),
    }
    assert found.rows["products"] == {
        (0,): Breach(
            (0,), "foreign-key", 'foreign key (product) of table "lines": its row (ticket=0, line=0) refers to id=0'
        ),
        (39,): Breach((39,), "unique", "unique (code): row (id=5) has code=c5 too"),
    }


def test_nothing_is_read_where_nothing_was_touched(shop: Shop) -> None:
    assert shop.breaches() == Breaches()
    assert shop.store.reads == []


def test_a_new_row_reads_its_parents_segment_and_no_other_of_either_table(shop: Shop) -> None:
    lines = [(n // 4, n % 4, n % 20, 1) for n in range(160)]
    shop.becomes("lines", [*lines, (50, 0, 7, 1)])
    assert shop.breaches().rows == {}
    assert shop.segments_read("products") == 1
    assert shop.segments_read("lines") <= 1


def test_a_deleted_row_that_nobody_refers_to_reads_only_the_column_that_could(shop: Shop) -> None:
    shop.becomes("products", [(n, f"c{n}") for n in range(39)])
    assert shop.breaches().rows == {}
    assert shop.segments_read("lines") == len(shop.before["lines"].segments)
    assert shop.segments_read("products") <= 1


def test_an_edit_of_other_columns_looks_for_nothing(shop: Shop) -> None:
    lines = [(n // 4, n % 4, n % 20, 2 if n == 0 else 1) for n in range(160)]
    shop.becomes("lines", lines)
    assert shop.breaches().rows == {}
    assert shop.segments_read("products") == 0


def test_a_parent_table_that_is_not_there_is_not_tested(shop: Shop) -> None:
    lines = [(n // 4, n % 4, n % 20, 1) for n in range(160)]
    shop.becomes("lines", [*lines, (50, 0, 99, 1)])
    del shop.before["products"], shop.after["products"]
    assert shop.breaches().rows == {}


def test_a_table_that_was_not_there_or_had_other_columns_is_not_tested(shop: Shop) -> None:
    lines = [(n // 4, n % 4, n % 20, 1) for n in range(160)]
    shop.becomes("lines", [*lines, (50, 0, 99, 1)])
    kept = shop.before.pop("lines")
    assert shop.breaches() == Breaches()
    fewer = TableSchema(LINES.columns[:3], LINES.key)
    shop.table("lines", fewer, [row[:3] for row in lines])
    shop.after["lines"] = kept
    found = shop.breaches()
    assert (found.rows, found.untested) == ({}, {"lines": 'column "qty" was added'})


def test_a_definition_that_cannot_be_tried_is_told(shop: Shop) -> None:
    shop.table("t", PRODUCTS, [], "CREATE TABLE t (id INTEGER PRIMARY KEY, code CHECK (till_knows(code)))")
    shop.becomes("t", [(1, "a")])
    found = shop.breaches()
    assert found.rows == {}
    assert "till_knows" in found.untested["t"]


def test_a_long_chain_of_references_is_held_soon(shop: Shop) -> None:
    schema = TableSchema(
        (Column("id", "int64"), Column("previous", "int64")), ("id",), (ForeignKey(("previous",), "chain", ("id",)),)
    )
    shop.table("chain", schema, [])
    shop.becomes("chain", [(n, n - 1) for n in range(5_000)])
    start = time.monotonic()
    found = shop.breaches()
    assert len(found.rows["chain"]) == 5_000
    assert time.monotonic() - start < 20


def test_a_swap_of_unique_values_is_not_held_and_half_of_one_is(shop: Shop) -> None:
    rest = [(n, f"c{n}") for n in range(2, 40)]
    shop.becomes("products", [(0, "c1"), (1, "c0"), *rest])
    assert shop.breaches().rows == {}
    shop.becomes("products", [(0, "c1"), (1, "c1"), *rest])
    assert shop.breaches().rows["products"].keys() == {(0,)}
    shop.becomes("products", [(0, "new"), (1, "new"), *rest])
    assert shop.breaches().rows["products"].keys() == {(0,), (1,)}


def test_a_held_row_takes_along_what_depends_on_it(shop: Shop) -> None:
    lines = [(n // 4, n % 4, n % 20, 1) for n in range(160)]
    shop.becomes("products", [*((n, f"c{n}") for n in range(40)), (77, "c3")])
    shop.becomes("lines", [*lines, (50, 0, 77, 1)])
    found = shop.breaches()
    assert found.rows["products"].keys() == {(77,)}
    assert found.rows["lines"][50, 0].kind == "foreign-key"


def test_rows_that_were_broken_before_are_left_alone(shop: Shop) -> None:
    shop.table("lines", LINES, [(1, 1, 99, -1), (1, 2, 98, -1)], CHECKED)
    shop.becomes("lines", [(1, 1, 99, -1), (1, 2, 98, 5)])
    assert shop.breaches().rows == {}
    shop.becomes("lines", [(1, 1, 97, -1), (1, 2, 98, -1)])
    assert shop.breaches().rows["lines"].keys() == {(1, 1)}


def test_a_held_row_goes_back_to_its_old_parent_which_cannot_go_then(shop: Shop) -> None:
    shop.table("lines", LINES, [(1, 1, 30, 1), (1, 2, 5, 1)], CHECKED)
    shop.becomes("products", [(n, f"c{n}") for n in range(40) if n != 30])
    shop.becomes("lines", [(1, 1, 5, 1), (1, 2, 5, 1)])
    assert shop.breaches().rows == {}
    shop.becomes("lines", [(1, 1, 99, 1), (1, 2, 5, 1)])
    found = shop.breaches().rows
    assert found["lines"].keys() == {(1, 1)}
    assert found["products"][30,] == Breach(
        (30,), "foreign-key", 'foreign key (product) of table "lines": its row (ticket=1, line=1) refers to id=30'
    )
    shop.becomes("lines", [(1, 1, 5, -1), (1, 2, 5, 1)])
    assert shop.breaches().rows["products"].keys() == {(30,)}


def test_a_unique_value_that_is_not_free_after_all_holds_who_took_it(shop: Shop) -> None:
    shop.becomes("products", [*((n, f"c{n}") for n in range(1, 40)), (50, "c0"), (51, "c51")])
    found = shop.breaches().rows["products"]
    assert {key: breach.kind for key, breach in found.items()} == {(0,): "foreign-key", (50,): "unique"}
    assert found[50,].detail == "unique (code): row (id=0) has code=c0 too"


def test_a_parent_that_another_row_replaces_may_go_until_that_row_is_held(shop: Shop) -> None:
    schema = TableSchema(
        (Column("id", "int64"), Column("code", "text")), ("id",), (ForeignKey(("code",), "products", ("code",)),)
    )
    shop.table("labels", schema, [(1, "c30")])
    rest = [(n, f"c{n}") for n in range(40) if n != 30]
    shop.becomes("products", [*rest, (60, "c30")])
    assert shop.breaches().rows == {}
    shop.becomes("products", [*rest, (60, "c30"), (61, "c30")])
    found = shop.breaches().rows["products"]
    assert {key: breach.kind for key, breach in found.items()} == {
        (30,): "foreign-key",
        (60,): "unique",
        (61,): "unique",
    }


def test_a_parent_whose_going_is_held_keeps_those_who_come_to_it(shop: Shop) -> None:
    lines = [(n // 4, n % 4, n % 20, 1) for n in range(160)]
    shop.becomes("products", [(n, f"c{n}") for n in range(1, 40)])
    shop.becomes("lines", [*lines, (50, 0, 0, 1)])
    found = shop.breaches().rows
    assert {name: set(rows) for name, rows in found.items()} == {"products": {(0,)}}


def test_a_reference_by_several_columns_moves_with_any_of_them(shop: Shop) -> None:
    schema = TableSchema(
        (Column("id", "int64"), Column("ticket", "int64"), Column("line", "int64")),
        ("id",),
        (ForeignKey(("line", "ticket"), "lines", ("line", "ticket")),),
    )
    shop.table("returns", schema, [(1, 3, 0), (2, None, 9), (3, 77, 77)])
    shop.becomes("returns", [(1, 3, 3), (2, None, 8), (3, 77, 77)])
    assert shop.breaches().rows == {}
    shop.becomes("returns", [(1, 3, 4), (2, 3, 9), (3, 77, None)])
    assert shop.breaches().rows["returns"].keys() == {(1,), (2,)}


def test_keys_that_only_sqlite_holds_for_equal_cannot_both_come(shop: Shop) -> None:
    schema = TableSchema((Column("id", "any"), Column("v", "text")), ("id",))
    shop.table("t", schema, [(b"i1", "a")])
    shop.becomes("t", [(b"i1", "a"), (b"r1.0", "b"), (b"t1", "c")])
    assert shop.breaches().rows["t"].keys() == {(b"r1.0",)}


def test_a_table_without_keys_to_others_is_tried_all_the_same(shop: Shop) -> None:
    schema = TableSchema((Column("id", "int64"), Column("qty", "int64")), ("id",))
    shop.table("t", schema, [(1, 1)], "CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT CHECK (qty > 0))")
    shop.becomes("t", [(1, 0), (2, 0), (3, 1)])
    assert shop.breaches().rows["t"].keys() == {(1,), (2,)}
