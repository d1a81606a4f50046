"""Which rows of a merge must be held, so that what is shown breaks no constraint that was not broken before.

Foreign keys and unique columns are those of the tables' schemas; what NOT NULL and CHECK say is told by a ``Trial``.
A held row is as it was before; that may break others, so it goes on until nothing breaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prontosync.engine.connection import Engine
from prontosync.history.contested import Rule, contests_of, foreign_keys, places_of, uniques
from prontosync.history.contests import CHECK, Cause, Contest, settle
from prontosync.history.disputes import Key
from prontosync.history.touched import Touched, Trial, touched
from prontosync.model.schema import differences
from prontosync.tables.compare import same_rows
from prontosync.tables.reader import StoredTable


@dataclass(frozen=True)
class Breach:
    """A row that must be held. ``kind`` is "foreign-key", "unique" or "check"; ``detail`` is for people: which
    constraint, which value, which row is in the way."""

    key: Key
    kind: str
    detail: str


@dataclass(frozen=True)
class Breaches:
    """The rows to be held, by table and canonical key; and by table why its NOT NULL and CHECK, or nothing at all, was
    tested."""

    rows: Mapping[str, Mapping[Key, Breach]] = field(default_factory=dict)
    untested: Mapping[str, str] = field(default_factory=dict)


def breaches(
    engine: Engine, before: Mapping[str, StoredTable], after: Mapping[str, StoredTable], trial: Trial
) -> Breaches:
    """The touched rows that must go back to what they were ``before``, for ``after`` to break nothing anew.

    A table that only one of them has is as if it had not been touched, and so is one that has other columns or another
    key than before, which ``untested`` tells. With these rows as they were, no touched row lacks a
    parent, is a parent that went while rows refer to it, shares unique values, or is refused by ``trial``, but where
    that was so before: of constraints whose columns did not change. Rows are read only of tables with touched rows, and
    of those that a touched row refers to or is referred to from: there the columns concerned.
    """
    both = [name for name in after if name in before and not same_rows(before[name], after[name])]
    untested = {name: words[0] for name in both if (words := differences(before[name].schema, after[name].schema))}
    changed = [name for name in both if name not in untested]
    if not changed:
        return Breaches({}, untested)
    asked = _asked(after)
    moves: dict[str, Touched] = {}
    first = 0
    for name in changed:
        moves[name] = touched(engine, before[name], after[name], asked[name], trial, first)
        first = moves[name].end
    rules = contests_of(engine, after, moves)
    of_table = [[n for n, rule in enumerate(rules) if name in rule.tables] for name in changed]
    refused = {row: words for one in moves.values() for row, words in one.refused.items()}
    contests: list[Contest] = [rule.contest for rule in rules]
    held = settle(contests, of_table, [moves[name].first for name in changed], refused)
    found = {name: _described(moves[name], rules, held, refused) for name in changed}
    untested |= {name: one.untested for name, one in moves.items() if one.untested is not None}
    return Breaches({name: rows for name, rows in found.items() if rows}, untested)


def _asked(tables: Mapping[str, StoredTable]) -> dict[str, frozenset[str]]:
    """For each table the columns that constraints are about."""
    found: dict[str, set[str]] = {name: set() for name in tables}
    for name, table in tables.items():
        for unique in uniques(table.schema):
            found[name].update(unique)
        for key in foreign_keys(tables, name):
            child, parent = places_of(tables, name, key)
            found[name].update(child.columns)
            found[key.table].update(parent.columns)
    return {name: frozenset(columns) for name, columns in found.items()}


def _described(
    moves: Touched, rules: Sequence[Rule], held: Mapping[int, Cause | None], refused: Mapping[int, str]
) -> dict[Key, Breach]:
    found = {}
    for row in sorted(row for row in held if moves.first <= row < moves.end):
        cause, key = held[row], moves.key(row)
        if cause is None:
            found[key] = Breach(key, CHECK, refused[row])
        else:
            rule = rules[cause.contest]
            found[key] = Breach(key, rule.kind, rule.detail(row, cause, held))
    return found
