"""Key order, and rows that have no usable key."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from prontosync.engine.arrow import arrow_schema
from prontosync.errors import Busy
from prontosync.model.schema import Column, TableSchema
from prontosync.tables.order import BadRows, OutOfOrder, stumble
from prontosync.tables.states import store_rows
from tests.fixtures.rows import DDL, TYPES, Keeper, as_table, random_rows, same_values, shuffled

PAIR = TableSchema((Column("a", "int64"), Column("b", "text"), Column("v", "int64")), ("a", "b"))


@pytest.fixture(scope="module")
def keeper() -> Keeper:
    return Keeper()


def keep(keeper: Keeper, schema: TableSchema, batches: list[list[tuple[Any, ...]]], ordered: bool) -> None:
    arrow = arrow_schema(schema)
    made = [
        pa.RecordBatch.from_arrays(
            [pa.array(column, f.type) for column, f in zip(zip(*rows, strict=True), arrow, strict=True)], schema=arrow
        )
        for rows in batches
    ]
    store_rows(keeper.store, keeper.engine, "stock", schema, DDL, made, ordered)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([[(1, "x", 0), (1, "y", 0)], [(1, "y", 5)]], "a=1, b=y"),
        ([[(1, "x", 0), (1, "x", 1)]], "a=1, b=x"),
        ([[(1, "x", 0)], [(1, "x", 1)], [(2, "x", 1)]], "a=1, b=x"),
    ],
)
def test_twins_are_refused(keeper: Keeper, batches: list[list[tuple[Any, ...]]], words: str, ordered: bool) -> None:
    with pytest.raises(BadRows) as caught:
        keep(keeper, PAIR, batches, ordered)
    assert caught.value.exit == 18
    assert caught.value.message == f'table "stock" has two rows with the key ({words})'


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("batches", [[[(1, "x", 0), (2, None, 0)]], [[(1, "x", 0)], [(2, None, 0)]]])
def test_null_keys_are_refused(keeper: Keeper, batches: list[list[tuple[Any, ...]]], ordered: bool) -> None:
    with pytest.raises(BadRows, match=r'^table "stock", row \(a=2, b=NULL\): NULL in key column "b"$'):
        keep(keeper, PAIR, batches, ordered)


@pytest.mark.parametrize(("a", "b"), [(float("nan"), float("nan")), (0.0, -0.0)])
@pytest.mark.parametrize("ordered", [True, False])
def test_floats_that_are_equal_here_are_twins(keeper: Keeper, a: float, b: float, ordered: bool) -> None:
    schema = TableSchema((Column("k", "float64"),), ("k",))
    with pytest.raises(BadRows, match="two rows"):
        keep(keeper, schema, [[(a,)], [(b,)]], ordered)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_of_the_source_comes_out_as_it_is(keeper: Keeper, ordered: bool) -> None:
    rows = as_table(PAIR, [(1, "x", 0)])

    def failing() -> Iterator[pa.RecordBatch]:
        yield from rows.to_batches()
        raise Busy("the database is locked")

    with pytest.raises(Busy, match="the database is locked"):
        store_rows(keeper.store, keeper.engine, "stock", PAIR, DDL, failing(), ordered)
    keep(keeper, PAIR, [[(1, "x", 0)]], ordered)


@pytest.mark.parametrize("logical", TYPES)
def test_every_type_can_be_a_key(keeper: Keeper, logical: str) -> None:
    schema = TableSchema((Column("v", "text"), Column("k", logical), Column("n", "int64")), ("k", "n"))
    rows = random_rows(schema, 60, seed=11)
    assert same_values(keeper.keep(schema, shuffled(rows, 1), ordered=False).rows(), rows)


@pytest.mark.parametrize(
    "batches",
    [
        [[(2, "x", 0), (1, "x", 0)]],
        [[(1, "y", 0), (1, "x", 0)]],
        [[(1, "x", 0)], [(2, "b", 0)], [(2, "B", 0)]],
        [[(1, "x", 0), (3, "x", 0)], [(2, "z", 0)]],
    ],
)
def test_a_broken_promise_of_order_is_never_stored(keeper: Keeper, batches: list[list[tuple[Any, ...]]]) -> None:
    with pytest.raises(OutOfOrder, match="came after"):
        keep(keeper, PAIR, batches, ordered=True)
    keep(keeper, PAIR, batches, ordered=False)


@pytest.mark.parametrize("seed", range(20))
def test_order_is_that_of_the_engine(seed: int) -> None:
    rng = random.Random(seed)
    schema = TableSchema(tuple(Column(f"k{n}", rng.choice(TYPES)) for n in range(3)), ("k0", "k1", "k2"))
    rows = random_rows(schema, 40, seed)
    assert stumble(rows, schema) is None
    if rows.num_rows > 1:
        swapped = pa.concat_tables([rows.slice(1, 1), rows.slice(0, 1), rows.slice(2)])
        assert stumble(swapped, schema) == 0
        assert stumble(pa.concat_tables([rows.slice(0, 1), rows]), schema) == 0
