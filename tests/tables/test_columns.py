"""Some columns of a table are those of its rows, whatever segments and patches hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.model.schema import TableSchema
from prontosync.model.values import canonical
from prontosync.tables.columns import columns_of
from prontosync.tables.keyset import in_order
from prontosync.tables.states import store_changes
from tests.fixtures.rows import TINY, Keeper, as_python, random_patch, tables


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


def counted(pieces: list[pa.Table]) -> Counter[Any]:
    return Counter(tuple(map(canonical, row)) for piece in pieces for row in as_python(piece))


@settings(max_examples=100, deadline=None)
@given(tables(), st.integers(0, 2**32), st.integers(0, 2), st.data())
def test_columns_are_those_of_the_rows(
    keeper: Keeper, table: tuple[TableSchema, pa.Table], seed: int, patches: int, data: st.DataObject
) -> None:
    schema, rows = table
    kept = keeper.keep(schema, rows, limits=TINY)
    for n in range(patches):
        kept = keeper.at(store_changes(kept, random_patch(schema, rows, seed + n), limits=TINY))
    names = data.draw(st.lists(st.sampled_from(schema.names), min_size=1, unique=True))
    expected = counted([kept.rows().select(names)])
    assert counted(list(columns_of(kept, names))) == expected
    width = data.draw(st.integers(1, len(schema.key)))
    prefix = list(schema.key[:width])
    some = kept.rows().select(prefix)
    near = in_order(some.take(pa.array(range(0, len(some), 3), pa.int64())), prefix)
    wanted = {tuple(map(canonical, row)) for row in as_python(near)}
    found = counted(list(columns_of(kept, prefix, near)))
    whole = counted([some])
    assert all(found[value] == whole[value] for value in wanted)
    assert found <= whole


def test_segments_that_are_out_of_reach_are_not_read(keeper: Keeper) -> None:
    from prontosync.engine.arrow import arrow_schema
    from prontosync.model.schema import Column

    schema = TableSchema((Column("ticket", "int64"), Column("line", "int64"), Column("v", "text")), ("ticket", "line"))
    rows = pa.table([[n // 4 for n in range(80)], [n % 4 for n in range(80)], ["x"] * 80], schema=arrow_schema(schema))
    kept = keeper.keep(schema, rows, limits=TINY)
    assert len(kept.segments) == 10
    near = pa.table({"ticket": pa.array([5, 19], pa.int64())})
    pieces = list(columns_of(kept, ["line"], near))
    assert len(pieces) == 2
