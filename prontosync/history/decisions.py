"""What a merge decided by itself, cell by cell, for people: base, ours, theirs, the result and the rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prontosync.history.disputes import Key
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, Value

OPEN = "in dispute"


@dataclass(frozen=True)
class Decision:
    """A cell, or a whole row (``column`` None), that both sides changed or that a rule did not let pass. Values are
    canonical; of a row they are rows, or None for "absent". ``result`` has all candidates where nothing decided."""

    table: str
    schema: TableSchema
    key: Key
    column: str | None
    rule: str
    base: frozenset[Value | Row | None]
    ours: frozenset[Value | Row | None]
    theirs: frozenset[Value | Row | None]
    result: frozenset[Value | Row | None]


Sink = Callable[[Decision], None]
