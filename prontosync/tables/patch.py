"""Patches: the changed rows of one table, beside its segments."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import quoted
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.encoding import MalformedObject
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.objects import Changes
from prontosync.model.schema import TableSchema
from prontosync.tables import parquet
from prontosync.tables.keyset import in_order, split
from prontosync.tables.order import stumble


def key_join(schema: TableSchema, left: str, right: str) -> str:
    """The SQL condition that two relations have the same key."""
    return " AND ".join(f"{left}.{quoted(name)} = {right}.{quoted(name)}" for name in schema.key)


def patch_schema(schema: TableSchema) -> pa.Schema:
    """A patch's columns: the table's, and what happened to the row."""
    return arrow_schema(schema).append(pa.field(CHANGE, pa.string()))


def read_patch(store: ObjectStore, schema: TableSchema, identity: ObjectId) -> pa.Table:
    """A patch's rows. Raises MalformedObject where a change is neither upsert nor delete, or a key is null."""
    table = parquet.decode(store.read(ObjectName(identity, "parquet")), patch_schema(schema))
    kinds = set(table.column(CHANGE).unique().to_pylist())
    if not kinds <= {UPSERT, DELETE} or any(table.column(name).null_count for name in schema.key):
        raise MalformedObject("a patch with an unknown change or a null key")
    return table


def newest_changes(schema: TableSchema, patches: Sequence[pa.Table]) -> pa.Table:
    """Of several patches, later ones winning, the one change of each key, in key order. Raises MalformedObject where
    one patch has two."""
    arrow = patch_schema(schema)
    newest = arrow.empty_table()
    for patch in patches:
        ordered = patch if stumble(patch, schema) is None else in_order(patch, schema.key)
        if stumble(ordered, schema) is not None:
            raise MalformedObject("a patch with two changes of one row")
        _, older = split(newest, ordered, schema.key)
        newest = pa.concat_tables([older, ordered.select(arrow.names)])
        if older.num_rows:
            newest = in_order(newest, schema.key)
    return newest


def laid_over(schema: TableSchema, rows: pa.Table, changes: pa.Table) -> pa.Table:
    """Rows with changes (``patch_schema``) applied. Both are in key order, and so is what comes of them."""
    _, kept = split(rows, changes, schema.key)
    upserts = changes.filter(pc.equal(changes.column(CHANGE), UPSERT)).select(schema.names)
    if not upserts.num_rows:
        return kept
    both = pa.concat_tables([kept.select(schema.names), upserts])
    return in_order(both, schema.key) if kept.num_rows else both


def row_changes(schema: TableSchema, old: pa.Table, new: pa.Table) -> tuple[pa.Table, Changes]:
    """What makes ``new`` of ``old``, as a patch, and the counts. Both are in key order, in ``arrow_schema(schema)``."""
    came, gone, _, now = matched(schema, old, new)
    arrow = patch_schema(schema)
    pieces = [now.select(schema.names), came, gone.select(schema.key)]
    kinds = [UPSERT, UPSERT, DELETE]
    parts = [_marked(rows, kind, arrow) for rows, kind in zip(pieces, kinds, strict=True) if rows.num_rows]
    patch = pa.concat_tables([arrow.empty_table(), *parts])
    counts = Changes(came.num_rows, now.num_rows, gone.num_rows)
    return (in_order(patch, schema.key) if len(parts) > 1 else patch), counts


def matched(schema: TableSchema, old: pa.Table, new: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """How two tables, both in key order, differ: the rows that only ``new`` has, those that only ``old`` has, and row
    by row the old and the new ones with equal keys and different values."""
    keys = list(schema.key)
    if old.num_rows == new.num_rows and old.select(keys).equals(new.select(keys)):
        came, gone, before, now = new.slice(0, 0), old.slice(0, 0), old, new
    else:
        now, came = split(new, old, keys)
        before, gone = split(old, new, keys)
    differing = _differing(schema, before, now)
    return came, gone, before.filter(differing), now.filter(differing)


def patch_changes(schema: TableSchema, old: pa.Table, patch: pa.Table) -> tuple[pa.Table, Changes]:
    """Of a patch over ``old`` (the rows of its keys), what changes anything, and the counts."""
    upserts = patch.filter(pc.equal(patch.column(CHANGE), UPSERT)).select(schema.names)
    return row_changes(schema, old, upserts)


def _marked(rows: pa.Table, kind: str, arrow: pa.Schema) -> pa.Table:
    """Rows as a patch; columns that they lack are NULL."""
    known = set(rows.column_names)
    columns = [
        pa.repeat(pa.scalar(kind), rows.num_rows)
        if field.name == CHANGE
        else rows.column(field.name)
        if field.name in known
        else pa.nulls(rows.num_rows, field.type)
        for field in arrow
    ]
    return pa.table(columns, schema=arrow)


def _differing(schema: TableSchema, old: pa.Table, new: pa.Table) -> pa.ChunkedArray:
    """For each row of two tables with equal keys whether any value differs."""
    differing = pa.chunked_array([pa.repeat(pa.scalar(value=False), new.num_rows)])
    for name in schema.values:
        before, after = old.column(name), new.column(name)
        if not before.equals(after):
            differing = pc.or_(differing, _unequal(before, after))
    return differing


def _unequal(before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
    one_null = pc.xor(pc.is_null(before), pc.is_null(after))
    unequal = pc.not_equal(before, after)
    if pa.types.is_floating(before.type):
        unequal = pc.and_not(unequal, pc.and_(pc.is_nan(before), pc.is_nan(after)))
    return pc.coalesce(unequal, one_null)
