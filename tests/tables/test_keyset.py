"""Membership, splitting and ordering by keys, against plain Python."""

from __future__ import annotations

import random

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.model.schema import TableSchema
from prontosync.model.values import orderable_row
from prontosync.tables.keyset import among, in_order, occurrences, split
from tests.fixtures.rows import as_python, edited, identity, key_of, shuffled, tables


@settings(max_examples=60)
@given(tables(40), st.integers(0, 2**32))
def test_like_sets_of_keys(drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
    schema, rows = drawn
    others = shuffled(edited(schema, rows, seed, share=0.6), seed)
    wanted = {identity(schema, row) for row in as_python(others)}
    mask = [identity(schema, row) in wanted for row in as_python(rows)]
    assert among(rows, others, schema.key).tolist() == mask
    inside, outside = split(rows, others, schema.key)
    assert inside.num_rows == sum(mask)
    left = [identity(schema, row) for row, found in zip(as_python(rows), mask, strict=True) if not found]
    assert [identity(schema, row) for row in as_python(outside)] == left


@settings(max_examples=60)
@given(tables(40), st.integers(0, 2**32), st.integers(0, 4))
def test_how_often_a_key_came_before(drawn: tuple[TableSchema, pa.Table], seed: int, times: int) -> None:
    schema, rows = drawn
    many = pa.concat_tables([rows.slice(0, 0), *(shuffled(rows, seed + n) for n in range(times))])
    keys = [identity(schema, row) for row in as_python(many)]
    assert occurrences(many, schema.key).to_pylist() == [keys[:n].count(key) for n, key in enumerate(keys)]


@settings(max_examples=60)
@given(tables(40), st.integers(0, 2**32))
def test_key_order(drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
    schema, rows = drawn
    ordered = in_order(shuffled(rows, seed), schema.key)
    keys = [orderable_row(key_of(schema, row)) for row in as_python(ordered)]
    assert keys == sorted(keys)


def test_keys_of_many_columns_with_many_values() -> None:
    rng = random.Random(1)
    names = [str(n) for n in range(8)]
    rows = pa.table({name: [rng.randrange(1 << 40) for _ in range(3_000)] for name in names})
    half = rows.slice(0, 1_500)
    assert among(rows, half, names).tolist() == [n < 1_500 for n in range(3_000)]


def test_columns_with_names_that_look_like_paths() -> None:
    rows = pa.table({".a": [2, 1], "[0]": ["x", "y"]})
    assert in_order(rows, [".a", "[0]"]).column(".a").to_pylist() == [1, 2]
