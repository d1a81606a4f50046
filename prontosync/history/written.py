"""What of a branch's changes a live database is given: the columns that it has, by its names, in types it can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.arrow import arrow_schema
from prontosync.history.carried import types_read
from prontosync.history.live_view import LiveView, live_view, renamed
from prontosync.model.changes import CHANGE, UPDATE
from prontosync.model.schema import Column, Ddl, TableSchema
from prontosync.sources.contract import SourceTable
from prontosync.sources.conversion import converted
from prontosync.sources.typemap import affinity
from prontosync.tables.compare import Delta, Deltas, delta_of, delta_schema, gathered
from prontosync.tables.reader import StoredTable


@dataclass(frozen=True)
class Written:
    """One table's changes for its live database, and what it is there."""

    table: SourceTable
    deltas: Deltas


def written(name: str, view: LiveView, ddl: Ddl, deltas: Deltas) -> Written:
    """``deltas`` are in the branch's columns; ``view`` tells what the live database has of them. A column whose type
    the live one is never read in gets each value as that column would store it."""
    target = _target(name, view, ddl)
    if target.schema is view.schema:
        return Written(SourceTable(name, deltas.schema, ddl), deltas)
    return Written(target, Deltas(target.schema, lambda: gathered(_pieces(target, view, deltas))))


def stored_rows(table: StoredTable) -> tuple[SourceTable, Iterator[pa.RecordBatch]]:
    """All rows of a table as a database made by its own definition holds them."""
    view = live_view(table.schema, table.ddl)
    target = _target(table.name, view, table.ddl)
    if target.schema is view.schema:
        return target, table.batches()
    return target, _batches(table, view, target)


def _batches(table: StoredTable, view: LiveView, target: SourceTable) -> Iterator[pa.RecordBatch]:
    arrow = arrow_schema(target.schema)
    for batch in table.batches():
        rows = pa.Table.from_batches([batch])
        columns = [
            _stored(rows.column(mine), view.schema.type_of(mine), column, table.ddl)
            for mine, column in zip(view.narrow.names, target.schema.columns, strict=True)
        ]
        yield from pa.table(columns, schema=arrow).combine_chunks().to_batches()


def _target(name: str, view: LiveView, ddl: Ddl) -> SourceTable:
    """The live table with the types that its columns are written in; with the very schema of ``view`` where that is
    all the same."""
    narrow = view.narrow
    table = SourceTable(name, view.live, ddl)
    kinds = {mine: _type(table, view.names[mine], narrow.type_of(mine)) for mine in narrow.names}
    if view.is_all and all(kinds[column.name] == column.type for column in narrow.columns):
        return SourceTable(name, view.schema, ddl)
    types = tuple(Column(view.names[c.name], kinds[c.name]) for c in narrow.columns)
    live = renamed(narrow, view.names)
    return SourceTable(name, TableSchema(types, live.key, live.foreign_keys, live.uniques, live.checks), ddl)


def all_rows(table: StoredTable) -> Deltas:
    """Every row of a table that is made."""
    none = table.arrow.empty_table()
    return Deltas(table.schema, lambda: gathered(_inserts(table, none)))


def _inserts(table: StoredTable, none: pa.Table) -> Iterator[Delta]:
    for batch in table.batches():
        yield delta_of(table.schema, none, pa.Table.from_batches([batch]))


def _type(table: SourceTable, live: str, kind: str) -> str:
    allowed = types_read(table, live)
    return kind if not allowed or kind in allowed else "any"


def _pieces(table: SourceTable, view: LiveView, deltas: Iterable[Delta]) -> Iterator[Delta]:
    for delta in deltas:
        names = view.narrow.names
        columns: list[pa.ChunkedArray] = [delta.table.column(CHANGE)]
        for mine, column in zip(names, table.schema.columns, strict=True):
            i = delta.schema.names.index(mine)
            old = delta.schema.columns[i].type
            columns += [_stored(delta.table.column(f"{side}{i}"), old, column, table.ddl) for side in "on"]
        found = Delta(table.schema, pa.table(columns, schema=delta_schema(table.schema)))
        yield Delta(table.schema, found.table.filter(_touches(found)))


def _stored(values: pa.ChunkedArray, old: str, column: Column, ddl: Ddl) -> pa.ChunkedArray:
    if old == column.type:
        return values
    kind = affinity(ddl.declared.get(column.name, ""))
    form = ddl.forms.get(column.name, "")
    chunks = [converted(chunk, old, column.type, form, kind) for chunk in values.chunks]
    return pa.chunked_array(chunks, pa.binary())


def _touches(delta: Delta) -> pa.ChunkedArray:
    """Whether a change says anything to the live database: an update of other columns does not."""
    differs = pc.not_equal(delta.table.column(CHANGE), UPDATE)
    for i in range(len(delta.schema.columns)):
        old, new = delta.table.column(f"o{i}"), delta.table.column(f"n{i}")
        unequal = pc.coalesce(pc.not_equal(old, new), pc.xor(pc.is_null(old), pc.is_null(new)))
        differs = pc.or_(differs, unequal)
    return differs
