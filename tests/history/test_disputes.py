"""Open conflicts as stored: they come back as they were, and no bytes of a candidate file do harm."""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.history.conflicts import conflicts_of
from prontosync.history.disputes import (
    Dispute,
    Disputes,
    Origin,
    candidate_rows,
    keys_table,
    name_order,
    read_disputes,
    rows_by_key,
    write_disputes,
)
from prontosync.history.live_rows import decode_pins, encode_pins
from prontosync.history.sets import Cells, Rows, State, shown_row
from prontosync.model.changes import PRESENT
from prontosync.model.encoding import MalformedObject
from prontosync.model.schema import Column, TableSchema
from prontosync.model.values import Row, canonical, restored
from prontosync.tables import parquet
from prontosync.tables.reader import StoredTable
from tests.fixtures.rows import Keeper, as_table, identity, random_row, random_value, schemas

SCHEMA = TableSchema((Column("id", "int64"), Column("name", "text"), Column("day", "date")), ("id",))
ORIGINS = [
    Origin(branch, digit * 64, "cell", "2026-11-24T08:00:00Z") for branch, digit in (("main", "a"), ("stores/012", "b"))
]


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


def _random_disputes(schema: TableSchema, seed: int) -> tuple[Disputes, list[Row]]:
    """Disputes of random rows, and the rows that the table shows."""
    rng = random.Random(seed)
    shown, disputes = [], Disputes(schema)
    for _ in range(rng.randrange(5)):
        row = tuple(canonical(v) for v in random_row(schema, rng))
        key = identity(schema, row)
        if key in disputes.rows:
            continue
        state = _random_state(schema, row, rng)
        if state is None:
            continue
        dispute = Dispute(state)
        for candidate in list(dispute.candidates(schema)):
            for origin in rng.sample(ORIGINS, rng.randrange(1, 3)):
                dispute.add(candidate.column, candidate.value, origin)
        disputes.rows[key] = dispute
        one = shown_row(state, name_order(schema))
        if one is not None:
            shown.append(tuple(restored(v) for v in one))
    return disputes, shown


def _random_state(schema: TableSchema, row: Row, rng: random.Random) -> State:
    other = tuple(v if c.name in schema.key else _value(c, rng) for c, v in zip(schema.columns, row, strict=True))
    if rng.random() < 0.4:
        rows = frozenset([row, rng.choice([None, other])])
        return Rows(rows) if len(rows) > 1 else None
    cells = tuple(frozenset([a, b]) for a, b in zip(row, other, strict=True))
    return Cells(cells) if any(len(cell) > 1 for cell in cells) else None


def _value(column: Column, rng: random.Random) -> Any:
    return canonical(random_value(column.type, rng))


@settings(max_examples=60)
@given(schemas(), st.integers(0, 2**32))
def test_disputes_and_pins_come_back_as_they_were(keeper: Keeper, schema: TableSchema, seed: int) -> None:
    disputes, shown = _random_disputes(schema, seed)
    table = keeper.keep(schema, as_table(schema, shown))
    written = write_disputes(keeper.store, disputes)
    assert (written is None) == (not disputes.rows)
    back = read_disputes(table, written)
    assert back.rows.keys() == disputes.rows.keys()
    assert {k: d.state for k, d in back.rows.items()} == {k: d.state for k, d in disputes.rows.items()}
    assert [list(d.candidates(schema)) for d in back.rows.values()] == [
        list(disputes.rows[key].candidates(schema)) for key in back.rows
    ]
    assert write_disputes(keeper.store, back) == written
    assert len(back) == len(list(conflicts_of("t", back)))
    pins = {key: rows_by_key(schema, table.rows()).get(key) for key in disputes.rows}
    assert decode_pins(schema, encode_pins(schema, pins)) == pins


def test_an_id_is_the_same_whichever_place_lists_the_conflict(keeper: Keeper) -> None:
    one = Disputes(SCHEMA, {(1,): Dispute(Cells((frozenset([1]), frozenset(["a", "b"]), frozenset([None]))))})
    turned = TableSchema(tuple(reversed(SCHEMA.columns)), SCHEMA.key)
    (a,), (b,) = conflicts_of("t", one), conflicts_of("t", one.in_columns(turned))
    assert a.id == b.id
    assert (a.column, a.shown, b.shown) == ("name", "a", "a")


def _good(keeper: Keeper) -> tuple[StoredTable, pa.Table]:
    day = datetime.date(2026, 11, 24)
    table = keeper.keep(SCHEMA, as_table(SCHEMA, [(1, "a", day), (2, "b", None)]))
    disputes = Disputes(
        SCHEMA,
        {
            (1,): Dispute(Cells((frozenset([1]), frozenset(["a", "z"]), frozenset([day, None])))),
            (2,): Dispute(Rows(frozenset([(2, "b", None), None]))),
        },
    )
    written = write_disputes(keeper.store, disputes)
    assert written is not None
    return table, candidate_rows(keeper.store, SCHEMA, written)


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_no_candidate_file_does_more_than_be_refused(keeper: Keeper, seed: int) -> None:
    table, good = _good(keeper)
    rng = random.Random(seed)
    for _ in range(rng.randrange(1, 4)):
        good = _mutated(good, rng)
    written = keeper.store.add(parquet.encode(good, "candidates"), "parquet").id
    try:
        disputes = read_disputes(table, written)
    except MalformedObject:
        return
    for conflict in conflicts_of("t", disputes):
        assert len(conflict.choices) > 1
    assert write_disputes(keeper.store, disputes) or not disputes.rows
    keys_table(SCHEMA, disputes.rows)


def _mutated(table: pa.Table, rng: random.Random) -> pa.Table:
    name = rng.choice(table.column_names)
    index = table.column_names.index(name)
    if pa.types.is_floating(table.field(index).type):
        return table
    kind = rng.choice(["cell", "cell", "cell", "row", "twice", "shuffle", "without", "type"])
    if kind == "cell" and table.num_rows:
        values = table.column(index).to_pylist() if name != "day" else table.column(index).cast(pa.int32()).to_pylist()
        values[rng.randrange(len(values))] = _odd(name, rng)
        column = (
            pa.array(values, pa.int32()).cast(pa.date32())
            if name == "day"
            else pa.array(values, table.field(index).type)
        )
        return table.set_column(index, table.field(index), column)
    if kind == "row":
        keep = [i for i in range(table.num_rows) if rng.random() < 0.7]
        return table.take(pa.array(keep, pa.int64()))
    if kind == "twice":
        return pa.concat_tables([table, table.slice(rng.randrange(table.num_rows + 1))])
    if kind == "without" and len(table.column_names) > 2:
        return table.drop_columns([name])
    if kind == "type" and name != "day":
        return table.set_column(index, name, pa.array([1.5] * table.num_rows, pa.float64()))
    return table


def _odd(name: str, rng: random.Random) -> Any:
    if name == "id":
        return rng.choice([None, 1, 2, 3, -(2**63)])
    if name == PRESENT:
        return rng.choice([None, True, False])
    if name == "day":
        return rng.choice([None, 2**31 - 1, -(2**31), 0])
    return rng.choice([None, "", "id", "name", "day", "_ps_column", "nothing"])
