"""The three-way merge of a table against the rules on plain values: any types, keys, sums, open disputes, segments."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.history.commits import Tree
from prontosync.history.disputes import (
    Dispute,
    Disputes,
    Origin,
    name_order,
    read_disputes,
    rows_by_key,
    write_disputes,
)
from prontosync.history.merge import Merged, MergeTerms, Sides, merge_trees
from prontosync.history.policies import Policies
from prontosync.history.sets import Cells, Rows, State, is_settled, shown_row
from prontosync.model.schema import Column, TableSchema, decimal_parts
from prontosync.model.values import Row, canonical, restored
from prontosync.tables.layout import LIMITS, Limits
from prontosync.tables.reader import StoredTable
from tests.fixtures.merge_model import merge_sets, narrowed, whole_rows
from tests.fixtures.rows import TYPES, Keeper, as_table, random_value, small_ranges

NAMES = ("id", "Größe", "a", 'quo"te', "select", "stock")
TINY = Limits(rows=2, bytes=2_000)
OURS, THEIRS = Origin("stores/012", "a" * 64, "", "t"), Origin("main", "b" * 64, "", "t")
Plain = Any
"""A row of a state as the model writes it: None, a tuple of frozensets, or a frozenset of whole rows and None."""


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


@dataclass(frozen=True)
class Case:
    """Three states of one table, by key; ``sums`` are columns, ``order`` is the order of columns on their side."""

    schema: TableSchema
    sums: frozenset[str]
    base: Mapping[Row, Plain] | None
    ours: Mapping[Row, Plain]
    theirs: Mapping[Row, Plain]
    order: tuple[int, ...]
    limits: Limits


@st.composite
def cases(draw: st.DrawFn) -> Case:
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    width = draw(st.integers(1, min(2, len(names))))
    schema = TableSchema(tuple(Column(n, draw(st.sampled_from(TYPES))) for n in names), tuple(names[-width:]))
    numeric = [c.name for c in schema.columns if _is_number(c.type) and c.name not in schema.key]
    sums = frozenset(draw(st.sets(st.sampled_from(numeric)))) if numeric else frozenset[str]()
    rng = random.Random(draw(st.integers(0, 2**32)))
    pool = _Pool(schema, sums, rng)
    start = {key: pool.state(key) for key in pool.keys if rng.random() < 0.7}
    sides = [pool.edited(start) for _ in range(2)]
    base = start if draw(st.booleans()) or draw(st.booleans()) else None
    order = tuple(draw(st.permutations(range(len(names)))))
    return Case(schema, sums, base, *sides, order, draw(st.sampled_from([TINY, LIMITS])))


class _Pool:
    """Few keys and few values a column, so that sides meet."""

    def __init__(self, schema: TableSchema, sums: frozenset[str], rng: random.Random) -> None:
        self.schema, self.rng = schema, rng
        self._values = [[self._value(c, c.name in sums) for _ in range(4)] for c in schema.columns]
        self._key_at = [schema.names.index(name) for name in schema.key]
        self.keys = list({self._key() for _ in range(9)})

    def edited(self, state: Mapping[Row, Plain]) -> dict[Row, Plain]:
        share = self.rng.choice([0.0, 0.3, 0.8])
        found = {}
        for key in self.keys:
            row = state.get(key)
            if self.rng.random() < share:
                row = self._touched(key, row)
            if row is not None:
                found[key] = row
        return found

    def state(self, key: Row) -> Plain:
        if self.rng.random() < 0.12:
            rows = frozenset([self._row(key), self._row(key), self.rng.choice([None, self._row(key)])])
            return narrowed(rows)
        return tuple(
            frozenset([value, self._cell(i)])
            if i not in self._key_at and self.rng.random() < 0.12
            else frozenset([value])
            for i, value in enumerate(self._row(key))
        )

    def _touched(self, key: Row, row: Plain) -> Plain:
        if self.rng.random() < 0.2:
            return None
        if not isinstance(row, tuple) or self.rng.random() < 0.2:
            return self.state(key)
        return tuple(
            cell if i in self._key_at or self.rng.random() < 0.6 else frozenset([self._cell(i)])
            for i, cell in enumerate(row)
        )

    def _row(self, key: Row) -> Row:
        return tuple(
            key[self._key_at.index(i)] if i in self._key_at else self._cell(i) for i in range(len(self.schema.columns))
        )

    def _cell(self, i: int) -> Any:
        return self.rng.choice(self._values[i])

    def _key(self) -> Row:
        columns = [self.schema.columns[i] for i in self._key_at]
        return tuple(canonical(random_value(c.type, self.rng, nullable=False)) for c in columns)

    def _value(self, column: Column, summed: bool) -> Any:
        if summed and column.type == "float64" and self.rng.random() < 0.5:
            return self.rng.choice([1.0, 2.5, -3.0, 0.1, 0.3])
        return canonical(random_value(column.type, self.rng, nullable=column.name not in self.schema.key))


@settings(max_examples=60)
@given(cases())
def test_a_merge_is_what_the_rules_say_whichever_side_is_called_ours(keeper: Keeper, case: Case) -> None:
    base, ours, theirs = _trees(keeper, case)
    rules = _terms(case)
    one = _merge(keeper, base, ours, theirs, rules)
    two = _merge(keeper, base, theirs, ours, rules)
    expected = _reference(case)
    assert _state(keeper, one, case.schema) == expected
    assert _state(keeper, two, case.schema) == expected
    a, b = (_table(keeper, found.tree) for found in (one, two))
    fresh = _tree(keeper, case.schema, expected, LIMITS)
    assert a.digest() == b.digest() == _table(keeper, fresh).digest()
    assert a.state.rows == b.state.rows == len(a.rows())
    assert not one.preferred
    with small_ranges(2, many=0):
        ranged = _merge(keeper, base, ours, theirs, rules)
    assert _state(keeper, ranged, case.schema) == expected
    assert _table(keeper, ranged.tree).digest() == a.digest()
    assert (ranged.counts, ranged.tree.conflicts) == (one.counts, one.tree.conflicts)


@settings(max_examples=25)
@given(cases(), st.sampled_from(["ours", "theirs"]))
def test_prefer_decides_what_nothing_else_does(keeper: Keeper, case: Case, prefer: str) -> None:
    base, ours, theirs = _trees(keeper, case)
    merged = _merge(keeper, base, ours, theirs, _terms(case, prefer))
    plain, base_rows = _reference(case), case.base or {}
    decided = {
        key: _preferred(prefer, row, base_rows.get(key), case.ours.get(key), case.theirs.get(key))
        for key, row in plain.items()
    }
    expected = {key: row for key, row in decided.items() if row is not None}
    assert _state(keeper, merged, case.schema) == expected
    assert merged.preferred == (decided != plain)


@settings(max_examples=12)
@given(cases())
def test_a_side_that_did_nothing_changes_nothing(keeper: Keeper, case: Case) -> None:
    base, ours, _ = _trees(keeper, case)
    rules = _terms(case)
    for sides in ((base, ours, base), (ours, ours, ours), (base, base, base)):
        if case.base is not None:
            merged = _merge(keeper, *sides, rules)
            assert merged.tree == sides[1]
            assert not merged.counts
    if case.base is not None:
        assert _state(keeper, _merge(keeper, base, base, ours, rules), case.schema) == dict(case.ours)


@settings(max_examples=25)
@given(cases())
def test_candidates_come_back_with_their_origins(keeper: Keeper, case: Case) -> None:
    base, ours, theirs = _trees(keeper, case)
    merged = _merge(keeper, base, ours, theirs, _terms(case))
    table = _table(keeper, merged.tree)
    disputes = read_disputes(table, merged.tree.conflicts.get("t"))
    assert write_disputes(keeper.store, disputes) == merged.tree.conflicts.get("t")
    for dispute in disputes.rows.values():
        for candidate in dispute.candidates(table.schema):
            assert {origin.branch for origin in candidate.origins} <= {OURS.branch, THEIRS.branch, "here", "there"}


def _terms(case: Case, prefer: str | None = None) -> MergeTerms:
    def policies(table: StoredTable) -> Policies:
        columns = tuple("sum" if name in case.sums else None for name in table.schema.names)
        return Policies(columns=columns, preferred=(None,) * len(columns))

    return MergeTerms(policies=policies, prefer=prefer)


def _trees(keeper: Keeper, case: Case) -> tuple[Tree, Tree, Tree]:
    schema = case.schema
    permuted = TableSchema(tuple(schema.columns[i] for i in case.order), schema.key)
    theirs = {key: _permuted(row, case.order) for key, row in case.theirs.items()}
    base = Tree() if case.base is None else _tree(keeper, schema, case.base, case.limits)
    return base, _tree(keeper, schema, case.ours, case.limits), _tree(keeper, permuted, theirs, LIMITS)


def _tree(keeper: Keeper, schema: TableSchema, states: Mapping[Row, Plain], limits: Limits) -> Tree:
    order = name_order(schema)
    found = {key: _state_of(row) for key, row in states.items()}
    rows = [row for state in found.values() if (row := shown_row(state, order)) is not None]
    table = keeper.keep(schema, as_table(schema, [tuple(restored(v) for v in row) for row in rows]), limits=limits)
    disputes = Disputes(schema, {key: _dispute(schema, state) for key, state in found.items() if not is_settled(state)})
    identity = write_disputes(keeper.store, disputes)
    return Tree({"t": table.state}, {"t": identity} if identity else {})


def _dispute(schema: TableSchema, state: State) -> Dispute:
    dispute = Dispute(state)
    for candidate in list(dispute.candidates(schema)):
        kind = "row" if candidate.column is None else "cell"
        dispute.add(candidate.column, candidate.value, Origin("here", "c" * 64, kind, "s"))
        if hash(repr(candidate.value)) % 3 == 0:
            dispute.add(candidate.column, candidate.value, Origin("there", "d" * 64, kind, "s"))
    return dispute


def _merge(keeper: Keeper, base: Tree, ours: Tree, theirs: Tree, rules: MergeTerms) -> Merged:
    return merge_trees(keeper.store, keeper.engine, Sides(base, ours, theirs, OURS, THEIRS), rules)


def _table(keeper: Keeper, tree: Tree) -> StoredTable:
    return keeper.at(tree.tables["t"])


def _state(keeper: Keeper, merged: Merged, schema: TableSchema) -> dict[Row, Plain]:
    """The merged state as the model writes it, in the columns of ``schema``."""
    table = _table(keeper, merged.tree)
    disputes = read_disputes(table, merged.tree.conflicts.get("t"))
    order = [table.schema.names.index(name) for name in schema.names]
    rows = rows_by_key(table.schema, table.rows())
    found = {key: disputes.state(key, rows.get(key)) for key in {*rows, *disputes.rows}}
    shown = {key: shown_row(state, name_order(table.schema)) for key, state in found.items()}
    assert {key: row for key, row in shown.items() if row is not None} == rows
    return {key: _permuted(_plain(state), order) for key, state in found.items()}


def _reference(case: Case) -> dict[Row, Plain]:
    base = case.base or {}
    totals = [_total(c.type) if c.name in case.sums else None for c in case.schema.columns]
    keys = base.keys() | case.ours.keys() | case.theirs.keys()
    merged = {key: _merged(totals, base.get(key), case.ours.get(key), case.theirs.get(key)) for key in keys}
    return {key: row for key, row in merged.items() if row is not None}


def _merged(totals: Sequence[Any], base: Plain, ours: Plain, theirs: Plain) -> Plain:
    if all(isinstance(row, tuple) for row in (base, ours, theirs)):
        return tuple(_merged_cell(*cell) for cell in zip(totals, base, ours, theirs, strict=True))
    if theirs in (ours, base):
        return ours
    if ours == base:
        return theirs
    return narrowed(merge_sets(whole_rows(base), whole_rows(ours), whole_rows(theirs)))


def _merged_cell(total: Any, *cells: frozenset[Any]) -> frozenset[Any]:
    if total is not None and all(len(cell) == 1 for cell in cells):
        values = [restored(next(iter(cell))) for cell in cells]
        if None not in values and (result := total(*values)) is not None:
            return frozenset([canonical(result)])
    return merge_sets(*cells)


def _total(logical: str) -> Any:
    """An exact sum; of floats, the side that changed, where only one did."""
    if logical == "int64":
        return lambda b, o, t: o + t - b if -(2**63) <= o + t - b < 2**63 else None
    parts = decimal_parts(logical)
    if parts is None:
        return lambda b, o, t: t if _same(o, b) else o if _same(t, b) else o + t - b

    def total(*values: Decimal) -> Decimal | None:
        b, o, t = (int(value.scaleb(parts[1], _WIDE)) for value in values)
        return Decimal(o + t - b).scaleb(-parts[1], _WIDE) if abs(o + t - b) < 10 ** parts[0] else None

    return total


_WIDE = Context(prec=120)


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _preferred(prefer: str, row: Plain, base: Plain, ours: Plain, theirs: Plain) -> Plain:
    """A merged row after ``--prefer``: where both sides changed a cell and it is open, the preferred side's."""
    if all(isinstance(one, tuple) for one in (row, base, ours, theirs)):
        return tuple(
            _preferred_of(prefer, *cell) if len(cell[0]) > 1 else cell[0]
            for cell in zip(row, base, ours, theirs, strict=True)
        )
    return _preferred_of(prefer, row, base, ours, theirs) if isinstance(row, frozenset) else row


def _preferred_of(prefer: str, merged: Plain, base: Plain, ours: Plain, theirs: Plain) -> Plain:
    both_changed = base not in (ours, theirs) and ours != theirs
    return merged if not both_changed else ours if prefer == "ours" else theirs


def _is_number(logical: str) -> bool:
    return logical in ("int64", "float64") or decimal_parts(logical) is not None


def _permuted(row: Plain, order: Sequence[int]) -> Plain:
    if isinstance(row, tuple):
        return tuple(row[i] for i in order)
    if isinstance(row, frozenset):
        return frozenset(None if one is None else tuple(one[i] for i in order) for one in row)
    return None


def _state_of(row: Plain) -> State:
    if row is None:
        return None
    return Cells(row) if isinstance(row, tuple) else Rows(row)


def _plain(state: State) -> Plain:
    if state is None:
        return None
    return state.cells if isinstance(state, Cells) else state.rows
