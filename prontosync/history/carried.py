"""Columns of a branch that its live database lacks: at a snapshot their values stay with their rows, by key.

The live rows and those of the head go by side by side in key order, so that few are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import quoted
from prontosync.history.live_view import LiveView, live_view, only, renamed
from prontosync.history.recast import Recasting
from prontosync.model.hints import Hints
from prontosync.model.schema import Column, Ddl, TableSchema
from prontosync.model.values import Row, Value, restored
from prontosync.sources.contract import SourceTable
from prontosync.tables.keyset import in_order, places, split
from prontosync.tables.ranges import side_by_side
from prontosync.tables.reader import StoredTable


@dataclass(frozen=True)
class LiveColumns:
    """From the rows of a live table to those of the branch.

    ``schema`` has all columns of the branch, ``narrow`` those that the live rows have, both under the branch's names.
    ``arrived`` are columns that the branch carried and that the live table has got since, each with the value that the
    database gave to all rows.
    """

    schema: TableSchema
    narrow: TableSchema
    recasting: Recasting
    arrived: Mapping[str, Value] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether the live rows are those of the branch as they are."""
        return self.narrow is self.schema and self.recasting.old is self.recasting.new

    @property
    def keeps_order(self) -> bool:
        return self.is_plain or self.recasting.keeps_order

    @property
    def widens(self) -> bool:
        """Whether the head's rows have a say in what the rows are."""
        return self.narrow is not self.schema or bool(self.arrived)

    @property
    def as_live(self) -> LiveColumns:
        """The same with what the live database has in columns that arrived."""
        return LiveColumns(self.schema, self.narrow, self.recasting)

    def declared(self, ddl: Ddl) -> Ddl:
        """The definition without the columns that arrived: what the branch has there is yet to be written."""
        if not self.arrived:
            return ddl
        live = {self.recasting.old_name(name) for name in self.arrived}
        kept = {name: kind for name, kind in ddl.declared.items() if name not in live}
        return Ddl(ddl.dialect, ddl.statements, kept, ddl.forms, ddl.generated, ddl.requires)

    def newer(self, row: Row, before: Row | None) -> Row:
        """A live row in all columns, with what ``before``, one in all columns, has in those that the database lacks or
        gave to all rows."""
        live = dict(zip(self.narrow.names, row, strict=True))
        held = dict(zip(self.schema.names, before, strict=True)) if before is not None else {}

        def cell(name: str) -> Value:
            if name not in live:
                return held.get(name)
            untouched = name in self.arrived and live[name] in (None, self.arrived[name])
            return held[name] if untouched and held.get(name) is not None else live[name]

        return tuple(cell(name) for name in self.schema.names)

    def read(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Live rows in the columns of ``narrow``. Raises Unconvertible."""
        if self.recasting.old is self.recasting.new:
            yield from batches
            return
        arrow = arrow_schema(self.narrow)
        for batch in batches:
            yield from self.recasting.rows(pa.Table.from_batches([batch]), arrow).to_batches()


def plain_columns(schema: TableSchema) -> LiveColumns:
    """For live rows that are the branch's as they are."""
    return LiveColumns(schema, schema, Recasting(schema, schema, Ddl("", ())))


def live_columns(
    table: SourceTable,
    parent: StoredTable | None,
    hints: Hints,
    refused: frozenset[str] = frozenset(),
) -> LiveColumns:
    """What a snapshot makes of a live table, beside what the branch had of it (``parent``, whose columns have their
    newest names). ``refused`` are columns whose values do not fit the branch's type."""
    live = table.schema
    names = hints.names(live.names)
    view = live_view(parent.schema, parent.ddl, hints) if parent else None
    new = renamed(only(live, names), names)
    types = {column.name: column.type for column in parent.schema.columns} if parent else {}
    by_new = {after: before for before, after in names.items()}
    columns = tuple(
        Column(c.name, _type(table, parent, view, by_new[c.name], c, types.get(c.name), refused)) for c in new.columns
    )
    narrow = new if columns == new.columns else replace_columns(new, columns)
    recasting = Recasting(live, narrow, table.ddl, by_new)
    if narrow == live:
        recasting = Recasting(live, live, table.ddl)
        narrow = live
    if parent is None or view is None:
        return LiveColumns(narrow, narrow, recasting)
    missing = [column for column in parent.schema.columns if column.name not in narrow.names]
    schema = replace_columns(narrow, (*narrow.columns, *missing)) if missing else narrow
    return LiveColumns(schema, narrow, recasting, _arrived(table, view, narrow, by_new))


def _arrived(table: SourceTable, view: LiveView, narrow: TableSchema, by_new: Mapping[str, str]) -> dict[str, Value]:
    names = [name for name in view.carried if name in narrow.names and name not in narrow.key]
    if not names:
        return {}
    from prontosync.sources.defaults import default_values

    typed = renamed(narrow, by_new)
    given = default_values(table, typed)
    return {name: given.get(by_new[name]) for name in names}


def replace_columns(schema: TableSchema, columns: Sequence[Column]) -> TableSchema:
    return TableSchema(tuple(columns), schema.key, schema.foreign_keys, schema.uniques, schema.checks)


def _type(
    table: SourceTable,
    parent: StoredTable | None,
    view: LiveView | None,
    live: str,
    column: Column,
    before: str | None,
    refused: frozenset[str],
) -> str:
    """The branch's type of a column: the one it had, unless the live database declares it otherwise since, or its
    values need another."""
    if before is None or before == column.type or parent is None or view is None or column.name in refused:
        return column.type
    was = view.names.get(column.name)
    if was is not None and parent.ddl.declared.get(was) != table.ddl.declared.get(live):
        return column.type
    return before if before not in types_read(table, live) else column.type


def types_read(table: SourceTable, column: str) -> tuple[str, ...]:
    """The types in which a live column may be read, by its declaration, narrow to wide."""
    from prontosync.sources.typemap import chain

    declared = table.ddl.declared.get(column)
    if declared is None:
        return ()
    strict = bool(table.ddl.statements) and _is_strict(table.ddl.statements[0])
    return tuple(dict.fromkeys(plan.type for plan in chain(declared, strict)))


def _is_strict(statement: str) -> bool:
    return "STRICT" in statement.rpartition(")")[2].upper()


class Carried:
    """``tables.states.Widening``: the columns that the live rows lack, from the rows of the head; the rows in dispute
    are those of ``shown``."""

    def __init__(self, parent: StoredTable, columns: LiveColumns, shown: Shown) -> None:
        self.narrow = columns.narrow
        self._parent, self._columns, self._shown = parent, columns, shown
        names = [name for name in columns.schema.names if name not in columns.narrow.names or name in columns.arrived]
        wanted = {*parent.schema.key, *names}
        self._stored = only(parent.schema, dict.fromkeys(wanted))
        self._arrow = arrow_schema(columns.schema)

    def widened(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows in all columns. The rows in dispute are asked for when the first row has come."""
        live = (pa.Table.from_batches([batch]) for batch in batches)
        if self._parent.schema.key_types != self.narrow.key_types:
            yield from self._by_old_key(live)
            return
        empty = (arrow_schema(self.narrow).empty_table(), arrow_schema(self._stored).empty_table())
        for mine, before in side_by_side(self._columns.schema, _closing(live), self._before(), empty):
            if mine.num_rows:
                yield from self.whole(mine, before).combine_chunks().to_batches()

    def whole(self, rows: pa.Table, before: pa.Table) -> pa.Table:
        """Live rows in all columns, from the head's rows of the same keys, both in key order."""
        at = places(rows, before, self._columns.schema.key)
        columns = [self._column(field, rows, before, at) for field in self._arrow]
        return self._overridden(pa.table(columns, schema=self._arrow))

    def at(self, rows: pa.Table) -> pa.Table:
        """The same, the head's rows looked up."""
        keys = rows.select(list(self._columns.schema.key))
        return self.whole(rows, self._parent.rows_at(keys).select(self._stored.names))

    def _by_old_key(self, live: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
        """Rows that got another key: where they still have the old one, they are found by that."""
        key = self._stored.key_types
        typed = {column.name: column.type for column in self.narrow.columns}
        known = all(typed.get(name) == kind for name, kind in key)
        for rows in live:
            if not known:
                yield from self._filled(rows, None).to_batches()
                continue
            keys = rows.select(self._stored.key)
            valid = keys.filter(reduce(pc.and_, (pc.is_valid(keys.column(name)) for name in self._stored.key)))
            once = in_order(valid.group_by(list(self._stored.key)).aggregate([]).cast(valid.schema), self._stored.key)
            before = self._parent.rows_at(once).select(self._stored.names)
            yield from self._filled(rows, before).to_batches()

    def _filled(self, rows: pa.Table, before: pa.Table | None) -> pa.Table:
        carried = [name for name in self._arrow.names if name not in rows.column_names]
        if before is not None and carried:
            on = " AND ".join(f"l.{quoted(name)} = b.{quoted(name)}" for name in self._stored.key)
            values = ", ".join(f"b.{quoted(name)}" for name in carried)
            found = self._parent.engine.table(
                f"SELECT {values} FROM (SELECT *, row_number() OVER () AS _ps_n FROM _ps_l) l "
                f"LEFT JOIN _ps_b b ON {on} ORDER BY l._ps_n",
                _ps_l=rows.select(self._stored.key),
                _ps_b=before,
            )
        columns = [
            rows.column(field.name)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            if before is None
            else found.column(field.name).cast(field.type)
            for field in self._arrow
        ]
        return pa.table(columns, schema=self._arrow).combine_chunks()

    def _before(self) -> Generator[pa.Table, None, None]:
        state = self._parent.state
        table = StoredTable(self._parent.store, self._parent.engine, self._parent.name, state, self._stored)
        for batch in table.batches():
            yield pa.Table.from_batches([batch])

    def _column(self, field: pa.Field, rows: pa.Table, before: pa.Table, at: pa.Array) -> pa.ChunkedArray:
        arrived = self._columns.arrived
        if field.name in rows.column_names and field.name not in arrived:
            return rows.column(field.name)
        carried = before.column(field.name).combine_chunks().take(at).cast(field.type)
        if field.name not in arrived:
            return pa.chunked_array([carried])
        live = rows.column(field.name).combine_chunks()
        return pa.chunked_array([_newer(live, carried, arrived[field.name])])

    def _overridden(self, rows: pa.Table) -> pa.Table:
        shown = self._shown.whole
        if shown is None or not shown.num_rows:
            return rows
        _, others = split(rows, shown, self._columns.schema.key)
        if others.num_rows == rows.num_rows:
            return rows
        mine, _ = split(shown, rows, self._columns.schema.key)
        both = pa.concat_tables([others, mine.select(rows.column_names).cast(rows.schema)])
        return in_order(both, self._columns.schema.key)


@dataclass
class Shown:
    """The rows in dispute as the table shows them, in key order, in all columns; known once all live rows are read."""

    whole: pa.Table | None = None


def _newer(live: pa.Array, carried: pa.Array, default: Value) -> pa.Array:
    """Where the live database has what it gave to all rows, or nothing, the carried value; else its own."""
    untouched = pc.is_null(live)
    if default is not None:
        same = pc.equal(live, pa.scalar(restored(default), live.type))
        untouched = pc.or_(untouched, pc.fill_null(same, fill_value=False))
    return pc.if_else(pc.and_(untouched, pc.is_valid(carried)), carried, live)


def _closing(tables: Iterator[pa.Table]) -> Generator[pa.Table, None, None]:
    yield from tables
