"""The three-way merge of one row by the policies of its table and the rules of ``history.sets``.

Symmetric: which side is called ours makes no difference to the outcome. ``history.merge_table`` decides in SQL what it
can, to the same effect.
"""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from dataclasses import dataclass, field

from prontosync.history.policies import ROW, Policies, Writer, plausible
from prontosync.history.sets import Cell, Cells, Rows, State, as_state, candidates, is_settled, merge_sets
from prontosync.model.rules import MAX, MIN, PREFER, SUM, WINS
from prontosync.model.schema import MAX_PRECISION, TableSchema, decimal_parts
from prontosync.model.values import Value, canonical, orderable, restored, same

DOWN = "flow = down"
_EXACT = decimal.Context(prec=3 * MAX_PRECISION)


@dataclass
class Verdict:
    """What a row is merged to. ``by`` has the policy that decided a column, or the row (``ROW``); ``refused`` the
    policies by which a change was not allowed, likewise, where that makes a difference: beside it stands what was there
    before."""

    state: State
    by: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


class RowMerge:
    """Merges the rows of one table. Columns are told by their index in ``schema``."""

    def __init__(self, schema: TableSchema, policies: Policies, ours: Writer, theirs: Writer) -> None:
        self.schema, self.policies, self.ours, self.theirs = schema, policies, ours, theirs
        self._types = [column.type for column in schema.columns]
        self._keys = {schema.names.index(name) for name in schema.key}

    def merge(self, base: State, ours: State, theirs: State) -> Verdict:
        """Of three states with columns as in the schema. Raises TooManyCandidates (``history.sets``)."""
        verdict = Verdict(None)
        mine = self._judged(base, ours, theirs, self.ours, verdict)
        other = self._judged(base, theirs, ours, self.theirs, verdict)
        verdict.state = self._merged(base, mine, other, verdict)
        if verdict.refused:
            plain = self._merged(base, ours, theirs, Verdict(None))
            verdict.refused = {i: rule for i, rule in verdict.refused.items() if _differ(verdict.state, plain, i)}
        return verdict

    def _merged(self, base: State, ours: State, theirs: State, verdict: Verdict) -> State:
        if isinstance(base, Cells) and isinstance(ours, Cells) and isinstance(theirs, Cells):
            return self._cells(base, ours, theirs, verdict)
        return self._rows(base, ours, theirs, verdict)

    def _judged(self, base: State, side: State, other: State, writer: Writer, verdict: Verdict) -> State:
        """A side with what it changed and was not allowed to: beside that stays what was there before."""
        if writer.trusted or side == base or not self.policies.judges:
            return side
        if not (isinstance(base, Cells) and isinstance(side, Cells) and isinstance(other, Cells)):
            rule = self._forbids_row(base, side, other, writer)
            if rule is None:
                return side
            verdict.refused[ROW] = rule
            return as_state(candidates(side) | candidates(base))
        cells = list(side.cells)
        for i, (before, now, there) in enumerate(zip(base.cells, side.cells, other.cells, strict=True)):
            rule = self._forbids_cell(i, base, before, there, writer) if before != now else None
            if rule is not None:
                verdict.refused[i] = rule
                cells[i] = now | before
        return Cells(tuple(cells))

    def _forbids_cell(self, i: int, base: Cells, before: Cell, other: Cell, writer: Writer) -> str | None:
        """The policy by which a side may not have changed a cell by itself."""
        policies = self.policies
        if i in policies.free:
            return None
        if policies.append_only:
            return "append_only"
        if not self._owns(base, writer):
            return "owner"
        if policies.down and i not in policies.exempt:
            return DOWN
        alone = other == before or len(other) > 1
        return PREFER if alone and policies.columns[i] == PREFER and not policies.may_write(i, writer) else None

    def _forbids_row(self, base: State, side: State, other: State, writer: Writer) -> str | None:
        """The policy by which a side may not have brought, changed or taken away a row by itself."""
        policies = self.policies
        if policies.append_only and base is not None:
            return "append_only"
        if not self._owns(base if base is not None else side, writer):
            return "owner"
        if policies.down:
            return DOWN
        alone = other == base or isinstance(other, Rows)
        return PREFER if alone and not policies.may_write(ROW, writer) else None

    def _owns(self, state: State, writer: Writer) -> bool:
        """Whether a writer is the owner that all candidates of a row name, or none of them names one."""
        index = self.policies.owner
        if index is None or state is None:
            return True
        if isinstance(state, Cells):
            found = set(state.cells[index])
        else:
            found = {row[index] for row in state.rows if row is not None}
        return all(self.policies.owns(restored(owner), writer) for owner in found)

    def _cells(self, base: Cells, ours: Cells, theirs: Cells, verdict: Verdict) -> Cells:
        register = self._register(base, ours, theirs)
        if register is not None:
            verdict.by.update(dict.fromkeys(self._moved(ours, theirs), "newest"))
        chosen = dict.fromkeys(self.policies.register, register) if register is not None else {}
        cells = zip(base.cells, ours.cells, theirs.cells, strict=True)
        return Cells(
            tuple(
                found.cells[i] if (found := chosen.get(i)) else self._cell(i, *c, verdict) for i, c in enumerate(cells)
            )
        )

    def _register(self, base: Cells | None, ours: Cells, theirs: Cells) -> Cells | None:
        """The side whose time is later, where both changed what the time decides; None where it does not decide."""
        at, register = self.policies.newest, self.policies.register
        if at is None or not all(_settled(side, register) for side in (base, ours, theirs) if side is not None):
            return None
        if all(ours.cells[i] == theirs.cells[i] for i in register):
            return None
        if base is not None and any(all(side.cells[i] == base.cells[i] for i in register) for side in (ours, theirs)):
            return None
        (mine,), (other,) = ours.cells[at], theirs.cells[at]
        if mine is None or other is None or mine == other:
            return None
        kind = self._types[at]
        if not (plausible(kind, mine, self.ours) and plausible(kind, other, self.theirs)):
            return None
        return ours if orderable(restored(mine)) > orderable(restored(other)) else theirs

    def _moved(self, ours: Cells, theirs: Cells) -> list[int]:
        return [i for i in self.policies.register if ours.cells[i] != theirs.cells[i]]

    def _cell(self, i: int, base: Cell, ours: Cell, theirs: Cell, verdict: Verdict) -> Cell:
        policy = self.policies.columns[i] if self.policies.columns else None
        if policy == SUM and len(base) == len(ours) == len(theirs) == 1:
            total = self._total(i, base, ours, theirs)
            if total is not None:
                if base not in (ours, theirs):
                    verdict.by[i] = SUM
                return total
        if theirs in (ours, base):
            return ours
        if ours == base:
            return theirs
        if policy in (MAX, MIN) and (found := _extreme(policy, ours, theirs)) is not None:
            verdict.by[i] = policy
            return found
        if policy == PREFER and len(ours) == len(theirs) == 1 and (winner := self._winner(i)) is not None:
            verdict.by[i] = PREFER
            return ours if winner is self.ours else theirs
        return merge_sets(base, ours, theirs)

    def _winner(self, i: int) -> Writer | None:
        """The only side that is the preferred one, else the only one that is head office's."""
        for ours, theirs in (
            (self.policies.named(i, self.ours), self.policies.named(i, self.theirs)),
            (self.ours.trusted, self.theirs.trusted),
        ):
            if ours != theirs:
                return self.ours if ours else self.theirs
        return None

    def _rows(self, base: State, ours: State, theirs: State, verdict: Verdict) -> State:
        """Where a side lacks the row, or has it in dispute as a whole."""
        if theirs in (ours, base):
            return ours
        if ours == base:
            return theirs
        if isinstance(base, Cells) and self.policies.delete and None in (ours, theirs):
            present = theirs if ours is None else ours
            if isinstance(present, Cells):
                verdict.by[ROW] = f"delete = {self.policies.delete}"
                return None if self.policies.delete == WINS else present
        if base is None and isinstance(ours, Cells) and isinstance(theirs, Cells):
            decided = self._inserts(ours, theirs, verdict)
            if decided is not None:
                return decided
        return as_state(merge_sets(candidates(base), candidates(ours), candidates(theirs)))

    def _inserts(self, ours: Cells, theirs: Cells, verdict: Verdict) -> State:
        """Two rows under one key that neither had before, where policies decide all in which they differ."""
        if self.policies.apart or not (is_settled(ours) and is_settled(theirs)):
            return None
        register = self._register(None, ours, theirs)
        by: dict[int, str] = {}
        cells = []
        for i, (mine, other) in enumerate(zip(ours.cells, theirs.cells, strict=True)):
            policy = self.policies.columns[i] if self.policies.columns else None
            if mine == other:
                found: Cell | None = mine
            elif register is not None and i in self.policies.register:
                found, by[i] = register.cells[i], "newest"
            elif policy in (MAX, MIN):
                found, by[i] = _extreme(policy, mine, other), policy
            else:
                found = None
            if found is None:
                return None
            cells.append(found)
        verdict.by.update(by)
        return Cells(tuple(cells))

    def _total(self, i: int, base: Cell, ours: Cell, theirs: Cell) -> Cell | None:
        """base + both differences, or None where a value is NULL or the sum does not fit the type."""
        (b,), (o,), (t,) = base, ours, theirs
        if b is None or o is None or t is None:
            return None
        result = total(self._types[i], b, o, t)
        return None if result is None else frozenset([canonical(result)])


def total(logical: str, base: Value, ours: Value, theirs: Value) -> Value:
    """base + both differences, exact, None where the result does not fit the type. Of floats, a side that changed alone
    is taken as it is: (0.1 + 0.3) - 0.1 is not 0.3."""
    if logical == "int64":
        result = ours + theirs - base
        return result if -(2**63) <= result < 2**63 else None
    if logical == "float64":
        values: Sequence[Value] = [restored(value) for value in (base, ours, theirs)]
        if same(values[1], values[0]):
            return float(values[2])
        return float(values[1] if same(values[2], values[0]) else values[1] + values[2] - values[0])
    precision, _ = decimal_parts(logical) or (MAX_PRECISION, 0)
    exact = _EXACT.subtract(_EXACT.add(ours, theirs), base)
    return exact if len(exact.as_tuple().digits) <= precision else None


def _extreme(policy: str, ours: Cell, theirs: Cell) -> Cell | None:
    """The greater, or the lesser; None where one is open or NULL."""
    if len(ours) != 1 or len(theirs) != 1:
        return None
    (mine,), (other,) = ours, theirs
    if mine is None or other is None:
        return None
    first = orderable(restored(mine)) > orderable(restored(other))
    return ours if first == (policy == MAX) else theirs


def _differ(a: State, b: State, column: int) -> bool:
    """Whether two states of a row are not the same in a column, or at all (``ROW``)."""
    if column != ROW and isinstance(a, Cells) and isinstance(b, Cells):
        return a.cells[column] != b.cells[column]
    return a != b


def _settled(side: Cells, columns: Sequence[int]) -> bool:
    return all(len(side.cells[i]) == 1 for i in columns)


def kind_of(verdict: Verdict, column: int) -> str | None:
    """The kind of conflict, where it is one that no other rule would make."""
    refused = verdict.refused.get(column) or verdict.refused.get(ROW)
    return "owner" if refused in ("owner", DOWN, PREFER) else None
