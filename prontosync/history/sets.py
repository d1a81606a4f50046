"""The rules of merging, on plain values: a cell or a row that nothing decides is a set of candidates.

A row of a state is None (absent), a ``Cells`` (a set of candidate values for each column, in schema order; one value is
settled), or ``Rows`` (the row itself is in dispute: whole rows, and None for "absent"). Values are compared as
everywhere (``model.values``): they enter these sets in their canonical form, through ``key``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from prontosync.errors import Unfit
from prontosync.model.values import Row, Value, canonical, orderable, restored

T = TypeVar("T")
Cell = frozenset[Value]
MAX_PRODUCT = 10_000


class TooManyCandidates(Unfit):
    id = "too-many-candidates"


class Cells(NamedTuple):
    """A row that is present, with a set of candidates for each column."""

    cells: tuple[Cell, ...]


class Rows(NamedTuple):
    """A row whose existence or identity is in dispute: at least two candidates."""

    rows: frozenset[Row | None]


State = Cells | Rows | None


def settled(row: Row) -> Cells:
    return Cells(tuple(frozenset([canonical(value)]) for value in row))


def is_settled(state: State) -> bool:
    return state is None or (isinstance(state, Cells) and all(len(cell) == 1 for cell in state.cells))


def candidates(state: State) -> frozenset[Row | None]:
    """The whole rows that a row of a state may turn out to be. Raises TooManyCandidates."""
    if state is None:
        return frozenset([None])
    if isinstance(state, Rows):
        return state.rows
    number = 1
    for cell in state.cells:
        number *= len(cell)
    if number > MAX_PRODUCT:
        raise TooManyCandidates(
            f"a row with {number} combinations of disputed cells", "resolve some of its cells first"
        )
    return frozenset(itertools.product(*state.cells))


def is_candidate(state: State, row: Row | None) -> bool:
    """Whether a canonical row, or None for "absent", is among the candidates."""
    if isinstance(state, Cells):
        return row is not None and all(value in cell for value, cell in zip(row, state.cells, strict=True))
    return row in state.rows if isinstance(state, Rows) else row is None


def as_state(rows: frozenset[Row | None]) -> State:
    """The inverse, once a dispute over a whole row is down to one candidate."""
    if len(rows) > 1:
        return Rows(rows)
    (only,) = rows
    return None if only is None else settled(only)


def merge_sets(base: frozenset[T], ours: frozenset[T], theirs: frozenset[T]) -> frozenset[T]:
    """Three-way merge of sets: an unchanged side yields; a decided side keeps its decision and takes what is new."""
    if theirs in (ours, base):
        return ours
    if ours == base:
        return theirs
    if len(ours) == len(theirs) == 1:
        return ours | theirs
    if len(ours) == 1:
        return ours | (theirs - base)
    if len(theirs) == 1:
        return theirs | (ours - base)
    return ((ours & theirs) | (ours - base) | (theirs - base)) or (ours | theirs)


def snapshot_row(state: State, before: Row | None, now: Row | None) -> State:
    """What a disputed row becomes when the live database held ``before`` and holds ``now``: the till's own candidate is
    replaced, the others stand."""
    before, now = canonical_row(before), canonical_row(now)
    if before == now:
        return state
    if isinstance(state, Rows):
        return as_state((state.rows - {before}) | {now})
    if now is None:
        # An edit of others that this till never saw is not erased with the row.
        return None if state is None else as_state((candidates(state) - {before}) | {None})
    if state is None or before is None:
        return settled(now)
    return Cells(tuple(_edited(cell, b, n) for cell, b, n in zip(state.cells, before, now, strict=True)))


def state_of(row: Row | None) -> State:
    """The state of a row that nothing is in dispute about."""
    return None if row is None else settled(row)


def applied_row(state: State, live: Row | None) -> Row | None:
    """What the live database holds after an apply: decided cells are written, disputed ones stay as the till has
    them."""
    if isinstance(state, Rows):
        return canonical_row(live)
    if state is None:
        return None
    old = canonical_row(live)
    return tuple(_smallest(cell) if len(cell) == 1 or old is None else old[i] for i, cell in enumerate(state.cells))


def shown_row(state: State, order: Sequence[int]) -> Row | None:
    """What the table shows: a function of the set alone, so that both directions of a merge agree. The smallest
    candidate; rows compare by the columns in ``order`` (those of their names); present comes before absent."""
    if state is None:
        return None
    if isinstance(state, Cells):
        return tuple(_smallest(cell) for cell in state.cells)
    present = [row for row in state.rows if row is not None]
    return min(present, key=lambda row: tuple(orderable(restored(row[i])) for i in order))


def _edited(cell: Cell, before: Value, now: Value) -> Cell:
    if before == now:
        return cell
    return frozenset([now]) if len(cell) == 1 else (cell - {before}) | {now}


def _smallest(cell: Cell) -> Value:
    return min(cell, key=lambda value: orderable(restored(value)))


def canonical_row(row: Row | None) -> Row | None:
    """A row, or None for "absent", with canonical values."""
    return None if row is None else tuple(canonical(value) for value in row)
