"""A stored table in another schema: other columns, other names, other types, every value kept exactly.

Columns that come are NULL and cost nothing: the files stay as they are. Where a column goes, or gets another name or
type, the table is written afresh, segment by segment, so that two states that share segments still do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema, arrow_type
from prontosync.errors import Unfit
from prontosync.history.disputes import Dispute, Disputes, Key
from prontosync.history.live_view import hinted_names, under
from prontosync.history.sets import Cells, Rows, State
from prontosync.model.changes import CHANGE
from prontosync.model.encoding import encode
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, Value, canonical, restored
from prontosync.sources.conversion import Inexact, converted
from prontosync.sources.typemap import affinity
from prontosync.tables import parquet
from prontosync.tables.digest import run_digest
from prontosync.tables.layout import write_checkpoint
from prontosync.tables.patch import patch_schema, read_patch
from prontosync.tables.reader import StoredTable
from prontosync.tables.segments import SegmentWriter
from prontosync.tables.states import store_rows

if TYPE_CHECKING:
    from prontosync.disk.objects import ObjectStore
    from prontosync.model.hints import Hints
    from prontosync.model.schema import Ddl
    from prontosync.tables.layout import Segment


class Unconvertible(Unfit):
    """A column holds values that its new type cannot."""

    id = "unconvertible"

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True)
class Recasting:
    """From the columns of ``old`` to those of ``new``. ``names`` has a new column's old name where that is another;
    ``constants`` the value that a column gets in every row. ``ddl`` tells how values of ``old`` are stored."""

    old: TableSchema
    new: TableSchema
    ddl: Ddl
    names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Value] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        """Whether files of the old schema can be read in the new one as they are."""
        kept = {column.name: column.type for column in self.new.columns}
        alike = all(kept.get(column.name) == column.type for column in self.old.columns)
        return (
            alike
            and self.new.key == tuple(self.old.key)
            and not self.constants
            and not any(old != new for new, old in self.names.items())
        )

    @property
    def keeps_order(self) -> bool:
        """Whether keys stay as they are."""
        return tuple(self.old_name(name) for name in self.new.key) == self.old.key and all(
            self.old_name(name) in self.old.names and self.old.type_of(self.old_name(name)) == self.new.type_of(name)
            for name in self.new.key
        )

    def old_name(self, name: str) -> str:
        return self.names.get(name, name)

    def rows(self, rows: pa.Table, arrow: pa.Schema) -> pa.Table:
        """Rows in the columns of ``arrow``, which are new ones and such as need no conversion. Raises
        Unconvertible."""
        return pa.table([self._column(rows, field) for field in arrow], schema=arrow)

    def _column(self, rows: pa.Table, wanted: pa.Field) -> pa.ChunkedArray | pa.Array:
        if wanted.name in self.constants:
            value = pa.scalar(restored(self.constants[wanted.name]), wanted.type)
            return pa.repeat(value, rows.num_rows)
        name = self.old_name(wanted.name)
        if name not in rows.column_names:
            return pa.nulls(rows.num_rows, wanted.type)
        values = rows.column(name)
        if wanted.name == CHANGE or (values.type == wanted.type and self._type(name) == self.new.type_of(wanted.name)):
            return values
        return pa.chunked_array([self._values(chunk, wanted.name) for chunk in values.chunks], wanted.type)

    def _type(self, name: str) -> str:
        return self.old.type_of(name) if name in self.old.names else ""

    def _values(self, values: pa.Array, name: str) -> pa.Array:
        old = self.old_name(name)
        new = self.new.type_of(name)
        declared = self.ddl.declared.get(old)
        stored_as = affinity(declared) if new == "any" and declared is not None else ""
        try:
            return converted(values, self.old.type_of(old), new, self.ddl.forms.get(old, ""), stored_as)
        except Inexact as error:
            raise Unconvertible(name, f'column "{name}": {error}') from error

    def row(self, row: Row) -> Row:
        """One row, canonical."""
        return tuple(self._cell(row, column.name) for column in self.new.columns)

    def _cell(self, row: Row, name: str) -> Value:
        if name in self.constants:
            return self.constants[name]
        old = self.old_name(name)
        return self.value(name, row[self.old.names.index(old)]) if old in self.old.names else None

    def value(self, name: str, value: Value) -> Value:
        """One value of a column, canonical."""
        old, new = self.old.type_of(self.old_name(name)), self.new.type_of(name)
        if old == new or value is None:
            return value
        array = self._values(pa.array([restored(value)], arrow_type(old)), name)
        return canonical(array[0].as_py())


def recast(table: StoredTable, recasting: Recasting, store: ObjectStore | None = None) -> StoredTable:
    """The table in the new schema; what must be written goes into ``store``, or the table's own. Raises
    Unconvertible."""
    store, before = store or table.store, table.state
    schema = store.add(encode(recasting.new), "json").id
    none = Changes(0, 0, 0)
    if recasting.is_free:
        state = TableState(schema, before.ddl, before.rows, None, before.checkpoint, before.patches, none)
        return StoredTable(store, table.engine, table.name, state)
    if not recasting.keeps_order:
        return _sorted(table, recasting, store)
    patches = tuple(store.add(data, "parquet").id for data in _patches(table, recasting))
    checkpoint = write_checkpoint(store, recasting.new, _segments(table, recasting, store))
    return StoredTable(
        store, table.engine, table.name, TableState(schema, before.ddl, before.rows, None, checkpoint, patches, none)
    )


def _segments(table: StoredTable, recasting: Recasting, store: ObjectStore) -> list[Segment]:
    writer = SegmentWriter(store, recasting.new)
    arrow = arrow_schema(recasting.new)
    try:
        for rows in table.decoded(table.segments):
            new = recasting.rows(rows, arrow).combine_chunks()
            writer.add(new, run_digest(new, recasting.new))
    except BaseException:
        writer.abandon()
        raise
    return writer.finish()


def _patches(table: StoredTable, recasting: Recasting) -> Iterator[bytes]:
    arrow = patch_schema(recasting.new)
    for identity in table.state.patches:
        rows = read_patch(table.store, table.schema, identity)
        yield parquet.encode(recasting.rows(rows, arrow), "patch")


def _sorted(table: StoredTable, recasting: Recasting, store: ObjectStore) -> StoredTable:
    arrow = arrow_schema(recasting.new)
    batches = (
        batch
        for found in table.batches()
        for batch in recasting.rows(pa.Table.from_batches([found]), arrow).to_batches()
    )
    stored = store_rows(store, table.engine, table.name, recasting.new, table.ddl, batches, ordered=False)
    return StoredTable(store, table.engine, table.name, stored.state)


def recast_disputes(disputes: Disputes, recasting: Recasting) -> Disputes:
    """Open conflicts in the new schema; the settled cells of columns that come are NULL. Raises Unconvertible."""
    rows: dict[Key, Dispute] = {}
    indexes = [recasting.new.names.index(name) for name in recasting.new.key]
    for key, dispute in disputes.rows.items():
        found = _recast_dispute(dispute, recasting)
        if found is not None:
            old = [recasting.old.names.index(recasting.old_name(name)) for name in recasting.new.key]
            place = dict(zip(disputes.schema.key, key, strict=True))
            row = tuple(place.get(name) for name in recasting.old.names)
            rows[tuple(recasting.row(row)[i] for i in indexes) if old else key] = found
    return Disputes(recasting.new, rows)


def _recast_dispute(dispute: Dispute, recasting: Recasting) -> Dispute | None:
    old = recasting.old
    state: State
    if isinstance(dispute.state, Cells):
        cells = dict(zip(old.names, dispute.state.cells, strict=True))
        state = Cells(tuple(_cell(cells, recasting, column.name) for column in recasting.new.columns))
        if all(len(cell) == 1 for cell in state.cells):
            return None
    elif isinstance(dispute.state, Rows):
        rows = frozenset(None if row is None else recasting.row(row) for row in dispute.state.rows)
        if len(rows) < 2:
            return None
        state = Rows(rows)
    else:
        return None
    new_names = {recasting.old_name(name): name for name in recasting.new.names}
    after = Dispute(state)
    for (column, value), origins in dispute.origins.items():
        if column is None:
            place: tuple[str | None, Value] = (None, None if value is None else recasting.row(value))
        elif column in new_names:
            place = (new_names[column], recasting.value(new_names[column], value))
        else:
            continue
        after.origins.setdefault(place, []).extend(origins)
    return after


def _cell(cells: Mapping[str, frozenset[Value]], recasting: Recasting, name: str) -> frozenset[Value]:
    if name in recasting.constants:
        return frozenset([recasting.constants[name]])
    old = recasting.old_name(name)
    return frozenset(recasting.value(name, value) for value in cells[old]) if old in cells else frozenset([None])


def under_hints(table: StoredTable, hints: Hints, store: ObjectStore | None = None) -> tuple[StoredTable, Recasting]:
    """A table with the newest names of its columns and without those that are to end; itself where nothing is said."""
    recasting = hinted(table.schema, table.ddl, hints)
    return (table if recasting.old is recasting.new else recast(table, recasting, store)), recasting


def hinted(schema: TableSchema, ddl: Ddl, hints: Hints) -> Recasting:
    """From a schema to the same under hints."""
    new = under(schema, hints)
    kept = hinted_names(schema, hints)
    return Recasting(schema, new, ddl, {new_name: old for old, new_name in kept.items()} if new is not schema else {})
