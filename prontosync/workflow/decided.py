"""What a merge decided, gathered while it is made: cells and rows, new keys, and rows that are held or marked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prontosync.history.commits import Tree
from prontosync.history.conflicts import Conflict, conflicts_of
from prontosync.history.decisions import OPEN, Decision
from prontosync.history.disputes import Disputes, Key, Origin, keys_table, name_order, read_disputes, rows_by_key
from prontosync.history.marks import KINDS, Mark
from prontosync.history.sets import shown_row
from prontosync.model.keys import parse_key
from prontosync.model.renumbering import NewKey
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, Value, canonical, orderable_row, restored

if TYPE_CHECKING:
    from prontosync.tables.reader import StoredTable
    from prontosync.workflow.session import Session

Side = tuple[Tree, Tree, Origin]
"""Base and state of what was merged, and where it came from."""


@dataclass
class Account:
    """Hears what a merge decides. A merge that is built again begins with ``clear``."""

    _heard: list[Decision] = field(default_factory=list)

    def clear(self) -> None:
        self._heard.clear()

    def hear(self, decision: Decision) -> None:
        self._heard.append(decision)

    def hear_marks(self, session: Session, before: Tree, after: Tree, sides: Sequence[Side]) -> None:
        """Rows that are held or marked in ``after`` and were not so before, and those that are not any more; conflicts
        that were taken over as another place has them."""
        known = {(one.table, one.key, one.column) for one in self._heard}
        taken = opened_between(session, before, after, sides)
        self._heard += (one for one in taken if (one.table, one.key, one.column) not in known)
        self._heard += marks_between(session, before, after, sides)

    def hear_keys(self, session: Session, ours: Tree, theirs: Tree, after: Tree, keys: Sequence[NewKey]) -> None:
        """Rows that got another key. ``ours`` and ``theirs`` have the old ones, ``after`` the new."""
        for one in keys:
            schema = _stored(session, after, one.table).schema
            old, new = (tuple(map(canonical, parse_key(text, one.table, schema))) for text in (one.old, one.new))
            mine, other = (frozenset([rows_at(session, t, one.table, schema, [old]).get(old)]) for t in (ours, theirs))
            result = frozenset([rows_at(session, after, one.table, schema, [new]).get(new)])
            rule = f"renumbered to {one.new}"
            self.hear(Decision(one.table, schema, old, None, rule, frozenset([None]), mine, other, result))

    def decisions(self) -> list[Decision]:
        """By table, key and column; of one cell in the order in which it was decided."""
        return sorted(self._heard, key=_place)


def marks_between(
    session: Session, before: Tree, after: Tree, sides: Sequence[Side] = (), *, ended: bool = True
) -> Iterator[Decision]:
    """As ``Account.hear_marks``, those that are not any more only if ``ended``. The result is the row that the table
    shows; of several ``sides`` it is told what the one has that brought the row."""
    for name in sorted(before.conflicts.keys() | after.conflicts.keys()):
        if name not in after.tables or before.conflicts.get(name) == after.conflicts.get(name):
            continue
        schema = _stored(session, after, name).schema
        old, new = _marks(_disputes(session, before, name)), _marks(_disputes(session, after, name))
        changed = [
            key
            for key in old.keys() | new.keys()
            if _text(old.get(key)) != _text(new.get(key)) and (ended or key in new)
        ]
        shown = rows_at(session, after, name, schema, changed, shown=True)
        mine = rows_at(session, before, name, schema, changed)
        for key in changed:
            mark = new.get(key)
            base, other = _of_side(session, name, schema, key, mark, sides)
            rows = base, frozenset([mine.get(key)]), other, frozenset([shown.get(key)])
            yield Decision(name, schema, key, None, _rule(old.get(key), mark), *rows)


def opened_between(session: Session, before: Tree, after: Tree, sides: Sequence[Side] = ()) -> Iterator[Decision]:
    """The cells and rows that are in dispute in ``after`` and were not so before."""
    for name in sorted(after.conflicts):
        if before.conflicts.get(name) == after.conflicts[name]:
            continue
        known = conflicts_at(session, before, name)
        for identity, one in conflicts_at(session, after, name).items():
            if identity in known or one.kind in KINDS:
                continue
            base = next((side[0] for side in sides if name in side[1].conflicts), None)
            told = frozenset([value_at(session, base, one)]) if base else frozenset()
            mine = frozenset([value_at(session, before, one)])
            candidates = frozenset(choice.value for choice in one.choices)
            why = [] if one.kind in ("cell", "row") else [one.kind]
            why += [f"since {one.since}"] if sides and one.since else []
            rule = f"{OPEN} ({', '.join(why)})" if why else OPEN
            theirs = candidates if sides else frozenset()
            yield Decision(name, one.schema, one.key, one.column, rule, told, mine, theirs, candidates)


def conflicts_at(session: Session, tree: Tree, name: str) -> dict[str, Conflict]:
    """The open conflicts of a table by their ids."""
    return {one.id: one for one in conflicts_of(name, _disputes(session, tree, name))}


def value_at(session: Session, tree: Tree, one: Conflict) -> Value | Row | None:
    """What a state has where a conflict is, or was; the smallest candidate where it is open there."""
    row = rows_at(session, tree, one.table, one.schema, [one.key]).get(one.key)
    return row if one.column is None or row is None else row[one.schema.names.index(one.column)]


def rows_at(
    session: Session, tree: Tree, name: str, schema: TableSchema, keys: Collection[Key], *, shown: bool = False
) -> dict[Key, Row | None]:
    """Few rows of a state in the columns of ``schema``, NULL in those that it has otherwise: as they are intended, or
    as the table shows them. None where the state has another key, or no such table."""
    if name not in tree.tables or not keys:
        return {}
    table = _stored(session, tree, name)
    if table.schema.key_types != schema.key_types:
        return {}
    rows: dict[Key, Row | None] = {}
    rows.update(rows_by_key(table.schema, table.rows_at(keys_table(table.schema, keys)).select(table.schema.names)))
    if not shown:
        disputes = _disputes(session, tree, name)
        rows = {key: shown_row(disputes.state(key, rows.get(key)), name_order(table.schema)) for key in keys}
    return {key: _in_columns(row, table.schema, schema) for key, row in rows.items()}


def _in_columns(row: Row | None, there: TableSchema, schema: TableSchema) -> Row | None:
    if row is None or there.columns == schema.columns:
        return row
    cells = {(c.name, c.type): value for c, value in zip(there.columns, row, strict=True)}
    return tuple(cells.get((column.name, column.type)) for column in schema.columns)


def _of_side(
    session: Session, name: str, schema: TableSchema, key: Key, mark: Mark | None, sides: Sequence[Side]
) -> tuple[frozenset[Row | None], frozenset[Row | None]]:
    """What base and theirs have, of the side that brought a row; nothing where there is none."""
    if not sides:
        return frozenset(), frozenset()
    base, theirs, _ = next((side for side in sides if mark and side[2].commit == mark.commit), sides[-1])
    found = (rows_at(session, tree, name, schema, [key]).get(key) for tree in (base, theirs))
    before, other = (frozenset([row]) for row in found)
    return before, other


def _rule(old: Mark | None, new: Mark | None) -> str:
    if new is None:
        assert old is not None
        return f"held no more: {old.text}" if old.holds else f"no more against invariant {old.detail}"
    return f"held: {new.text}" if new.holds else f"invariant {new.detail}"


def _marks(disputes: Disputes | None) -> dict[Key, Mark]:
    rows = disputes.rows if disputes else {}
    return {key: dispute.mark for key, dispute in rows.items() if dispute.mark is not None}


def _text(mark: Mark | None) -> str | None:
    return mark.text if mark else None


def _disputes(session: Session, tree: Tree, name: str) -> Disputes:
    if name not in tree.tables:
        return Disputes(TableSchema((), ()))
    return read_disputes(_stored(session, tree, name), tree.conflicts.get(name))


def _stored(session: Session, tree: Tree, name: str) -> StoredTable:
    from prontosync.tables.reader import StoredTable

    return StoredTable(session.merge_store, session.engine, name, tree.tables[name])


def _place(decision: Decision) -> tuple[Any, ...]:
    names = decision.schema.names
    column = -1 if decision.column is None else names.index(decision.column)
    return decision.table, orderable_row(restored(value) for value in decision.key), column
