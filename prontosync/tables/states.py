"""Table states: what a commit says of a table, from rows that were written."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.model.encoding import encode
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import Ddl, TableSchema, differences
from prontosync.tables.compare import changes_between
from prontosync.tables.layout import LIMITS, Limits, write_checkpoint
from prontosync.tables.order import checked, in_key_order
from prontosync.tables.reader import StoredTable
from prontosync.tables.writer import Written, rewrite_table, write_table


def store_rows(
    store: ObjectStore,
    engine: Engine,
    name: str,
    schema: TableSchema,
    ddl: Ddl,
    batches: Iterable[pa.RecordBatch],
    ordered: bool,
    parent: StoredTable | None = None,
    limits: Limits = LIMITS,
) -> TableState:
    """Keep a whole table, in bounded memory; segments that ``parent`` holds alike are reused.

    Raises BadRows (``tables.order``) at a NULL or duplicate key.
    """
    comparable = parent is not None and _same_key(parent.schema, schema)
    with closing(in_key_order(engine, batches, schema, ordered)) as sorted_batches:
        rows = checked(sorted_batches, name, schema)
        written = write_table(store, engine, schema, rows, parent if comparable else None, limits)
    state = _state(store, schema, ddl, written)
    if parent is None:
        return state
    return _with_changes(state, _counted(store, engine, name, state, parent, written))


def store_changes(
    engine: Engine, parent: StoredTable, changes: pa.Table, ddl: Ddl | None = None, limits: Limits = LIMITS
) -> TableState:
    """Keep ``parent`` with ``changes`` (``reader.patch_schema``, in key order, one a key) laid over it."""
    written = rewrite_table(engine, parent, changes, limits)
    state = _state(parent.store, parent.schema, ddl or parent.ddl, written)
    return _with_changes(state, _counted(parent.store, engine, parent.name, state, parent, written))


def _same_key(a: TableSchema, b: TableSchema) -> bool:
    """Whether rows of both can be told apart, and their columns compared, alike."""
    return not differences(a, b)


def _counted(
    store: ObjectStore, engine: Engine, name: str, state: TableState, parent: StoredTable, written: Written
) -> Changes:
    """The changes against a parent: as counted while writing, where the parent's segments are all its rows."""
    if differences(parent.schema, StoredTable(store, engine, name, state).schema):
        return Changes(state.rows, 0, parent.state.rows)
    if parent.state.patches:
        return changes_between(parent, StoredTable(store, engine, name, state)).counts
    return written.changes


def _state(store: ObjectStore, schema: TableSchema, ddl: Ddl, written: Written) -> TableState:
    return TableState(
        schema=_add(store, schema),
        ddl=_add(store, ddl),
        rows=written.rows,
        digest=written.digest,
        checkpoint=write_checkpoint(store, schema, written.segments),
        patches=(),
        changes=written.changes,
    )


def _with_changes(state: TableState, changes: Changes) -> TableState:
    return TableState(state.schema, state.ddl, state.rows, state.digest, state.checkpoint, state.patches, changes)


def _add(store: ObjectStore, value: TableSchema | Ddl) -> ObjectId:
    return store.add(encode(value), "json").id
