"""Deciders: from what a person asked for to decisions on open conflicts. Only what is in dispute is ever decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from prontosync.history.conflicts import Choice, Conflict
from prontosync.history.disputes import candidate_rows, rows_by_key_list
from prontosync.model.changes import COLUMN
from prontosync.model.keys import key_argument, parse_key
from prontosync.model.values import Row, Value, canonical, from_json, from_text, to_text
from prontosync.workflow.resolve import (
    BadDecision,
    Decider,
    Decision,
    NoConflict,
    choices_named,
    decision,
    describe,
    taken,
)
from prontosync.workflow.session import Session

Answer = Callable[[Conflict], Value | Row | None]
"""What a conflict is decided for. Raises BadDecision or NoConflict."""

_DIGITS = 12


def take(wanted: str, own_branch: str) -> Answer:
    """The candidate of a branch, a commit id, ``ours`` or ``theirs``."""
    return lambda conflict: taken(conflict, wanted, own_branch)


def give(text: str) -> Answer:
    """A value that people write: of the column's type, or a whole row as a JSON object where the row is in dispute."""
    return lambda conflict: _row(conflict, text) if conflict.column is None else _cell(conflict, text)


def clear(conflict: Conflict) -> None:
    """The answer NULL."""
    if conflict.column is None:
        raise BadDecision(f"{describe(conflict)}: the whole row is in dispute", "take a candidate, or --delete")


def remove(conflict: Conflict) -> None:
    """The answer "there is no such row"."""
    if conflict.column is not None:
        raise NoConflict(
            f"{describe(conflict)} is in dispute, not whether the row is there",
            f"decide the column: prontosync {' '.join(_target(conflict))} --take BRANCH",
        )


def one_row(table: str, key: str, column: str | None, answer: Answer, single: bool = False) -> Decider:
    """The disputed cells of one row, or the row. ``single``: the answer fits one cell only."""

    def decide(conflicts: Sequence[Conflict]) -> list[Decision]:
        found = _of_row(conflicts, table, key)
        mine = [conflict for conflict in found if column is None or conflict.column == column]
        if not mine:
            raise NoConflict(
                f'column "{column}" is not in dispute: {describe(found[0])} is',
                f'see: prontosync conflicts --table "{table}"',
            )
        if single and len(mine) > 1:
            names = ", ".join(str(conflict.column) for conflict in mine)
            raise BadDecision(f"several columns of that row are in dispute: {names}", "choose one with --column")
        return [decision(conflict, answer(conflict)) for conflict in mine]

    return decide


def every(table: str | None, wanted: str, own_branch: str) -> Decider:
    """All conflicts, or those of one table, in which ``wanted`` has a candidate; the others stay open."""

    def decide(conflicts: Sequence[Conflict]) -> list[Decision]:
        mine = [conflict for conflict in conflicts if table in (None, conflict.table)]
        return _taking(mine, wanted, own_branch, "" if table is None else f' in table "{table}"')

    return decide


def where(session: Session, table: str, condition: str, wanted: str, own_branch: str) -> Decider:
    """As ``every``, for those conflicts of a table of which a candidate satisfies an SQL condition."""

    def decide(conflicts: Sequence[Conflict]) -> list[Decision]:
        mine = [conflict for conflict in conflicts if conflict.table == table]
        chosen = _matching(session, mine, condition) if mine else set()
        mine = [conflict for conflict in mine if (conflict.key, conflict.column) in chosen]
        return _taking(mine, wanted, own_branch, f' in table "{table}" that satisfies the condition')

    return decide


def words_for(conflict: Conflict, choice: Choice) -> list[str]:
    """The words of the command that takes a candidate, after the program's name; not quoted for a shell."""
    return _target(conflict, *_how(conflict, choice))


def _target(conflict: Conflict, *how: str) -> list[str]:
    place = [conflict.table, key_argument(conflict.key, conflict.schema)]
    options = [*(["--column", conflict.column] if conflict.column is not None else []), *how]
    if any(word.startswith("-") for word in place):
        return ["resolve", *options, "--", *place]
    return ["resolve", *place, *options]


def _how(conflict: Conflict, choice: Choice) -> list[str]:
    for name in (*choice.branches, *(origin.commit[:_DIGITS] for origin in choice.origins)):
        if name and choices_named(conflict, name, "") == [choice]:
            return ["--take", name]
    if conflict.column is None or choice.value is None:
        return ["--delete" if conflict.column is None else "--null"]
    return [f"--value={to_text(choice.value, conflict.schema.type_of(conflict.column))}"]


def _of_row(conflicts: Sequence[Conflict], table: str, key: str) -> list[Conflict]:
    of_table = [conflict for conflict in conflicts if conflict.table == table]
    if not of_table:
        raise NoConflict(f'table "{table}" has no open conflict', "see: prontosync conflicts")
    wanted = tuple(canonical(value) for value in parse_key(key, table, of_table[0].schema))
    found = [conflict for conflict in of_table if conflict.key == wanted]
    if not found:
        raise NoConflict(
            f'nothing is in dispute in row "{key}" of table "{table}"', f'see: prontosync conflicts --table "{table}"'
        )
    return found


def _taking(conflicts: Sequence[Conflict], wanted: str, own_branch: str, of: str) -> list[Decision]:
    if not conflicts:
        raise NoConflict(f"there is no open conflict{of}", "see: prontosync conflicts")
    named = [conflict for conflict in conflicts if choices_named(conflict, wanted, own_branch)]
    if not named:
        raise NoConflict(f'"{wanted}" has no candidate in any open conflict{of}', "see: prontosync conflicts")
    return [decision(conflict, taken(conflict, wanted, own_branch)) for conflict in named]


def _matching(session: Session, conflicts: Sequence[Conflict], condition: str) -> set[tuple[Row, str | None]]:
    """Key and column of the conflicts that have a candidate for which the condition holds."""
    table, schema = conflicts[0].table, conflicts[0].schema
    identity = session.commits.tree(session.need_head()).conflicts[table]
    rows = session.engine.matching(candidate_rows(session.merge_store, schema, identity), condition)
    keys = [key for key, _ in rows_by_key_list(schema, rows)]
    return set(zip(keys, rows.column(COLUMN).to_pylist(), strict=True))


def _cell(conflict: Conflict, text: str) -> Value:
    assert conflict.column is not None
    try:
        text.encode()
        return canonical(from_text(text, conflict.schema.type_of(conflict.column)))
    except (ValueError, ArithmeticError) as error:
        raise BadDecision(
            f'"{text}" does not fit {describe(conflict)}: {error}',
            f"its type is {conflict.schema.type_of(conflict.column)}",
        ) from None


def _row(conflict: Conflict, text: str) -> Row:
    schema = conflict.schema
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or set(found) != set(schema.names):
            raise ValueError("it has other columns than the table")
        row = tuple(canonical(from_json(found[name], schema.type_of(name))) for name in schema.names)
        if tuple(row[schema.names.index(name)] for name in schema.key) != conflict.key:
            raise ValueError("its key is another")
    except (ValueError, TypeError, ArithmeticError) as error:
        raise BadDecision(
            f"the value is no row for {describe(conflict)}: {error}", f"a JSON object: {_example(schema.names)}"
        ) from None
    return row


def _example(names: Sequence[Any]) -> str:
    return "{" + ", ".join(f'"{name}": …' for name in names) + "}"
