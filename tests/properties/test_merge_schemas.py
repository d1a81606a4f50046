"""Merges across schemas against plain Python: a side that lacks a column did not change it, whatever else it did; and
conversions between types keep every value or refuse."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.engine.arrow import arrow_type
from prontosync.history.commits import Tree
from prontosync.history.disputes import Origin, read_disputes, rows_by_key
from prontosync.history.merge import Merged, MergeTerms, Sides, merge_trees
from prontosync.history.sets import Cells, Rows
from prontosync.model.lattice import joined_type
from prontosync.model.schema import Column, TableSchema
from prontosync.model.values import canonical
from prontosync.sources.conversion import Inexact, converted
from tests.fixtures.rows import TYPES, Keeper, as_table, random_value

COLUMNS = ("a", "b", "c")
OURS, THEIRS = Origin("stores/012", "a" * 64, "", "t"), Origin("main", "b" * 64, "", "t")
State = Mapping[int, Mapping[str, Any]]
"""Rows by key: the values of the columns that the side has."""


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


@dataclass(frozen=True)
class Case:
    """Three states, each with its own columns; without a base in one case of two."""

    base: State | None
    ours: State
    theirs: State
    columns: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = random.Random(draw(st.integers(0, 2**32)))
    of_base = tuple(name for name in COLUMNS if rng.random() < 0.7)
    columns = (of_base, *(tuple(n for n in COLUMNS if rng.random() < 0.6) for _ in range(2)))
    base = {key: _row(rng, columns[0]) for key in range(8) if rng.random() < 0.7}
    sides = [_edited(rng, base, own) for own in columns[1:]]
    return Case(base if rng.random() < 0.7 else None, sides[0], sides[1], columns)


def _row(rng: random.Random, columns: tuple[str, ...]) -> dict[str, Any]:
    return {name: rng.choice([None, 1, 2, 3]) for name in columns}


def _edited(rng: random.Random, base: State, columns: tuple[str, ...]) -> dict[int, dict[str, Any]]:
    found = {}
    for key in range(8):
        row = base.get(key)
        dice = rng.random()
        if row is None or dice < 0.15:
            if dice < 0.3 and row is None:
                found[key] = _row(rng, columns)
            continue
        found[key] = {
            name: rng.choice([1, 2, 3]) if rng.random() < 0.25 or name not in row else row[name] for name in columns
        }
    return found


@settings(max_examples=80)
@given(cases())
def test_a_side_that_lacks_a_column_did_not_change_it(keeper: Keeper, case: Case) -> None:
    one, two = _merged(keeper, case), _merged(keeper, _turned(case))
    expected = _expected(case)
    assert _found(keeper, one) == expected
    assert _found(keeper, two) == expected


def _turned(case: Case) -> Case:
    return Case(case.base, case.theirs, case.ours, (case.columns[0], case.columns[2], case.columns[1]))


def _merged(keeper: Keeper, case: Case) -> Merged:
    base = Tree() if case.base is None else _tree(keeper, case.base, case.columns[0])
    ours, theirs = _tree(keeper, case.ours, case.columns[1]), _tree(keeper, case.theirs, case.columns[2])
    return merge_trees(keeper.store, keeper.engine, Sides(base, ours, theirs, OURS, THEIRS), MergeTerms())


def _tree(keeper: Keeper, state: State, columns: tuple[str, ...]) -> Tree:
    schema = TableSchema(tuple(Column(name, "int64") for name in ("id", *columns)), ("id",))
    rows = [(key, *(row[name] for name in columns)) for key, row in sorted(state.items())]
    return Tree({"t": keeper.keep(schema, as_table(schema, rows)).state})


def _found(keeper: Keeper, merged: Merged) -> dict[int, Any]:
    table = keeper.at(merged.tree.tables["t"])
    disputes = read_disputes(table, merged.tree.conflicts.get("t"))
    rows = rows_by_key(table.schema, table.rows())
    names = table.schema.names
    found: dict[int, Any] = {}
    for key in {*rows, *disputes.rows}:
        state = disputes.state(key, rows.get(key))
        if isinstance(state, Cells):
            found[key[0]] = {n: set(cell) for n, cell in zip(names, state.cells, strict=True) if n != "id"}
        elif isinstance(state, Rows):
            found[key[0]] = {_frozen(names, row) for row in state.rows}
    return found


def _frozen(names: tuple[str, ...], row: Any) -> Any:
    return None if row is None else frozenset(pair for pair in zip(names, row, strict=True) if pair[0] != "id")


def _expected(case: Case) -> dict[int, Any]:
    every = {*case.columns[1], *case.columns[2]}
    base, ours, theirs = case.base or {}, case.ours, case.theirs
    found: dict[int, Any] = {}
    for key in {*base, *ours, *theirs}:
        b, o, t = (_whole(state.get(key), every) for state in (base, ours, theirs))
        for mine, other in ((o, t), (t, o)):
            _fill(mine, b if case.base is not None else other, every)
        if b is not None:
            b = {name: b.get(name) for name in every}
        state = _merged_row(b, o, t)
        if state is not None:
            found[key] = state
    return found


def _whole(row: Mapping[str, Any] | None, every: set[str]) -> dict[str, Any] | None:
    return None if row is None else {name: value for name, value in row.items() if name in every}


def _fill(row: dict[str, Any] | None, other: Mapping[str, Any] | None, every: set[str]) -> None:
    if row is not None:
        for name in every - row.keys():
            row[name] = other.get(name) if other is not None else None


def _merged_row(b: Any, o: Any, t: Any) -> Any:
    if b is not None and o is not None and t is not None:
        return {name: _cell(b[name], o[name], t[name]) for name in o}
    if t in (o, b):
        return _settled(o)
    if o == b:
        return _settled(t)
    return {None if row is None else frozenset(row.items()) for row in (o, t)}


def _cell(b: Any, o: Any, t: Any) -> set[Any]:
    return {o} if t in (o, b) else {t} if o == b else {o, t}


def _settled(row: Any) -> Any:
    return None if row is None else {name: {value} for name, value in row.items()}


@settings(max_examples=200)
@given(st.sampled_from(TYPES), st.sampled_from(TYPES), st.integers(0, 2**32))
def test_a_conversion_keeps_every_value_or_refuses(old: str, new: str, seed: int) -> None:
    rng = random.Random(seed)
    values = pa.array([random_value(old, rng) for _ in range(rng.choice([1, 1, 4]))], arrow_type(old))
    try:
        there = converted(values, old, new)
    except Inexact:
        assert old != new
        return
    assert there.type == arrow_type(new)
    assert there.is_null().equals(values.is_null())
    try:
        back = converted(there, new, old)
    except Inexact:
        # Numbers among text, or text that some type reads and writes in another way: those go one way only.
        return
    assert [canonical(value) for value in back.to_pylist()] == [canonical(value) for value in values.to_pylist()]


@given(st.sampled_from(TYPES), st.sampled_from(TYPES))
def test_types_meet_in_one_whoever_asks(a: str, b: str) -> None:
    assert joined_type(a, b) == joined_type(b, a)
    assert joined_type(a, a) == a
    assert joined_type(a, "any") == "any"
    met = joined_type(a, b)
    if met is not None:
        assert joined_type(met, a) == joined_type(met, b) == met
