"""The three-way merge of a table against the model: any types, keys, policies, writers, open disputes, segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.history.commits import Tree
from prontosync.history.decisions import OPEN, Decision
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
from prontosync.history.policies import NOBODY, Writer
from prontosync.history.sets import Cells, Rows, State, is_settled, shown_row
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, restored
from prontosync.tables.layout import LIMITS, Limits
from prontosync.tables.reader import StoredTable
from tests.fixtures.merge_cases import Case, Plain, cases, permuted, turned
from tests.fixtures.merge_rows import whole_rows
from tests.fixtures.rows import Keeper, as_table, small_ranges

OURS, THEIRS = Origin("stores/012", "a" * 64, "", "t"), Origin("main", "b" * 64, "", "t")


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


@settings(max_examples=60)
@given(cases())
def test_a_merge_is_what_the_model_says_whichever_side_is_called_ours(keeper: Keeper, case: Case) -> None:
    base, ours, theirs = _trees(keeper, case)
    one = _merge(keeper, case, base, ours, theirs)
    two = _merge(keeper, turned(case), base, theirs, ours)
    expected = case.table()
    assert _state(keeper, one, case.schema) == expected
    assert _state(keeper, two, case.schema) == expected
    a, b = (_table(keeper, found.tree) for found in (one, two))
    fresh = _tree(keeper, case.schema, expected, LIMITS)
    assert a.digest() == b.digest() == _table(keeper, fresh).digest()
    assert a.state.rows == b.state.rows == len(a.rows())
    assert one.preferred == two.preferred == case.was_judged
    with small_ranges(2, many=0):
        ranged = _merge(keeper, case, base, ours, theirs)
    assert _state(keeper, ranged, case.schema) == expected
    assert _table(keeper, ranged.tree).digest() == a.digest()
    assert (ranged.counts, ranged.tree.conflicts) == (one.counts, one.tree.conflicts)


@settings(max_examples=25)
@given(cases(), st.sampled_from(["ours", "theirs"]))
def test_prefer_decides_what_nothing_else_does(keeper: Keeper, case: Case, prefer: str) -> None:
    base, ours, theirs = _trees(keeper, case)
    merged = _merge(keeper, case, base, ours, theirs, prefer=prefer)
    plain = case.table()
    decided = {key: _preferred(prefer, row, *case.rows(key)) for key, row in plain.items()}
    expected = {key: row for key, row in decided.items() if row is not None}
    assert _state(keeper, merged, case.schema) == expected
    assert merged.preferred == (decided != plain or case.was_judged)


@settings(max_examples=12)
@given(cases())
def test_a_side_that_did_nothing_changes_nothing(keeper: Keeper, case: Case) -> None:
    base, ours, _ = _trees(keeper, case)
    if case.base is None:
        return
    for sides in ((base, ours, base), (ours, ours, ours), (base, base, base)):
        merged = _merge(keeper, case, *sides, writers=(NOBODY, NOBODY))
        assert merged.tree == sides[1]
        assert not merged.counts
    taken = _merge(keeper, case, base, base, ours, writers=(NOBODY, NOBODY))
    assert _state(keeper, taken, case.schema) == dict(case.ours)


@settings(max_examples=25)
@given(cases())
def test_candidates_come_back_with_their_origins_and_kinds(keeper: Keeper, case: Case) -> None:
    base, ours, theirs = _trees(keeper, case)
    merged = _merge(keeper, case, base, ours, theirs)
    table = _table(keeper, merged.tree)
    disputes = read_disputes(table, merged.tree.conflicts.get("t"))
    assert write_disputes(keeper.store, disputes) == merged.tree.conflicts.get("t")
    for key, dispute in disputes.rows.items():
        for candidate in dispute.candidates(table.schema):
            assert {origin.branch for origin in candidate.origins} <= {OURS.branch, THEIRS.branch, "here", "there", ""}
            new = {o.kind for o in candidate.origins if o.branch in (OURS.branch, THEIRS.branch, "")}
            assert new <= {_kind(case, key, candidate.column)}


@settings(max_examples=40)
@given(cases())
def test_what_was_decided_is_told_once_and_nothing_else(keeper: Keeper, case: Case) -> None:
    base, ours, theirs = _trees(keeper, case)
    told: list[Decision] = []
    _merge(keeper, case, base, ours, theirs, explain=told.append)
    found = Counter((d.key, d.column, d.rule.partition(" (")[0], d.base, d.ours, d.theirs, d.result) for d in told)
    assert found == Counter(_decisions(case))


def _decisions(case: Case) -> Iterator[tuple[Any, ...]]:
    """Each cell and row that a policy decided or that came to be in dispute here: key, column, rule, base, ours,
    theirs, result."""
    for key in case.keys:
        base, ours, theirs = case.rows(key)
        merged, rules = case.merged(key), case.rules_of(key)
        if isinstance(merged, tuple) and isinstance(ours, tuple) and isinstance(theirs, tuple):
            for i, name in enumerate(case.schema.names):
                if i in rules or (len(merged[i]) > 1 and _is_new(case, key, i)):
                    before = base[i] if isinstance(base, tuple) else frozenset()
                    yield key, name, rules.get(i, OPEN), before, ours[i], theirs[i], merged[i]
        elif None in rules or (not is_settled(_state_of(merged)) and _is_new(case, key, None)):
            yield key, None, rules.get(None, OPEN), *(whole_rows(row) for row in (base, ours, theirs, merged))


def _is_new(case: Case, key: Row, column: int | None) -> bool:
    """Whether a dispute is neither side's, or is there because of who wrote."""
    rows = [case.merged(key), *case.rows(key)[1:], case.merged(key, unjudged=True)]
    if column is not None:
        rows = [row[column] if isinstance(row, tuple) else None for row in rows]
    merged, ours, theirs, plain = rows
    return merged not in (ours, theirs) or merged != plain


def _kind(case: Case, key: Row, column: str | None) -> str:
    """The kind of a new conflict: "owner" where a candidate stands there because of who wrote."""
    merged, plain = case.merged(key), case.merged(key, unjudged=True)
    if column is not None:
        i = case.schema.names.index(column)
        merged, plain = merged[i], plain[i] if isinstance(plain, tuple) else None
    by_writer = not case.said.append_only or case.rows(key)[0] is None
    return "owner" if merged != plain and by_writer else "row" if column is None else "cell"


def _trees(keeper: Keeper, case: Case) -> tuple[Tree, Tree, Tree]:
    schema = case.schema
    other = TableSchema(tuple(schema.columns[i] for i in case.order), schema.key)
    theirs = {key: permuted(row, case.order) for key, row in case.theirs.items()}
    base = Tree() if case.base is None else _tree(keeper, schema, case.base, case.limits)
    return base, _tree(keeper, schema, case.ours, case.limits), _tree(keeper, other, theirs, LIMITS)


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


def _merge(
    keeper: Keeper,
    case: Case,
    base: Tree,
    ours: Tree,
    theirs: Tree,
    writers: tuple[Writer, Writer] | None = None,
    **terms: Any,
) -> Merged:
    sides = Sides(base, ours, theirs, OURS, THEIRS, *(writers or case.sides))
    said = MergeTerms(policies=lambda table: case.policies(table.schema), **terms)
    return merge_trees(keeper.store, keeper.engine, sides, said)


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
    return {key: permuted(_plain(state), order) for key, state in found.items()}


def _preferred(prefer: str, row: Plain, base: Plain, ours: Plain, theirs: Plain) -> Plain:
    """A merged row after ``--prefer``: where both sides changed a cell and it is open, the preferred side's."""
    if all(isinstance(one, tuple) for one in (row, base, ours, theirs)):
        return tuple(
            _preferred_of(prefer, *cell) if len(cell[0]) > 1 else cell[0]
            for cell in zip(row, base, ours, theirs, strict=True)
        )
    return row if is_settled(_state_of(row)) else _preferred_of(prefer, row, base, ours, theirs)


def _preferred_of(prefer: str, merged: Plain, base: Plain, ours: Plain, theirs: Plain) -> Plain:
    both_changed = base not in (ours, theirs) and ours != theirs
    return merged if not both_changed else ours if prefer == "ours" else theirs


def _state_of(row: Plain) -> State:
    if row is None:
        return None
    return Cells(row) if isinstance(row, tuple) else Rows(row)


def _plain(state: State) -> Plain:
    if state is None:
        return None
    return state.cells if isinstance(state, Cells) else state.rows
