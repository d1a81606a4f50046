"""How a table is cut into segments, and which of them are kept when it changes."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from prontosync.model.objects import Changes
from prontosync.model.schema import Column, TableSchema
from prontosync.tables import parquet
from prontosync.tables.layout import LIMITS, Limits
from prontosync.tables.patch import patch_schema
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes, store_rows
from tests.fixtures.rows import DDL, Keeper, same_values

SCHEMA = TableSchema((Column("id", "int64"), Column("v", "int64")), ("id",))
BLOBS = TableSchema((Column("id", "int64"), Column("v", "bytes")), ("id",))
SMALL = Limits(rows=100, bytes=1 << 20)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


def numbers(ids: list[int], values: dict[int, int] | None = None) -> pa.Table:
    return pa.table(
        {"id": pa.array(ids, pa.int64()), "v": pa.array([(values or {}).get(i, i % 7) for i in ids], pa.int64())}
    )


def keep(keeper: Keeper, rows: pa.Table, parent: StoredTable | None = None, limits: Limits = SMALL) -> StoredTable:
    schema = SCHEMA if rows.schema.field("v").type == pa.int64() else BLOBS
    state = store_rows(keeper.store, keeper.engine, "t", schema, DDL, rows.to_batches(), True, parent, limits).state
    table = keeper.at(state)
    assert same_values(table.rows(), rows)
    return table


def counts(table: StoredTable) -> list[int]:
    return [segment.rows for segment in table.segments]


def objects(table: StoredTable) -> list[str]:
    return [segment.object for segment in table.segments]


def test_a_new_table_fills_its_segments(keeper: Keeper) -> None:
    assert counts(keep(keeper, numbers(list(range(250))))) == [100, 100, 50]
    assert counts(keep(keeper, numbers([]))) == []
    assert counts(keep(keeper, numbers(list(range(40_000))), limits=LIMITS)) == [16_384, 16_384, 7_232]


def test_rows_are_cut_by_their_bytes_too(keeper: Keeper) -> None:
    rows = pa.table(
        {"id": pa.array(range(2_000)), "v": pa.array([random.Random(n).randbytes(4_000) for n in range(2_000)])}
    )
    table = keep(keeper, rows, limits=LIMITS)
    for segment in table.segments:
        assert LIMITS.bytes // 2 < table.segment_rows(segment).nbytes <= LIMITS.bytes or segment is table.segments[-1]


def test_a_big_blob_lies_alone(keeper: Keeper) -> None:
    blobs = [b"small"] * 1_000
    blobs[400] = random.Random(1).randbytes(1 << 20) * 50
    rows = pa.table({"id": pa.array(range(1_000)), "v": pa.array(blobs, pa.binary())})
    table = keep(keeper, rows, limits=LIMITS)
    assert counts(table) == [400, 1, 599]
    changed = rows.slice(0, 999)
    assert objects(keep(keeper, changed, table, LIMITS))[:2] == objects(table)[:2]


@pytest.mark.parametrize("kind", ["segment", "patch"])
def test_what_compresses_beyond_reason_is_kept_as_it_is(kind: parquet.Kind) -> None:
    rows = pa.table({"id": [1], "v": [bytes(70 << 20)]})
    data = parquet.encode(rows, kind)
    assert parquet.decode(data, rows.schema).equals(rows)


def test_a_changed_row_costs_a_patch(keeper: Keeper) -> None:
    before = keep(keeper, numbers(list(range(1_000))))
    after = keep(keeper, numbers(list(range(1_000)), {555: -1}), before)
    assert after.state.checkpoint == before.state.checkpoint
    assert len(after.state.patches) == 1
    assert after.patch is not None
    assert after.patch.to_pylist() == [{"id": 555, "v": -1, "_ps_change": "upsert"}]
    assert after.state.changes == Changes(0, 1, 0)


def test_many_changed_rows_cost_their_segment(keeper: Keeper) -> None:
    before = keep(keeper, numbers(list(range(1_000))))
    changed = dict.fromkeys(range(510, 535), -1)
    after = keep(keeper, numbers(list(range(1_000)), changed | {120: -1}), before)
    differing = [i for i, (a, b) in enumerate(zip(objects(before), objects(after), strict=True)) if a != b]
    assert differing == [5]
    assert after.patch is not None
    assert after.patch.column("id").to_pylist() == [120]
    assert after.state.changes == Changes(0, 26, 0)


def test_appended_rows_fill_the_last_segment(keeper: Keeper) -> None:
    before = keep(keeper, numbers(list(range(250))))
    after = keep(keeper, numbers(list(range(420))), before)
    assert counts(after) == [100, 100, 100, 100, 20]
    assert objects(after)[:2] == objects(before)[:2]


def test_rows_in_a_full_segment_split_it_in_halves(keeper: Keeper) -> None:
    before = keep(keeper, numbers([n * 2 for n in range(300)]))
    after = keep(keeper, numbers(sorted([*(n * 2 for n in range(300)), *(201 + 2 * n for n in range(31))])), before)
    assert counts(after) == [100, 66, 65, 100]


def test_rows_before_the_first_go_to_the_first_segment(keeper: Keeper) -> None:
    before = keep(keeper, numbers(list(range(100, 350))))
    after = keep(keeper, numbers(list(range(50, 350))), before)
    assert objects(after)[2:] == objects(before)[1:]


@pytest.mark.parametrize("whole", [True, False])
def test_what_little_is_left_of_a_segment_joins_the_next(keeper: Keeper, whole: bool) -> None:
    before = keep(keeper, numbers(list(range(500))))
    left = [n for n in range(500) if not 103 <= n < 200]
    if whole:
        after = keep(keeper, numbers(left), before)
    else:
        gone = pa.table(
            {"id": range(103, 200), "v": pa.nulls(97, pa.int64()), "_ps_change": ["delete"] * 97},
            schema=patch_schema(SCHEMA),
        )
        after = keeper.at(store_changes(before, gone, limits=SMALL))
    assert counts(after) == [100, 52, 51, 100, 100]
    assert after.state.changes == Changes(0, 0, 97)


def test_big_rows_that_are_few_do_not_count_as_little(keeper: Keeper) -> None:
    limits = Limits(rows=1_000, bytes=4_000)
    rows = pa.table({"id": pa.array(range(40)), "v": pa.array([bytes([n]) * 900 for n in range(40)])})
    before = keep(keeper, rows, limits=limits)
    after = keep(keeper, rows.filter(pa.compute.not_equal(rows["id"], 9)), before, limits)
    assert len(set(objects(before)) - set(objects(after))) == 1


def test_a_whole_segment_may_go(keeper: Keeper) -> None:
    before = keep(keeper, numbers(list(range(300))))
    after = keep(keeper, numbers([n for n in range(300) if not 100 <= n < 200]), before)
    assert objects(after) == [objects(before)[0], objects(before)[2]]
    emptied = keep(keeper, numbers([]), before)
    assert (counts(emptied), emptied.state.changes) == ([], Changes(0, 0, 300))
    assert keep(keeper, numbers([5]), emptied).state.changes == Changes(1, 0, 0)


def test_going_back_finds_the_old_segments(keeper: Keeper) -> None:
    first = keep(keeper, numbers(list(range(1_000))))
    second = keep(keeper, numbers(list(range(1_000)), dict.fromkeys(range(50), 99)), first)
    assert len(set(objects(second)) - set(objects(first))) == 1
    third = keep(keeper, numbers(list(range(1_000))), second)
    assert objects(third) == objects(first)
    assert third.state.patches == ()


def test_rows_that_move_through_many_states_keep_sound_segments(keeper: Keeper) -> None:
    rng = random.Random(3)
    ids = set(range(0, 3_000, 3))
    table = keep(keeper, numbers(sorted(ids)))
    for _ in range(12):
        low = rng.randrange(3_000)
        ids = {n for n in ids if not low <= n < low + rng.randrange(400)}
        ids |= {rng.randrange(3_000) for _ in range(rng.randrange(150))} | set(range(low, low + rng.randrange(60)))
        table = keep(keeper, numbers(sorted(ids)), table)
        assert max(counts(table)) <= SMALL.rows
        assert min(counts(table)[:-1]) >= SMALL.rows // 4
