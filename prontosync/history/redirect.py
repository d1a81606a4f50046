"""Disputed rows in which a key becomes another: their candidates, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from prontosync.history.disputes import Dispute, Origin
from prontosync.history.sets import Cells, Rows, State, as_state
from prontosync.model.values import Row, Value

Origins = dict[tuple[str | None, Value], list[Origin]]
Moves = Callable[[Row | None], bool]
"""Whether a candidate, a whole row, is one of those that move."""


@dataclass(frozen=True)
class Redirect:
    """``columns``, by index, that hold one of ``values``' keys get its value in column ``at``, which is one of them."""

    columns: Sequence[int]
    at: int
    values: Mapping[Row, Value]

    def row(self, row: Row | None) -> Row | None:
        """A row that refers elsewhere, or the same."""
        if row is None:
            return None
        new = self.values.get(tuple(row[i] for i in self.columns))
        return row if new is None else _with(row, self.at, new)

    def dispute(self, dispute: Dispute, moves: Moves, chosen: bool) -> Dispute:
        """A disputed row, none of whose key columns changes. Of whole rows those follow that ``moves`` says, cells
        where the row is ``chosen``. The same object where nothing changes."""
        if isinstance(dispute.state, Rows):
            moved = {row: self.row(row) for row in dispute.state.rows if moves(row)}
            if all(old == new for old, new in moved.items()):
                return dispute
            rows = frozenset(moved.get(row, row) for row in dispute.state.rows)
            origins = _renamed(dispute.origins, moved)
            return replace(dispute, state=as_state(rows), origins=origins, shown=self.row(dispute.shown))
        if isinstance(dispute.state, Cells) and chosen:
            return self._cells(dispute, dispute.state)
        return dispute

    def _cells(self, dispute: Dispute, state: Cells) -> Dispute:
        cells = list(state.cells)
        origins = dict(dispute.origins)
        for old, new in self.values.items():
            wanted = dict(zip(self.columns, old, strict=True))
            if all(value in state.cells[i] for i, value in wanted.items()):
                cells[self.at] = (cells[self.at] - {wanted[self.at]}) | {new}
                for (column, value), known in dispute.origins.items():
                    if column is not None and value == wanted[self.at] and len(state.cells[self.at]) > 1:
                        origins[(column, new)] = known
        if tuple(cells) == state.cells:
            return dispute
        return replace(dispute, state=Cells(tuple(cells)), origins=origins, shown=self.row(dispute.shown))


def rekeyed(dispute: Dispute, at: int, value: Value) -> Dispute:
    """The same row under a key that has another value in one column."""
    state: State = dispute.state
    if isinstance(state, Cells):
        state = Cells(_with(state.cells, at, frozenset([value])))
        return replace(dispute, state=state, shown=_rekeyed(dispute.shown, at, value))
    if isinstance(state, Rows):
        moved = {row: _rekeyed(row, at, value) for row in state.rows}
        origins = _renamed(dispute.origins, moved)
        return Dispute(Rows(frozenset(moved.values())), origins, dispute.mark, _rekeyed(dispute.shown, at, value))
    return replace(dispute, shown=_rekeyed(dispute.shown, at, value))


def split_dispute(dispute: Dispute, moves: Moves) -> tuple[Dispute | None, Dispute | None]:
    """A row that two places made, as what moves and what stays. None where nothing is left."""
    if not isinstance(dispute.state, Rows):
        return dispute, None
    moving = frozenset(row for row in dispute.state.rows if moves(row))
    staying = dispute.state.rows - moving
    parts = [as_state(rows) if rows else None for rows in (moving, staying)]
    found = [Dispute(state, dispute.origins) if state is not None else None for state in parts]
    return found[0], found[1]


def is_of(dispute: Dispute, row: Row | None, branch: str) -> bool:
    """Whether a whole row is a candidate of a branch."""
    return any(origin.branch == branch for origin in dispute.origins.get((None, row), ()))


def _renamed(origins: Origins, moved: Mapping[Row | None, Row | None]) -> Origins:
    return {
        (column, moved.get(value, value) if column is None else value): known
        for (column, value), known in origins.items()
    }


def _rekeyed(row: Row | None, at: int, value: Value) -> Row | None:
    return None if row is None else _with(row, at, value)


def _with(row: tuple[Value, ...], at: int, value: Value) -> tuple[Value, ...]:
    return (*row[:at], value, *row[at + 1 :])
