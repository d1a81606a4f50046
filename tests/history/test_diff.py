"""The changes between two states against plain Python, across changes of the schema too."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.errors import NotFound
from prontosync.history.commits import Tree
from prontosync.history.diff import TreeDiff, keys_gone
from prontosync.history.disputes import rows_by_key_list
from prontosync.model.schema import Column, TableSchema
from prontosync.tables.layout import Limits
from prontosync.tables.reader import StoredTable
from tests.fixtures.rows import Keeper, as_python, as_table, edited, identity, random_row, tables

SMALL = Limits(rows=4, bytes=2_000)
ITEM = TableSchema((Column("id", "int64"), Column("name", "text"), Column("price", "decimal(9,2)")), ("id",))


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


def _diff(keeper: Keeper, old: StoredTable | None, new: StoredTable | None) -> TreeDiff:
    trees = [Tree({"t": table.state} if table else {}) for table in (old, new)]
    return TreeDiff(keeper.engine, keeper.store, trees[0], keeper.store, trees[1])


def _canonical(schema: TableSchema, rows: pa.Table) -> Counter[Any]:
    return Counter(row for _, row in rows_by_key_list(schema, rows))


@settings(max_examples=60)
@given(tables(30), st.integers(0, 2**32))
def test_old_and_new_rows_are_what_except_says(keeper: Keeper, table: tuple[TableSchema, pa.Table], seed: int) -> None:
    schema, rows = table
    after = edited(schema, rows, seed)
    old, new = keeper.keep(schema, rows, limits=SMALL), keeper.keep(schema, after)
    before_rows, after_rows = _canonical(schema, rows), _canonical(schema, after)
    for delta in [found.deltas.joined() for found in _diff(keeper, old, new).tables()] or [None]:
        gone = Counter() if delta is None else _sides(schema, delta, "o")
        come = Counter() if delta is None else _sides(schema, delta, "n")
        assert gone == before_rows - after_rows
        assert come == after_rows - before_rows


def _sides(schema: TableSchema, delta: Any, side: str) -> Counter[Any]:
    without = "insert" if side == "o" else "delete"
    kept = delta.of_kind(*({"insert", "update", "delete"} - {without}))
    return _canonical(schema, kept.old() if side == "o" else kept.new())


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_across_schemas_rows_meet_by_the_key_and_columns_by_their_names(keeper: Keeper, seed: int) -> None:
    rng = random.Random(seed)
    names = ["a", "b", "c", "d"]
    sides = []
    for _ in range(2):
        chosen = rng.sample(names, rng.randrange(2, 5))
        columns = tuple(Column(n, rng.choice(["int64", "text", "decimal(5,1)"])) for n in chosen)
        schema = TableSchema(columns, tuple(chosen[: rng.choice([1, 1, 2])]))
        rows = {identity(schema, r): r for r in (random_row(schema, rng) for _ in range(rng.randrange(8)))}
        sides.append(keeper.keep(schema, as_table(schema, rows.values()), limits=SMALL))
    old, new = sides
    diff = _diff(keeper, old, new)
    for found in diff.tables():
        counts = found.counts
        assert counts.inserted + counts.updated <= new.state.rows
        assert counts.deleted + counts.updated <= old.state.rows
        assert counts.inserted - counts.deleted == new.state.rows - old.state.rows
        assert len(as_python(found.deltas.joined().table)) == counts.total
    assert bool(diff.schema_changes()) or old.schema.key == new.schema.key


def test_a_new_column_and_a_retyped_one_are_updates(keeper: Keeper) -> None:
    old = keeper.keep(ITEM, as_table(ITEM, [(1, "a", None), (2, "2", None)]))
    schema = TableSchema((Column("id", "int64"), Column("name", "int64"), Column("new", "bool")), ("id",))
    new = keeper.keep(schema, as_table(schema, [(1, None, True), (2, 2, None)]))
    diff = _diff(keeper, old, new)
    (change,) = diff.schema_changes()
    assert change.change == "changed"
    assert len(change.details) == 3
    (found,) = diff.tables()
    assert (found.counts.inserted, found.counts.updated, found.counts.deleted) == (0, 1, 0)


@pytest.mark.parametrize(
    ("before", "after"), [(("id",), ("id", "name")), (("id", "name"), ("id",)), (("id",), ("name",))]
)
def test_a_changed_key_multiplies_no_row(keeper: Keeper, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    rows: list[Any] = [(1, "a", None), (2, "b", None)]
    first, second = (TableSchema(ITEM.columns, key) for key in (before, after))
    old, new = keeper.keep(first, as_table(first, [*rows, (3, "c", None)])), keeper.keep(second, as_table(second, rows))
    (found,) = _diff(keeper, old, new).tables()
    assert (found.counts.inserted, found.counts.updated, found.counts.deleted) == (0, 0, 1)


def test_tables_that_came_and_went(keeper: Keeper) -> None:
    some = keeper.keep(ITEM, as_table(ITEM, [(1, "a", None)]))
    (came,) = _diff(keeper, None, some).tables()
    (went,) = _diff(keeper, some, None).tables()
    assert (came.counts.inserted, went.counts.deleted) == (1, 1)
    assert [c.change for c in _diff(keeper, None, some).schema_changes()] == ["added"]
    assert not list(_diff(keeper, some, some).tables())
    with pytest.raises(NotFound):
        TreeDiff(keeper.engine, keeper.store, Tree(), keeper.store, Tree(), ["t"])


def test_one_row_by_its_key_where_the_key_was_retyped(keeper: Keeper) -> None:
    from prontosync.model.keys import parse_key

    text = TableSchema((Column("id", "text"), *ITEM.columns[1:]), ("id",))
    old = keeper.keep(ITEM, as_table(ITEM, [(1, "a", None)]))
    new = keeper.keep(text, as_table(text, [("1", "b", None), ("x", "c", None)]))
    diff = _diff(keeper, old, new)
    same = diff.row("t", lambda schema: parse_key("1", "t", schema))
    assert same is not None
    assert same.counts.updated == 1
    fresh = diff.row("t", lambda schema: parse_key("x", "t", schema))
    assert fresh is not None
    assert fresh.counts.inserted == 1
    assert diff.row("t", lambda schema: parse_key("2", "t", schema)) is None


@settings(max_examples=40)
@given(tables(30), st.integers(0, 2**32))
def test_keys_that_are_gone(keeper: Keeper, table: tuple[TableSchema, pa.Table], seed: int) -> None:
    schema, rows = table
    after = edited(schema, rows, seed)
    old, new = keeper.keep(schema, rows, limits=SMALL), keeper.keep(schema, after, limits=SMALL)
    keys = [{identity(schema, row) for row in as_python(side)} for side in (rows, after)]
    assert keys_gone(old, new) == len(keys[0] - keys[1])
