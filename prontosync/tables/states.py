"""Table states: what a commit says of a table, from rows that were written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.model.encoding import encode
from prontosync.model.ids import Digest, ObjectId
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import Ddl, TableSchema, differences
from prontosync.tables.layout import LIMITS, Limits, write_checkpoint
from prontosync.tables.order import checked, in_key_order
from prontosync.tables.patch import patch_changes
from prontosync.tables.reader import StoredTable
from prontosync.tables.upkeep import Layers, laid, layers_of
from prontosync.tables.writer import Written, write_table


@dataclass(frozen=True)
class Stored:
    """A state, and the run digests of its checkpoint's ranges with the patches laid over them, where they are known."""

    state: TableState
    runs: Sequence[Digest] | None


class Widening(Protocol):
    """Columns that come to the rows of a table on their way."""

    narrow: TableSchema
    """The columns that the rows have before."""

    def widened(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same rows, which are in key order, in all columns."""
        ...


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
    digests: Sequence[Digest] | None = None,
    widening: Widening | None = None,
) -> Stored:
    """Keep a whole table, in bounded memory; what ``parent`` holds alike is reused, and where few rows differ they
    become a patch over it. ``digests`` are the ``Stored.runs`` of ``parent``: what has them need not be read again.
    ``widening`` is for batches that lack columns of ``schema``.

    Raises BadRows (``tables.order``) at a NULL or duplicate key.
    """
    comparable = _comparable(parent, schema) if parent is not None else None
    given = widening.narrow if widening else schema
    with closing(in_key_order(engine, batches, given, ordered)) as sorted_batches:
        rows = checked(sorted_batches, name, given)
        whole = widening.widened(rows) if widening else rows
        written = write_table(store, schema, whole, comparable, limits, digests)
    changes = written.changes
    if parent is not None and comparable is None:
        changes = Changes(written.rows, 0, parent.state.rows)
    layers = _layers(store, schema, comparable, written, limits)
    kept = comparable is not None and layers.checkpoint == comparable.state.checkpoint
    state = TableState(
        schema=_add(store, schema),
        ddl=_add(store, ddl),
        rows=written.rows,
        digest=written.digest,
        checkpoint=layers.checkpoint,
        patches=layers.patches,
        changes=changes,
    )
    return Stored(state, written.runs if kept else None)


def store_changes(
    parent: StoredTable,
    changes: pa.Table,
    ddl: Ddl | None = None,
    limits: Limits = LIMITS,
    counts: Changes | None = None,
) -> TableState:
    """Keep ``parent`` with ``changes`` (``patch.patch_schema``, in key order, one a key) laid over it.

    ``counts`` is for a caller that knows what they change, and that each of them changes something.
    """
    if counts is None:
        old = parent.rows_at(changes.select(parent.schema.key))
        changes, counts = patch_changes(parent.schema, old, changes)
    layers = laid(parent, [changes], limits)
    return _following(parent, layers, counts, ddl)


def store_pieces(
    parent: StoredTable, pieces: Iterable[tuple[pa.Table, Changes]], limits: Limits = LIMITS
) -> TableState:
    """The same for changes in pieces, in key order, each with what it changes; in bounded memory."""
    counts = Changes(0, 0, 0)

    def counted() -> Iterator[pa.Table]:
        nonlocal counts
        for changes, some in pieces:
            counts += some
            yield changes

    layers = laid(parent, counted(), limits)
    return _following(parent, layers, counts)


def _following(parent: StoredTable, layers: Layers, counts: Changes, ddl: Ddl | None = None) -> TableState:
    before = parent.state
    # The counts are the caller's word; where only segments are left, they can be counted.
    rows = layers.rows if layers.rows is not None else before.rows + counts.inserted - counts.deleted
    return TableState(
        schema=before.schema,
        ddl=_add(parent.store, ddl) if ddl else before.ddl,
        rows=rows,
        digest=None if counts else before.digest,
        checkpoint=layers.checkpoint,
        patches=layers.patches,
        changes=counts,
    )


def _comparable(parent: StoredTable, schema: TableSchema) -> StoredTable | None:
    """The parent where its rows can be told apart and compared as those of ``schema``: it has the same columns, or
    fewer. Those that it lacks are NULL, which changes no digest."""
    if not differences(parent.schema, schema):
        return parent
    ours = {column.name: column.type for column in schema.columns}
    alike = all(ours.get(column.name) == column.type for column in parent.schema.columns)
    if not alike or parent.schema.key != schema.key:
        return None
    before = parent.state
    viewed = TableState(
        _add(parent.store, schema), before.ddl, before.rows, None, before.checkpoint, before.patches, before.changes
    )
    return StoredTable(parent.store, parent.engine, parent.name, viewed)


def _layers(
    store: ObjectStore,
    schema: TableSchema,
    parent: StoredTable | None,
    written: Written,
    limits: Limits,
) -> Layers:
    if parent is None:
        return Layers(write_checkpoint(store, schema, written.segments or []), ())
    if written.segments is None:
        return laid(parent, [written.patch], limits)
    return layers_of(store, schema, written.segments, written.patch)


def _add(store: ObjectStore, value: TableSchema | Ddl) -> ObjectId:
    return store.add(encode(value), "json").id
