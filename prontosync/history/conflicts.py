"""Open conflicts as people see them: one for each disputed cell or row, with its candidates by the branch they came
from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prontosync.history.disputes import Dispute, Disputes, Key, Origin, name_order
from prontosync.history.marks import Mark
from prontosync.history.sets import Rows, shown_row
from prontosync.model import encoding
from prontosync.model.ids import object_id
from prontosync.model.keys import key_to_json
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, Value, restored

ID_DIGITS = 12
HERE = "ours"
"""In place of a branch: what this place shows while another row is held."""

PLAIN = ("", "cell", "row")
"""What candidates are of that nothing but their difference puts in dispute. A side that merely still has one of them
says no more, and takes nothing from what another says."""


@dataclass(frozen=True)
class Choice:
    """A candidate: a value of the column, a whole row, or None for "absent" where the row is in dispute."""

    value: Value | Row | None
    origins: tuple[Origin, ...]

    @property
    def branches(self) -> tuple[str, ...]:
        return tuple(origin.branch for origin in self.origins)


@dataclass(frozen=True)
class Conflict:
    """A disputed cell (``column``) or row (None), or a row that is marked. ``id`` is the same wherever the conflict
    travels. ``row`` is the shown row. ``detail`` says of a mark what is broken."""

    id: str
    table: str
    schema: TableSchema
    key: Key
    kind: str
    column: str | None
    choices: tuple[Choice, ...]
    row: Row | None
    since: str
    detail: str = ""

    @property
    def shown(self) -> Value | Row | None:
        """What the table shows: the cell, or the row."""
        if self.column is None or self.row is None:
            return self.row
        return self.row[self.schema.names.index(self.column)]


def conflicts_of(table: str, disputes: Disputes) -> Iterator[Conflict]:
    """The conflicts of a table in key order, cells in column order."""
    order = name_order(disputes.schema)
    for key, dispute in disputes.rows.items():
        row = dispute.shows(order)
        for column in _columns(dispute, disputes.schema):
            yield _conflict(table, disputes.schema, key, column, dispute, row)
        if dispute.mark is not None:
            yield _marked(table, disputes.schema, key, dispute.mark, shown_row(dispute.state, order), row)


def hint(conflict: Conflict) -> str | None:
    """What would have kept a conflict from being one, for people: of two rows that were made under one key."""
    if conflict.kind != "row" or conflict.column is not None or any(c.value is None for c in conflict.choices):
        return None
    name = conflict.table if conflict.table.isidentifier() else f'"{conflict.table}"'
    way = f'renumber = "store" under [table.{name}], or flow = "own"'
    return f"two places made a row with this key; a rule settles such from now on: {way}"


def _marked(table: str, schema: TableSchema, key: Key, mark: Mark, intended: Row | None, shown: Row | None) -> Conflict:
    choices = [Choice(intended, (Origin(mark.branch, mark.commit, mark.kind, mark.since),))]
    if mark.holds and shown != intended:
        choices.append(Choice(shown, (Origin(HERE, "", mark.kind, mark.since),)))
    identity = conflict_id(table, schema, key, None, mark.kind)
    return Conflict(identity, table, schema, key, mark.kind, None, tuple(choices), shown, mark.since, mark.detail)


def conflict_id(table: str, schema: TableSchema, key: Key, column: str | None, mark: str | None = None) -> str:
    """Stable across machines: made of table, key and column, or the kind of a mark."""
    named = key_to_json(tuple(restored(v) for v in key), schema)
    text = [table, {name: str(value) for name, value in named.items()}, column, *([mark] if mark else [])]
    return object_id(encoding.encode(text))[:ID_DIGITS]


def _columns(dispute: Dispute, schema: TableSchema) -> Iterable[str | None]:
    if isinstance(dispute.state, Rows):
        return [None]
    return list(dict.fromkeys(candidate.column for candidate in dispute.candidates(schema)))


def _conflict(
    table: str, schema: TableSchema, key: Key, column: str | None, dispute: Dispute, row: Row | None
) -> Conflict:
    found = [c for c in dispute.candidates(schema) if c.column == column]
    origins = [origin for candidate in found for origin in candidate.origins]
    return Conflict(
        id=conflict_id(table, schema, key, column),
        table=table,
        schema=schema,
        key=key,
        kind=next((o.kind for o in origins if o.kind not in PLAIN), "row" if column is None else "cell"),
        column=column,
        choices=tuple(Choice(c.value, c.origins) for c in found),
        row=row,
        since=min((o.since for o in origins if o.since), default=""),
    )
