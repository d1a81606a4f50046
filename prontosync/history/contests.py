"""Which of the touched rows must be held, told by numbers: rows, and the values for whose sake they meet.

A value is something that rows hold or refer to. What is kept of it are only the touched rows that come to hold or leave
it; what never moves is told by flags. Python visits no more than the rows that are held, and the values they held.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import pyarrow as pa

from prontosync.engine.connection import Engine
from prontosync.history.touched import ROW

VALUE = "_ps_value"
FOREIGN_KEY, UNIQUE, CHECK = "foreign-key", "unique", "check"
"""The kinds of breaches."""
_Pairs = tuple[memoryview, memoryview]


class Links:
    """Pairs of rows and values, found by either. Nothing is done for them until the first is looked for."""

    def __init__(self, engine: Engine, pairs: pa.Table) -> None:
        self._engine, self._pairs = engine, pairs

    @cached_property
    def _by_value(self) -> _Pairs:
        return _sorted(self._engine, self._pairs, VALUE, ROW)

    @cached_property
    def _by_row(self) -> _Pairs:
        return _sorted(self._engine, self._pairs, ROW, VALUE)

    def rows(self, value: int) -> list[int]:
        return _beside(self._by_value, value)

    def values(self, row: int) -> list[int]:
        return _beside(self._by_row, row)


class Contest(Protocol):
    """One constraint, and the values that may be contested under it."""

    @property
    def starting(self) -> Iterable[int]:
        """The values that may be broken while nothing is held."""
        ...

    def forced(self, value: int, held: Container[int]) -> list[int]:
        """Rows whose going must be held, for what refers to the value stays."""
        ...

    def others(self, value: int, held: Container[int]) -> list[int]:
        """Rows whose coming must be held as things stand."""
        ...

    def stirred(self, row: int) -> list[int]:
        """The values that may be broken once a row is held."""
        ...


@dataclass
class References:
    """A foreign key: ``children`` come to refer to values, ``parents`` come to hold them; ``leaving`` parents and
    ``left`` children did so before. ``needed`` are values that rows refer to which do not move. No other row holds
    any of the values."""

    children: Links
    parents: Links
    leaving: Links
    left: Links
    needed: set[int]
    starting: Sequence[int]

    def forced(self, value: int, held: Container[int]) -> list[int]:
        if value not in self.needed or self._is_held(value, held):
            return []
        return self.leaving.rows(value)

    def others(self, value: int, held: Container[int]) -> list[int]:
        if self._is_held(value, held):
            return []
        return [row for row in self.children.rows(value) if row not in held]

    def stirred(self, row: int) -> list[int]:
        needed = self.left.values(row)
        self.needed.update(needed)
        return needed + self.parents.values(row)

    def _is_held(self, value: int, held: Container[int]) -> bool:
        return any(row not in held for row in self.parents.rows(value)) or any(
            row in held for row in self.leaving.rows(value)
        )


@dataclass
class Uniqueness:
    """A unique constraint: rows that ``come`` to hold values, rows that ``leave`` them, and the values ``taken`` by
    rows that do not move."""

    come: Links
    leave: Links
    taken: Container[int]
    starting: Sequence[int]

    def forced(self, value: int, held: Container[int]) -> list[int]:
        return []

    def others(self, value: int, held: Container[int]) -> list[int]:
        come = [row for row in self.come.rows(value) if row not in held]
        back = sum(row in held for row in self.leave.rows(value))
        return come if len(come) + back + (value in self.taken) > 1 else []

    def stirred(self, row: int) -> list[int]:
        return self.leave.values(row)


@dataclass(frozen=True)
class Cause:
    """Why a row is held: the contest by its index, the value, and whether its going is what is held."""

    contest: int
    value: int
    going: bool


@dataclass
class _Agenda:
    """Values to look at: first for what is forced, then for the rest."""

    contests: Sequence[Contest]
    forced: set[tuple[int, int]] = field(default_factory=set)
    others: set[tuple[int, int]] = field(default_factory=set)

    def next(self, held: Mapping[int, Cause | None]) -> dict[int, Cause]:
        """What must be held now, nothing else being; empty where nothing breaks."""
        found: dict[int, Cause] = {}
        for contest, value in sorted(self.forced):
            for row in self.contests[contest].forced(value, held):
                found.setdefault(row, Cause(contest, value, going=True))
        self.others |= self.forced
        self.forced = set()
        if found:
            return found
        for contest, value in sorted(self.others):
            for row in self.contests[contest].others(value, held):
                found.setdefault(row, Cause(contest, value, going=False))
        self.others = set()
        return found


def settle(
    contests: Sequence[Contest], of_table: Sequence[Sequence[int]], firsts: Sequence[int], refused: Iterable[int]
) -> dict[int, Cause | None]:
    """The rows to be held, beginning with the ``refused`` ones (None), until nothing breaks.

    ``firsts`` are the numbers from which on rows are those of each table, ``of_table`` the contests in which it is.
    """
    held: dict[int, Cause | None] = dict.fromkeys(refused)
    agenda = _Agenda(contests, {(n, value) for n, contest in enumerate(contests) for value in contest.starting})
    fresh: Iterable[int] = list(held)
    while True:
        for row in fresh:
            for n in of_table[bisect_right(firsts, row) - 1]:
                agenda.forced.update((n, value) for value in contests[n].stirred(row))
        found = agenda.next(held)
        if not found:
            return held
        held.update(found)
        fresh = found


def _sorted(engine: Engine, pairs: pa.Table, first: str, second: str) -> _Pairs:
    ordered = engine.table(f"SELECT {first}, {second} FROM _ps_p ORDER BY {first}, {second}", _ps_p=pairs)
    return _numbers(ordered.column(first)), _numbers(ordered.column(second))


def _numbers(column: pa.ChunkedArray) -> memoryview:
    whole = column.cast(pa.int64()).combine_chunks()
    if not len(whole):
        return memoryview(b"").cast("q")
    return memoryview(whole.buffers()[1]).cast("B").cast("q")[whole.offset : whole.offset + len(whole)]


def _beside(pairs: _Pairs, wanted: int) -> list[int]:
    firsts, seconds = pairs
    start = bisect_left(firsts, wanted)
    end = start
    while end < len(firsts) and firsts[end] == wanted:
        end += 1
    return list(seconds[start:end])
