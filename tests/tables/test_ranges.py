"""What differs between two states comes range by range, and costs what differs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.disk.objects import MemoryObjectStore
from prontosync.model.ids import ObjectName
from prontosync.model.schema import Column, TableSchema
from prontosync.model.values import orderable_row
from prontosync.tables.compare import Delta, Deltas, changes_between, deltas_between, gathered
from prontosync.tables.layout import Limits
from prontosync.tables.patch import patch_schema
from prontosync.tables.states import store_changes
from tests.fixtures.rows import (
    TINY,
    Keeper,
    as_python,
    edited,
    patch_between,
    random_patch,
    same_values,
    small_ranges,
    tables,
)

SCHEMA = TableSchema((Column("id", "int64"), Column("v", "int64")), ("id",))
SMALL = Limits(rows=100, bytes=1 << 20)
seeds = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


@settings(max_examples=25)
@given(tables(), seeds)
def test_pieces_are_the_changes_in_key_order(keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
    schema, rows = drawn
    base = keeper.keep(schema, rows, limits=TINY)
    left = keeper.at(store_changes(base, random_patch(schema, rows, seed), limits=TINY))
    right = keeper.keep(schema, edited(schema, rows, seed), base, limits=TINY)
    fresh = keeper.keep(schema, edited(schema, rows, seed + 1))
    for old, new in itertools.permutations((base, left, right, fresh), 2):
        whole = changes_between(old, new)
        with small_ranges(3):
            pieces = list(deltas_between(old, new))
        assert all(piece.table.num_rows for piece in pieces)
        assert same_values(_joined(whole, pieces), whole.table)
        keys = [orderable_row(key) for piece in pieces for key in as_python(piece.keys())]
        assert keys == sorted(keys)


def _joined(whole: Delta, pieces: list[Delta]) -> pa.Table:
    return pa.concat_tables([whole.table.slice(0, 0), *(piece.table for piece in pieces)])


def test_only_what_differs_is_read() -> None:
    store = _CountingStore()
    keeper = Keeper(store)
    rows = pa.table({"id": range(2_000), "v": [0] * 2_000})
    base = keeper.keep(SCHEMA, rows, limits=SMALL)
    patch = pa.table({"id": [5, 1_234], "v": [1, 1], "_ps_change": ["upsert"] * 2}, schema=patch_schema(SCHEMA))
    patched = keeper.at(store_changes(base, patch, limits=SMALL))
    rewritten = keeper.keep(SCHEMA, rows.slice(0, 1_950), keeper.at(base.state), limits=SMALL)
    for new, segments in ((patched, 2), (rewritten, 2)):
        store.read_ids.clear()
        assert next(deltas_between(keeper.at(base.state), keeper.at(new.state))).table.num_rows
        # Beside them, of both sides, the schema and the checkpoint, and one patch.
        assert len(store.read_ids) <= segments + 5


class _CountingStore(MemoryObjectStore):
    def __init__(self) -> None:
        super().__init__()
        self.read_ids: set[str] = set()

    def read(self, name: ObjectName) -> bytes:
        self.read_ids.add(name.id)
        return super().read(name)


def _deltas(keeper: Keeper, count: int) -> list[Delta]:
    old, new = (
        keeper.keep(SCHEMA, pa.table({"id": range(count), "v": [v] * count}), limits=Limits(rows=10)) for v in (0, 1)
    )
    with small_ranges(10):
        return list(deltas_between(old, new))


def test_few_changes_are_found_once_and_many_again(keeper: Keeper) -> None:
    found = _deltas(keeper, 95)
    assert len(found) > 2
    for pieces, times in ((found[:1], 1), (found, 3), ([], 1)):
        started = []

        def start(pieces: list[Delta] = pieces, started: list[int] = started) -> Iterator[Delta]:
            started.append(len(pieces))
            return iter(pieces)

        deltas = Deltas(SCHEMA, start)
        assert bool(deltas) == bool(pieces)
        assert deltas.counts.total == deltas.counts.updated == sum(piece.table.num_rows for piece in pieces)
        assert sum(piece.table.num_rows for piece in deltas) == deltas.counts.total
        assert len(started) == times


def test_small_pieces_are_joined(keeper: Keeper) -> None:
    found = _deltas(keeper, 95)
    (one,) = gathered(found)
    assert one.table.num_rows == 95
    assert not list(gathered([]))


@settings(max_examples=25)
@given(tables(), seeds)
def test_changes_may_come_in_pieces(keeper: Keeper, drawn: tuple[TableSchema, pa.Table], seed: int) -> None:
    """Folded as they come, they give the rows that they would give at once."""
    schema, rows = drawn
    base = keeper.keep(schema, rows, limits=TINY)
    patched = keeper.at(store_changes(base, random_patch(schema, rows, seed), limits=TINY))
    for parent in (base, patched):
        changes = patch_between(schema, parent.rows(), edited(schema, rows, seed))
        wanted = keeper.at(store_changes(parent, changes, limits=TINY))
        with small_ranges(3, many=0):
            found = keeper.at(store_changes(parent, changes, limits=TINY))
        assert same_values(found.rows(), wanted.rows())
        assert (found.state.rows, found.state.changes) == (wanted.state.rows, wanted.state.changes)
        assert found.digest() == wanted.digest()


@pytest.mark.parametrize("count", [0, 1_000])
def test_many_rows_in_one_range_come_in_parts(keeper: Keeper, count: int) -> None:
    """Between two rows, behind all rows, and into a table without any."""
    parent = keeper.keep(SCHEMA, pa.table({"id": [n * 10_000 for n in range(count)], "v": [0] * count}), limits=SMALL)
    ids = sorted({*range(1, 9_999), *range(9_999_001, 10_008_000)})
    changes = pa.table({"id": ids, "v": [1] * len(ids), "_ps_change": ["upsert"] * len(ids)})
    with small_ranges(3, many=0):
        table = keeper.at(store_changes(parent, changes.cast(patch_schema(SCHEMA)), limits=SMALL))
    assert table.rows().column("id").to_pylist() == sorted({*ids, *(n * 10_000 for n in range(count))})
    assert max(segment.rows for segment in table.segments) <= SMALL.rows
    assert len(table.segments) < 2 * table.state.rows / SMALL.rows
