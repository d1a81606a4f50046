"""Open conflicts of a table, as data: for each disputed key its candidates, and where each came from.

Stored one Parquet a table, a row a candidate: the table's columns, ``_ps_column`` (null for a whole row),
``_ps_present``, ``_ps_from``, ``_ps_commit``, ``_ps_kind``, ``_ps_since``. Two sets are equal by their values,
whatever the last four say. A mark (``history.marks``) is a row of its own, of the whole row, with its detail in
``_ps_kind``: there stands the row as it is intended, which under a hold is not what the table shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from prontosync.disk.objects import ObjectStore
from prontosync.history.marks import Mark, marked
from prontosync.history.sets import Cells, Rows, State, is_settled, shown_row, state_of
from prontosync.model.changes import COLUMN, COMMIT, FROM, KIND, PRESENT, SINCE
from prontosync.model.encoding import MalformedObject
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, Value, canonical, orderable, orderable_row, restored

if TYPE_CHECKING:
    import pyarrow as pa

    from prontosync.tables.reader import StoredTable

Key = Row
"""A key in canonical form (``model.values``)."""


class Origin(NamedTuple):
    """Where a candidate came from: the branch and the commit it was first seen in, the kind of conflict, and since
    when."""

    branch: str
    commit: str
    kind: str
    since: str


@dataclass(frozen=True)
class Candidate:
    """One candidate of a disputed row: of one ``column``, or of the whole row (``column`` None, ``value`` a row or
    None)."""

    column: str | None
    value: Value | Row | None
    origins: tuple[Origin, ...]


@dataclass
class Dispute:
    """A disputed or marked row: its state, which under a hold is what is intended, and the origins of candidates by
    (column or None, canonical value). ``shown`` is what the table shows under a hold."""

    state: State
    origins: dict[tuple[str | None, Value], list[Origin]] = field(default_factory=dict)
    mark: Mark | None = None
    shown: Row | None = None

    @property
    def held(self) -> bool:
        return self.mark is not None and self.mark.holds

    @property
    def open(self) -> bool:
        """Whether anything is left to decide."""
        return self.mark is not None or not is_settled(self.state)

    def shows(self, order: Sequence[int]) -> Row | None:
        """The row that the table shows; ``order`` as in ``shown_row``."""
        return self.shown if self.held else shown_row(self.state, order)

    def add(self, column: str | None, value: Value, origin: Origin) -> None:
        known = self.origins.setdefault((column, value), [])
        if all(o.branch != origin.branch for o in known):
            known.append(origin)

    def candidates(self, schema: TableSchema) -> Iterator[Candidate]:
        """All candidates of what is in dispute, in a fixed order."""
        if isinstance(self.state, Rows):
            for row in sorted(self.state.rows, key=_row_order):
                yield Candidate(None, row, self._from(None, row))
        elif isinstance(self.state, Cells):
            for column, cell in zip(schema.columns, self.state.cells, strict=True):
                for value in sorted(cell, key=lambda v: orderable(restored(v))) if len(cell) > 1 else ():
                    yield Candidate(column.name, value, self._from(column.name, value))

    def _from(self, column: str | None, value: Value) -> tuple[Origin, ...]:
        return tuple(sorted(self.origins.get((column, value), [UNKNOWN])))


UNKNOWN = Origin("", "", "row", "")


class Disputes:
    """The disputed rows of one table at one state, by key."""

    def __init__(self, schema: TableSchema, rows: Mapping[Key, Dispute] | None = None) -> None:
        self.schema = schema
        self.rows: dict[Key, Dispute] = dict(rows or {})

    def __len__(self) -> int:
        """How many cells and rows are in dispute or marked."""
        return sum(count(dispute.state) + (dispute.mark is not None) for dispute in self.rows.values())

    def state(self, key: Key, row: Row | None) -> State:
        """The state of a row whose shown values are ``row`` (canonical); of one that is held, what is intended."""
        dispute = self.rows.get(key)
        if dispute is not None:
            return dispute.state
        return None if row is None else Cells(tuple(frozenset([value]) for value in row))

    def same_as(self, other: Disputes) -> bool:
        return self._sets() == other._sets()

    def differing(self, other: Disputes) -> set[Key]:
        """The keys whose sets are not equal."""
        mine, theirs = self._sets(), other._sets()
        return {key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)}

    def in_columns(self, schema: TableSchema) -> Disputes:
        """The same with the columns in the order of another schema that has the same columns."""
        if schema.names == self.schema.names:
            return self
        order = [self.schema.names.index(name) for name in schema.names]
        return Disputes(schema, {key: _reordered(dispute, order) for key, dispute in self.rows.items()})

    def keys_table(self) -> pa.Table:
        """The disputed keys in key order."""
        return keys_table(self.schema, self.rows)

    def _sets(self) -> dict[Key, object]:
        """By key, what is in dispute: the whole rows, or the cells that are (the settled ones are the table's)."""
        return {key: _dispute_value(dispute, self.schema) for key, dispute in self.rows.items()}


def keys_table(schema: TableSchema, keys: Iterable[Key]) -> pa.Table:
    """Keys as an Arrow table of the key columns, in key order."""
    import pyarrow as pa

    from prontosync.engine.arrow import arrow_schema

    ordered = sorted(keys, key=lambda key: orderable_row(restored(v) for v in key))
    arrow = arrow_schema(schema)
    fields = [arrow.field(name) for name in schema.key]
    columns = [pa.array([restored(key[i]) for key in ordered], field.type) for i, field in enumerate(fields)]
    return pa.table(columns, schema=pa.schema(fields))


def rows_by_key(schema: TableSchema, rows: pa.Table) -> dict[Key, Row]:
    """Few rows as canonical tuples in schema order, by key. Only for disputed rows."""
    return dict(rows_by_key_list(schema, rows))


def rows_table(schema: TableSchema, rows: Iterable[Row]) -> pa.Table:
    """The inverse: canonical rows as an Arrow table, in the order given."""
    import pyarrow as pa

    from prontosync.engine.arrow import arrow_schema

    columns = list(zip(*rows, strict=True)) or [()] * len(schema.columns)
    arrow = arrow_schema(schema)
    arrays = [pa.array([restored(v) for v in c], field.type) for c, field in zip(columns, arrow, strict=True)]
    return pa.table(arrays, schema=arrow)


def name_order(schema: TableSchema) -> list[int]:
    """The indexes of the columns in the order of their names."""
    return sorted(range(len(schema.names)), key=lambda i: schema.names[i])


def count(state: State) -> int:
    """How many disputed cells or rows a state is."""
    if isinstance(state, Rows):
        return 1
    return sum(len(cell) > 1 for cell in state.cells) if isinstance(state, Cells) else 0


def write_disputes(store: ObjectStore, disputes: Disputes) -> ObjectId | None:
    """Keep the open conflicts of a table; None where there are none."""
    import pyarrow as pa

    from prontosync.tables import parquet

    schema = disputes.schema
    columns: dict[str, list[Value]] = {field.name: [] for field in _candidate_schema(schema)}
    for key in sorted(disputes.rows, key=lambda k: orderable_row(restored(v) for v in k)):
        dispute = disputes.rows[key]
        for candidate in dispute.candidates(schema):
            for origin in candidate.origins:
                _append(columns, schema, key, candidate, origin)
        if (mark := dispute.mark) is not None:
            whole = Candidate(None, shown_row(dispute.state, name_order(schema)), ())
            _append(columns, schema, key, whole, Origin(mark.branch, mark.commit, mark.text, mark.since))
    if not columns[COLUMN]:
        return None
    arrow = _candidate_schema(schema)
    table = pa.table([pa.array(columns[field.name], field.type) for field in arrow], schema=arrow)
    return store.add(parquet.encode(table, "candidates"), "parquet").id


def candidate_rows(store: ObjectStore, schema: TableSchema, identity: ObjectId) -> pa.Table:
    """The stored form of a table's open conflicts, as it stands in the object."""
    from prontosync.tables import parquet

    return parquet.decode(store.read(ObjectName(identity, "parquet")), _candidate_schema(schema))


def read_disputes(table: StoredTable, identity: ObjectId | None) -> Disputes:
    """The open conflicts of a table at one state; the settled cells of a disputed row are those of the table, or, where
    it is held, those of the intended row.

    Raises MalformedObject where the candidates are not such a set.
    """
    schema = table.schema
    if identity is None:
        return Disputes(schema)
    entries = _entries(schema, candidate_rows(table.store, schema, identity))
    rows = rows_by_key(schema, table.rows_at(keys_table(schema, entries)))
    return Disputes(schema, {key: _dispute(schema, found, rows.get(key)) for key, found in entries.items()})


class _Entry(NamedTuple):
    column: str | None
    value: Value | Row | None
    origin: Origin


def _entries(schema: TableSchema, table: pa.Table) -> dict[Key, list[_Entry]]:
    """The stored candidates by key. The key columns of an absent row hold its key too."""
    if any(table.column(name).null_count for name in (*schema.key, PRESENT)):
        raise MalformedObject("a candidate without a key")
    try:
        rows = rows_by_key_list(schema, table)
    except (ValueError, OverflowError) as error:
        raise MalformedObject(f"a candidate with an impossible value: {error}") from None
    extra = [table.column(name).to_pylist() for name in (COLUMN, PRESENT, FROM, COMMIT, KIND, SINCE)]
    entries: dict[Key, list[_Entry]] = {}
    for (key, row), column, present, *origin in zip(rows, *extra, strict=True):
        if column is not None and (column not in schema.values or not present):
            raise MalformedObject("a candidate for a column that the table does not have")
        whole = row if present else None
        value = whole if column is None else row[schema.names.index(column)]
        entries.setdefault(key, []).append(_Entry(column, value, Origin(*(text or "" for text in origin))))
    return entries


def _dispute(schema: TableSchema, entries: list[_Entry], row: Row | None) -> Dispute:
    mark, intended, entries = _unmarked(entries)
    if mark is None:
        return _disputed(schema, entries, row)
    wanted = intended if mark.holds else row
    dispute = _disputed(schema, entries, wanted) if entries else Dispute(state_of(wanted))
    dispute.mark, dispute.shown = mark, row if mark.holds else None
    return dispute


def _unmarked(entries: list[_Entry]) -> tuple[Mark | None, Row | None, list[_Entry]]:
    """The mark among a row's entries and the row that it is on, and the other entries."""
    marks = [(marked(e.origin.kind, e.origin.branch, e.origin.commit, e.origin.since), e) for e in entries]
    found = [(mark, entry) for mark, entry in marks if mark is not None]
    if not found:
        return None, None, entries
    if len(found) > 1 or found[0][1].column is not None:
        raise MalformedObject("a row with several marks, or a mark on a column")
    mark, entry = found[0]
    return mark, entry.value, [other for other in entries if other is not entry]


def _disputed(schema: TableSchema, entries: list[_Entry], row: Row | None) -> Dispute:
    columns = {entry.column for entry in entries}
    if columns == {None}:
        rows = frozenset(entry.value for entry in entries)
        if len(rows) < 2:
            raise MalformedObject("a row in dispute that has one candidate")
        state: State = Rows(rows)
    elif row is None or None in columns:
        raise MalformedObject("candidates for the cells of a row that is not there")
    else:
        sets = {name: frozenset(e.value for e in entries if e.column == name) for name in columns}
        if any(len(values) < 2 for values in sets.values()):
            raise MalformedObject("a cell in dispute that has one candidate")
        state = Cells(tuple(sets.get(n, frozenset([v])) for n, v in zip(schema.names, row, strict=True)))
    dispute = Dispute(state)
    for entry in entries:
        dispute.add(entry.column, entry.value, entry.origin)
    return dispute


def rows_by_key_list(schema: TableSchema, rows: pa.Table) -> list[tuple[Key, Row]]:
    """Few rows as (key, row), canonical, in the order given; keys may repeat."""
    indexes = [schema.names.index(name) for name in schema.key]
    columns = [rows.column(name).to_pylist() for name in schema.names]
    plain = [tuple(canonical(value) for value in row) for row in zip(*columns, strict=True)]
    return [(tuple(row[i] for i in indexes), row) for row in plain]


def _append(columns: dict[str, list[Value]], schema: TableSchema, key: Key, found: Candidate, origin: Origin) -> None:
    values = dict.fromkeys(schema.names)
    values.update(zip(schema.key, key, strict=True))
    if found.column is not None:
        values[found.column] = found.value
    elif found.value is not None:
        values.update(zip(schema.names, found.value, strict=True))
    present = found.column is not None or found.value is not None
    extra = dict(zip((COLUMN, PRESENT, FROM, COMMIT, KIND, SINCE), (found.column, present, *origin), strict=True))
    for name, value in (values | extra).items():
        columns[name].append(restored(value))


def _candidate_schema(schema: TableSchema) -> pa.Schema:
    import pyarrow as pa

    from prontosync.engine.arrow import arrow_schema

    fields = [*arrow_schema(schema), pa.field(COLUMN, pa.string()), pa.field(PRESENT, pa.bool_())]
    return pa.schema([*fields, *(pa.field(name, pa.string()) for name in (FROM, COMMIT, KIND, SINCE))])


def _dispute_value(dispute: Dispute, schema: TableSchema) -> object:
    mark = dispute.mark
    if mark is None:
        return _set_value(dispute.state, schema)
    if not mark.holds:
        return mark.text, _set_value(dispute.state, schema)
    state = dispute.state
    whole = frozenset(zip(schema.names, state.cells, strict=True)) if isinstance(state, Cells) else None
    return "held", whole or _set_value(state, schema)


def _set_value(state: State, schema: TableSchema) -> object:
    if isinstance(state, Cells):
        return frozenset((n, c) for n, c in zip(schema.names, state.cells, strict=True) if len(c) > 1)
    if isinstance(state, Rows):
        by_name = sorted(range(len(schema.names)), key=lambda i: schema.names[i])
        return frozenset(None if row is None else tuple(row[i] for i in by_name) for row in state.rows)
    return None


def _reordered(dispute: Dispute, order: list[int]) -> Dispute:
    state = dispute.state
    if isinstance(state, Cells):
        state = Cells(tuple(state.cells[i] for i in order))
    elif isinstance(state, Rows):
        state = Rows(frozenset(None if row is None else tuple(row[i] for i in order) for row in state.rows))
    moved = {
        (column, tuple(value[i] for i in order) if column is None and value is not None else value): origins
        for (column, value), origins in dispute.origins.items()
    }
    shown = None if dispute.shown is None else tuple(dispute.shown[i] for i in order)
    return Dispute(state, moved, dispute.mark, shown)


def _row_order(row: Row | None) -> tuple[object, ...]:
    return (1,) if row is None else (0, tuple(orderable(restored(value)) for value in row))
