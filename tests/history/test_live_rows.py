"""What a snapshot makes of disputed rows, and what an apply writes, against the rules on plain values."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.history.carried import plain_columns
from prontosync.history.disputes import Dispute, Disputes, Origin, name_order, rows_by_key
from prontosync.history.live_rows import DisputedRows, KeyChanged, live_delta
from prontosync.history.marks import Mark
from prontosync.history.sets import Cells, Rows, State, is_settled, settled, shown_row
from prontosync.model.schema import Column, TableSchema
from prontosync.model.values import Row
from prontosync.tables.reader import StoredTable
from tests.fixtures.merge_model import after_edit, applied
from tests.fixtures.rows import Keeper, as_table, pieces

SCHEMA = TableSchema(
    (Column("stock", "int64"), Column("id", "int64"), Column("price", "decimal(9,2)"), Column("note", "text")), ("id",)
)
TURNED = TableSchema(tuple(reversed(SCHEMA.columns)), ("id",))
ORIGIN = Origin("stores/012", "a" * 64, "cell", "2026-11-24T08:00:00Z")
KEYS = range(6)
Live = dict[int, Row]


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


def _row(key: int, rng: random.Random) -> Row:
    return (rng.randrange(3), key, rng.choice([None, Decimal("1.00"), Decimal("2.50")]), rng.choice([None, "a", "b"]))


def _state(key: int, rng: random.Random) -> State:
    dice = rng.random()
    if dice < 0.15:
        return None
    if dice < 0.35:
        rows = frozenset([_row(key, rng), rng.choice([None, _row(key, rng)])])
        return Rows(rows) if len(rows) > 1 else settled(_row(key, rng))
    other = _row(key, rng)
    cells = zip(_row(key, rng), other, strict=True)
    return Cells(tuple(frozenset([a, b]) if rng.random() < 0.3 else frozenset([a]) for a, b in cells))


def _plain(state: State) -> Any:
    return state.cells if isinstance(state, Cells) else state.rows if isinstance(state, Rows) else None


def _disputes(states: Mapping[int, State]) -> Disputes:
    return Disputes(SCHEMA, {(k,): Dispute(s) for k, s in states.items() if not is_settled(s)})


def _shown(keeper: Keeper, states: Mapping[int, State], schema: TableSchema = SCHEMA) -> StoredTable:
    rows = [row for state in states.values() if (row := shown_row(state, name_order(SCHEMA))) is not None]
    order = [SCHEMA.names.index(name) for name in schema.names]
    return keeper.keep(schema, as_table(schema, [tuple(row[i] for i in order) for row in rows]))


def _live(states: Mapping[int, State], rng: random.Random) -> Live:
    """What a till holds beside such a branch: its own row where there is a dispute."""
    found = {}
    for key, state in states.items():
        row = shown_row(state, name_order(SCHEMA)) if is_settled(state) else rng.choice([None, _row(key, rng)])
        if isinstance(state, Cells) and not is_settled(state):
            row = tuple(rng.choice([*cell, own]) if len(cell) > 1 else next(iter(cell)) for cell, own in
                        zip(state.cells, _row(key, rng), strict=True))  # fmt: skip
        if row is not None:
            found[key] = row
    return found


def _till(live: Live, rng: random.Random) -> Live:
    found = dict(live)
    for key in KEYS:
        dice = rng.random()
        if dice < 0.2:
            found.pop(key, None)
        elif dice < 0.5:
            found[key] = _row(key, rng)
    return found


@settings(max_examples=80)
@given(st.integers(0, 2**32), st.booleans())
def test_a_snapshot_replaces_the_tills_own_candidate_only(keeper: Keeper, seed: int, known: bool) -> None:
    rng = random.Random(seed)
    states = {key: state for key in KEYS if (state := _state(key, rng)) is not None}
    before = _live(states, rng)
    disputes = _disputes(states)
    pins = {key: before.get(key[0]) for key in disputes.rows}
    now = _till(before, rng)
    reading = DisputedRows(keeper.engine, disputes, pins if known else None, ORIGIN, plain_columns(SCHEMA))
    rows = as_table(SCHEMA, now.values())
    found = {row[1]: row for batch in reading.rows(pieces(rows, seed)) for row in _rows(batch)}
    for key in KEYS:
        if (key,) not in disputes.rows:
            assert found.get(key) == now.get(key)
            continue
        old = before.get(key) if known else now.get(key)
        expected = _plain(states[key])
        if old != now.get(key):
            expected = after_edit(expected, old, now.get(key))
        state = reading.disputes.rows[(key,)].state if (key,) in reading.disputes.rows else None
        if state is None:
            assert _plain(settled(found[key]) if key in found else None) == expected
        else:
            assert _plain(state) == expected
            assert found.get(key) == shown_row(state, name_order(SCHEMA))
            assert reading.pins[(key,)] == now.get(key)


def _rows(batch: Any) -> list[Row]:
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


@settings(max_examples=80)
@given(st.integers(0, 2**32))
def test_an_apply_writes_what_is_decided_and_leaves_the_rest(keeper: Keeper, seed: int) -> None:
    rng = random.Random(seed)
    states = {key: state for key in KEYS if (state := _state(key, rng)) is not None}
    after = {key: _state(key, rng) if rng.random() < 0.6 else states.get(key) for key in KEYS}
    after = {key: state for key, state in after.items() if state is not None}
    live = _live(states, rng)
    disputes, coming = _disputes(states), _disputes(after)
    pins = {key: live.get(key[0]) for key in disputes.rows}
    schema = rng.choice([SCHEMA, TURNED])
    new = _shown(keeper, after, schema)
    found = live_delta(_shown(keeper, states), disputes, pins, new, coming.in_columns(schema))
    rows = {(key,): row for key, row in live.items()}
    delta = found.deltas.joined()
    for change, name in ((delta.of_kind("update"), "old"), (delta.of_kind("delete"), "old")):
        for key, row in rows_by_key(SCHEMA, getattr(change, name)()).items():
            assert rows.pop(key) == row
    for kind in ("update", "insert"):
        for key, row in rows_by_key(SCHEMA, delta.of_kind(kind).new()).items():
            assert key not in rows
            rows[key] = row
    expected = {(key,): applied(_plain(after.get(key)), live.get(key)) for key in KEYS}
    assert rows == {key: row for key, row in expected.items() if row is not None}
    assert found.pins == {key: rows.get(key) for key in coming.rows}


def test_a_dispute_in_a_column_that_is_gone_is_over(keeper: Keeper) -> None:
    state = Cells((frozenset([1]), frozenset([7]), frozenset([Decimal(1), Decimal(2)]), frozenset(["a", "b"])))
    disputes = Disputes(SCHEMA, {(7,): Dispute(state)})
    schema = TableSchema((Column("id", "int64"), Column("price", "decimal(9,2)"), Column("new", "bool")), ("id",))
    pins = {(7,): (1, 7, Decimal(1), "a")}
    reading = DisputedRows(keeper.engine, disputes, pins, ORIGIN, plain_columns(schema))
    rows = [row for batch in reading.rows(pieces(as_table(schema, [(7, Decimal(3), True)]), 1)) for row in _rows(batch)]
    (dispute,) = reading.disputes.rows.values()
    assert dispute.state == Cells((frozenset([7]), frozenset([Decimal(2), Decimal(3)]), frozenset([True])))
    assert rows == [(7, Decimal(2), True)]


def test_a_key_that_changes_under_a_dispute_is_refused(keeper: Keeper) -> None:
    disputes = Disputes(SCHEMA, {(7,): Dispute(Rows(frozenset([(1, 7, None, "a"), None])))})
    for schema in (TableSchema(SCHEMA.columns, ("id", "note")), TableSchema((Column("id", "text"),), ("id",))):
        with pytest.raises(KeyChanged) as changed:
            DisputedRows(keeper.engine, disputes, None, ORIGIN, plain_columns(schema))
        assert changed.value.exit == 18


def test_a_held_row_that_is_not_live_is_shown_as_it_was_until_the_till_edits_it(keeper: Keeper) -> None:
    shown = (1, 0, None, "a")
    intent = Rows(frozenset([shown, (2, 0, None, "b"), None]))
    disputes = Disputes(SCHEMA, {(0,): Dispute(intent, mark=Mark("unique", "because"), shown=shown)})
    reading = DisputedRows(keeper.engine, disputes, {(0,): None}, ORIGIN, SCHEMA)
    assert [row for batch in reading.rows([]) for row in _rows(batch)] == [shown]
    assert reading.disputes.rows[(0,)].held
    own = (5, 0, None, "c")
    live = as_table(SCHEMA, [own]).to_batches()
    reading = DisputedRows(keeper.engine, disputes, {(0,): None}, ORIGIN, SCHEMA)
    assert [row for batch in reading.rows(live) for row in _rows(batch)] == [own]
