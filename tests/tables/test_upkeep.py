"""Patches stay few and small: how they are gathered and folded, and what a history of small changes costs (law 3)."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.model.objects import Changes
from prontosync.model.schema import Column, TableSchema
from prontosync.tables import parquet, runs
from prontosync.tables.layout import Limits
from prontosync.tables.patch import patch_schema
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes, store_rows
from tests.fixtures.rows import DDL, Keeper, same_values

SCHEMA = TableSchema((Column("id", "int64"), Column("v", "int64"), Column("w", "text")), ("id",))
LIMITS = Limits(rows=250, bytes=1 << 20)


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


class History:
    """A table of ``count`` rows, changed step by step, beside the same rows in a plain dict."""

    def __init__(self, keeper: Keeper, count: int) -> None:
        self.keeper, self.rng = keeper, random.Random(count)
        self.rows = {n: (n % 9, f"row {n % 31}") for n in range(count)}
        state = store_rows(
            keeper.store, keeper.engine, "t", SCHEMA, DDL, self.table.to_batches(), True, None, LIMITS
        ).state
        self.now = keeper.at(state)

    @property
    def table(self) -> pa.Table:
        ids = sorted(self.rows)
        columns = [ids, [self.rows[n][0] for n in ids], [self.rows[n][1] for n in ids]]
        return pa.table(columns, schema=patch_schema(SCHEMA).remove(3))

    @property
    def stored(self) -> int:
        store = self.keeper.store
        return sum(len(store.read(name)) for name in store.names())

    def change(self, updates: int, inserts: int, whole: bool) -> int:
        """Change rows, and how many bytes these take as one bare file."""
        touched = set(self.rng.sample(sorted(self.rows), updates))
        touched |= {max(self.rows) + 1 + n for n in range(inserts)}
        for n in touched:
            self.rows[n] = (self.rng.randrange(1 << 40), f"row {self.rng.randrange(31)}")
        ids = sorted(touched)
        columns = [ids, [self.rows[n][0] for n in ids], [self.rows[n][1] for n in ids], ["upsert"] * len(ids)]
        patch = pa.table(columns, schema=patch_schema(SCHEMA))
        if whole:
            keeper, rows = self.keeper, self.table.to_batches(777)
            state = store_rows(keeper.store, keeper.engine, "t", SCHEMA, DDL, rows, True, self.now, LIMITS).state
        else:
            state = store_changes(self.now, patch, limits=LIMITS)
        assert state.changes == Changes(inserts, updates, 0)
        self.now = self.keeper.at(state)
        return len(parquet.encode(patch, "patch"))


STEPS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.booleans()), min_size=1, max_size=40)
"""Updates, inserts, and whether the whole table is read."""


@settings(max_examples=12, deadline=None)
@given(steps=STEPS)
def test_a_history_costs_what_changed(steps: list[tuple[int, int, bool]]) -> None:
    """Law 3: the bytes added are at most a constant times those of the changed rows as bare files, and a small constant
    for each change."""
    history = History(Keeper(), 2_000)
    before, bare = history.stored, 0
    for updates, inserts, whole in steps:
        bare += history.change(updates, inserts, whole)
        assert len(history.now.state.patches) <= 10
    assert same_values(history.now.rows(), history.table)
    assert history.stored - before <= 4 * bare + 1_000 * len(steps)


def test_large_rows_that_change_one_by_one_are_gathered_too(keeper: Keeper) -> None:
    schema = TableSchema((Column("id", "int64"), Column("picture", "bytes")), ("id",))
    rng = random.Random(7)
    rows = pa.table({"id": range(400), "picture": [rng.randbytes(10_000) for _ in range(400)]})
    state = store_rows(keeper.store, keeper.engine, "t", schema, DDL, rows.to_batches(), True).state
    longest = 0
    for number in range(120):
        change = {"id": [number], "picture": [rng.randbytes(10_000)], "_ps_change": ["upsert"]}
        state = store_changes(keeper.at(state), pa.table(change, schema=patch_schema(schema)))
        longest = max(longest, len(state.patches))
    assert longest <= 10


def test_one_small_change_costs_one_small_file(keeper: Keeper) -> None:
    history = History(keeper, 5_000)
    before = history.stored
    bare = history.change(updates=1, inserts=0, whole=True)
    assert history.stored - before == bare < 1_000


def test_a_segment_with_many_changes_is_written_afresh(keeper: Keeper) -> None:
    history = History(keeper, 4_000)
    first = [segment.object for segment in history.now.segments]
    while history.now.segments[0].object == first[0]:
        history.change(updates=200, inserts=0, whole=False)
        assert len(history.now.state.patches) < 10
    patch = history.now.patch
    patched = 0 if patch is None else patch.num_rows
    assert patched < 4_000 // runs.FOLD_SHARE
    assert same_values(history.now.rows(), history.table)


def test_patches_never_grow_beyond_what_fits_in_memory(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    from prontosync.tables import upkeep

    monkeypatch.setattr(upkeep, "MAX_PATCH_BYTES", 3_000)
    monkeypatch.setattr(runs, "MAX_PATCH_BYTES", 3_000)
    history = History(keeper, 5_000)
    for whole in (True, False, True, False):
        history.change(updates=500, inserts=0, whole=whole)
        assert history.now.patch is None or history.now.patch.nbytes <= 3_000
        assert same_values(history.now.rows(), history.table)


def test_appended_rows_keep_the_segments_before_them(keeper: Keeper) -> None:
    history = History(keeper, 4_000)
    first = [segment.object for segment in history.now.segments]
    for _ in range(25):
        history.change(updates=0, inserts=37, whole=False)
    after = [segment.object for segment in history.now.segments]
    assert after[:16] == first
    assert len(after) > 16
    assert same_values(history.now.rows(), history.table)


def test_a_column_more_costs_no_row_that_lacks_it(keeper: Keeper) -> None:
    history = History(keeper, 5_000)
    history.change(updates=30, inserts=0, whole=False)
    wider = TableSchema((*SCHEMA.columns, Column("x", "int64")), SCHEMA.key)
    values = pa.array([7 if n == 5 else None for n in range(5_000)], pa.int64())
    rows = history.table.append_column("x", values)
    before = history.stored
    state = store_rows(keeper.store, keeper.engine, "t", wider, DDL, rows.to_batches(), True, history.now, LIMITS).state
    table = StoredTable(keeper.store, keeper.engine, "t", state)
    assert state.changes == Changes(0, 1, 0)
    assert history.stored - before < 3_000
    assert same_values(table.rows(), rows)
