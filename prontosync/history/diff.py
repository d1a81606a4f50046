"""What differs between two whole states: schemas first, then rows table by table."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import arrow_schema, duckdb_type
from prontosync.engine.connection import Engine, quoted
from prontosync.errors import NotFound, UsageError
from prontosync.history.commits import Tree
from prontosync.history.disputes import keys_table
from prontosync.history.live_view import live_view
from prontosync.model.objects import Changes, TableState
from prontosync.model.progress import SILENT, Progress, by_table
from prontosync.model.schema import Column, TableSchema, constraint_differences, differences
from prontosync.model.values import Row
from prontosync.tables.compare import Delta, Deltas, compare, delta_of, deltas_between, gathered
from prontosync.tables.order import as_rows, in_key_order
from prontosync.tables.ranges import side_by_side
from prontosync.tables.reader import StoredTable


class UnknownTable(NotFound):
    id = "unknown-table"


@dataclass(frozen=True)
class SchemaChange:
    """A table added or dropped, or what changed in its columns and key, in words."""

    table: str
    change: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableDiff:
    """The rows of one table that differ. ``deltas.schema`` has the columns of both sides."""

    table: str
    deltas: Deltas

    @property
    def counts(self) -> Changes:
        return self.deltas.counts


class TreeDiff:
    """The differences between two states; rows are read when asked for."""

    def __init__(
        self,
        engine: Engine,
        old_store: ObjectStore,
        old: Tree,
        new_store: ObjectStore,
        new: Tree,
        tables: Sequence[str] = (),
        progress: Progress = SILENT,
    ) -> None:
        self._progress = progress
        self.engine, self.old_store, self.new_store, self.old, self.new = engine, old_store, new_store, old, new
        self._only = tuple(tables)
        for name in self._only:
            if name not in old.tables and name not in new.tables:
                raise UnknownTable(f'table "{name}" is in neither state', "see: prontosync ls-tables")

    def names(self) -> list[str]:
        """The tables looked at, in name order."""
        every = sorted(self.old.tables.keys() | self.new.tables.keys())
        return [name for name in every if not self._only or name in self._only]

    def schema_changes(self, *, all_of_it: bool = False) -> list[SchemaChange]:
        """Tables and columns that came, went or changed. ``all_of_it``: constraints and the order of columns too, and
        the columns that the new state has and its live database lacks."""
        found = []
        for name in self.names():
            old, new = self._table(self.old_store, self.old, name), self._table(self.new_store, self.new, name)
            if old is None or new is None:
                found.append(SchemaChange(name, "added" if old is None else "dropped", _columns(new, all_of_it)))
            elif words := _changes(old, new, all_of_it):
                found.append(SchemaChange(name, "changed", tuple(words)))
        return found

    def tables(self) -> Iterator[TableDiff]:
        """The tables with rows that differ, in name order."""
        for name in by_table(self.names(), "comparing", self._progress):
            deltas = self._deltas(name)
            if deltas:
                yield TableDiff(name, deltas)

    def row(self, name: str, key: Callable[[TableSchema], Row]) -> TableDiff | None:
        """One row of one table: its key is asked for with the table's schema. None where neither state has the row."""
        old, new = self._table(self.old_store, self.old, name), self._table(self.new_store, self.new, name)
        some = new or old
        assert some is not None
        key(some.schema)
        schema = _united(old.schema, new.schema) if old and new else some.schema
        sides = [self._row_at(side, schema, key, some.schema.key) for side in (old, new)]
        if not any(side.num_rows for side in sides):
            return None
        delta = compare(self.engine, schema, *sides)
        return TableDiff(name, Deltas(schema, lambda: gathered([delta])))

    def _row_at(
        self, table: StoredTable | None, schema: TableSchema, key: Callable[[TableSchema], Row], names: tuple[str, ...]
    ) -> pa.Table:
        """The row as this side writes its key; none where this side has another key, or none of that type."""
        if table is None or table.schema.key != names:
            return arrow_schema(schema).empty_table()
        try:
            wanted = key(table.schema)
        except UsageError:
            return arrow_schema(schema).empty_table()
        return self._as(table, schema, table.rows_at(keys_table(table.schema, [wanted])))

    def _deltas(self, name: str) -> Deltas:
        old, new = self._table(self.old_store, self.old, name), self._table(self.new_store, self.new, name)
        if old is not None and new is not None:
            if differences(old.schema, new.schema):
                schema = _united(old.schema, new.schema)
                return Deltas(schema, lambda: gathered(self._across_schemas(old, new, schema)))
            return Deltas(new.schema, lambda: deltas_between(old, new))
        some = new or old
        if some is None:
            raise UnknownTable(f'table "{name}" is in neither state')
        return Deltas(some.schema, lambda: gathered(_whole(some, came=new is not None)))

    def _across_schemas(self, old: StoredTable, new: StoredTable, schema: TableSchema) -> Iterator[Delta]:
        """Columns of both sides; one that a side lacks is NULL there, one of two types is compared as text. A row that
        lacks a part of the key is none of the other side's."""
        # Two sorts at a time would starve each other in one engine.
        left, right = self._keyed(old, schema, self.engine), self._keyed(new, schema, self.engine.streaming)
        none = arrow_schema(schema).empty_table()
        for sides in side_by_side(schema, left, right, (none, none)):
            yield delta_of(schema, *sides)
        if not (set(schema.key) == set(old.schema.key) == set(new.schema.key)):
            yield from (delta_of(schema, rows, none) for rows in self._keyless(old, schema))
            yield from (delta_of(schema, none, rows) for rows in self._keyless(new, schema))

    def _keyed(self, table: StoredTable, schema: TableSchema, engine: Engine) -> Generator[pa.Table, None, None]:
        """The rows that have all of the key, in its order: they are in that order where their own key is its begin."""
        rows = (rows.filter(_has_key(rows, schema)) for rows in self._all_as(table, schema))
        batches = (batch for table in rows for batch in table.to_batches())
        ordered = schema.key_types[: len(table.schema.key)] == table.schema.key_types
        with closing(in_key_order(engine, batches, schema, ordered)) as sorted_batches:
            yield from map(_table_of, sorted_batches)

    def _keyless(self, table: StoredTable, schema: TableSchema) -> Iterator[pa.Table]:
        for rows in self._all_as(table, schema):
            yield rows.filter(pc.invert(_has_key(rows, schema)))

    def _all_as(self, table: StoredTable, schema: TableSchema) -> Iterator[pa.Table]:
        return (self._as(table, schema, _table_of(batch)) for batch in table.batches())

    def _as(self, table: StoredTable, schema: TableSchema, rows: pa.Table) -> pa.Table:
        columns = []
        for column in schema.columns:
            kind = duckdb_type(column.type)
            if column.name not in table.schema.names:
                columns.append(f"NULL::{kind} AS {quoted(column.name)}")
            elif table.schema.type_of(column.name) == column.type:
                columns.append(quoted(column.name))
            else:
                columns.append(f"CAST({quoted(column.name)} AS VARCHAR) AS {quoted(column.name)}")
        result = self.engine.table(f"SELECT {', '.join(columns)} FROM _ps_t", _ps_t=rows)
        arrow = arrow_schema(schema)
        return pa.Table.from_batches([as_rows(b, arrow) for b in result.to_batches()], schema=arrow)

    def _table(self, store: ObjectStore, tree: Tree, name: str) -> StoredTable | None:
        state: TableState | None = tree.tables.get(name)
        return StoredTable(store, self.engine, name, state) if state else None


def keys_gone(old: StoredTable, new: StoredTable) -> int:
    """How many keys of ``old`` are not in ``new``, whose other columns may differ, in bounded memory. Where the key
    itself is another: by how much the table shrank."""
    if old.schema.key_types != new.schema.key_types:
        return max(0, old.state.rows - new.state.rows)
    keys = (pa.Table.from_batches([batch]).select(old.schema.key) for batch in old.batches())
    return sum(some.num_rows - new.rows_at(some).num_rows for some in keys)


def _columns(table: StoredTable | None, all_of_it: bool) -> tuple[str, ...]:
    """The columns of a table that came."""
    if table is None or not all_of_it:
        return ()
    key = ", ".join(table.schema.key)
    columns = (f'column "{column.name}" is {column.type}' for column in table.schema.columns)
    return (*columns, f"the key is ({key})", *constraint_differences(TableSchema((), ()), table.schema))


def _changes(old: StoredTable, new: StoredTable, all_of_it: bool) -> list[str]:
    words = differences(old.schema, new.schema) if old.state.schema != new.state.schema else []
    if not all_of_it:
        return words
    words += constraint_differences(old.schema, new.schema)
    before, after = (live_view(table.schema, table.ddl).carried for table in (old, new))
    words += [
        f'column "{name}" is carried: the live database lacks it'
        for name in after
        if name not in before and name in new.schema.names
    ]
    return words + [
        f'column "{name}" is carried no more: the live database has it'
        for name in before
        if name not in after and name in new.schema.names
    ]


def _whole(table: StoredTable, *, came: bool) -> Iterator[Delta]:
    """All rows of a table that only one side has."""
    none = table.arrow.empty_table()
    for batch in table.batches():
        rows = _table_of(batch)
        yield delta_of(table.schema, *((none, rows) if came else (rows, none)))


def _table_of(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _has_key(rows: pa.Table, schema: TableSchema) -> pa.ChunkedArray:
    """For each row whether no column of the key is NULL."""
    return reduce(pc.and_, (pc.is_valid(rows.column(name)) for name in schema.key))


def _united(old: TableSchema, new: TableSchema) -> TableSchema:
    """The columns of both. The key is that of both together: rows of either side are told apart by it."""
    types = {column.name: column.type for column in old.columns}
    columns = [Column(c.name, c.type if types.get(c.name, c.type) == c.type else "text") for c in new.columns] + [
        c for c in old.columns if c.name not in new.names
    ]
    return TableSchema(tuple(columns), tuple(dict.fromkeys(new.key + old.key)))
