"""Key order over Arrow rows: sorting, finding a key, and the two things a key must not be."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine, quoted
from prontosync.errors import ProntoError, Unfit
from prontosync.model.keys import key_to_text
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, orderable_row
from prontosync.tables.keyset import in_order

BATCH_ROWS = 16_384
IN_MEMORY = 48 << 20
"""Bytes of rows that are sorted at once; Arrow does that in half the time in which the engine sorts a stream."""


class BadRows(Unfit):
    """NULL or duplicate keys; the message names table and row."""

    id = "bad-rows"


class OutOfOrder(ProntoError):
    """Rows that a source said were in key order and are not: a bug, not to be stored."""

    id = "out-of-order"


def key_at(rows: pa.RecordBatch | pa.Table, schema: TableSchema, index: int) -> Row:
    """The key of one row."""
    return tuple(rows.column(name)[index].as_py() for name in schema.key)


def position(rows: pa.RecordBatch | pa.Table, schema: TableSchema, key: Row, low: int = 0) -> int:
    """How many of these rows, which are in key order, have a key below ``key``; known to be ``low`` or more."""
    wanted = orderable_row(key)
    high = rows.num_rows
    while low < high:
        middle = (low + high) // 2
        if orderable_row(key_at(rows, schema, middle)) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def position_after(rows: pa.RecordBatch | pa.Table, schema: TableSchema, key: Row) -> int:
    """How many of these rows, which are in key order, have a key up to ``key``."""
    count = position(rows, schema, key)
    at = count < rows.num_rows and orderable_row(key_at(rows, schema, count)) == orderable_row(key)
    return count + at


def between(rows: pa.Table, keys: pa.Table, schema: TableSchema) -> pa.Table:
    """Of rows in key order those from the first to the last of ``keys``, which are in key order too."""
    if not keys.num_rows:
        return rows.slice(0, 0)
    start = position(rows, schema, key_at(keys, schema, 0))
    end = position_after(rows, schema, key_at(keys, schema, keys.num_rows - 1))
    return rows.slice(start, end - start)


def positions(rows: pa.RecordBatch | pa.Table, schema: TableSchema, keys: Sequence[Row]) -> list[int]:
    """``position`` of several keys that climb."""
    if len(schema.key) == 1 and schema.type_of(schema.key[0]) == "int64":
        column = rows.column(schema.key[0]).to_numpy()
        return [int(n) for n in np.searchsorted(column, np.array([key[0] for key in keys], np.int64))]
    found: list[int] = []
    for key in keys:
        found.append(position(rows, schema, key, found[-1] if found else 0))
    return found


def order_by(schema: TableSchema, prefix: str = "") -> str:
    """The SQL that sorts by key."""
    return ", ".join(f"{prefix}{quoted(name)} ASC NULLS LAST" for name in schema.key)


def in_key_order(
    engine: Engine, batches: Iterable[pa.RecordBatch], schema: TableSchema, ordered: bool
) -> Generator[pa.RecordBatch, None, None]:
    """The same rows in key order, in bounded memory: the engine sorts, and spills what does not fit."""
    if ordered:
        yield from batches
        return
    arrow = arrow_schema(schema)
    source = _Source(batches)
    iterator = iter(source)
    held, more = _up_to(iterator, IN_MEMORY)
    if not more:
        rows = in_order(pa.Table.from_batches(held, schema=arrow), schema.key).combine_chunks()
        yield from rows.to_batches(BATCH_ROWS)
        return
    reader = pa.RecordBatchReader.from_batches(arrow, chain(held, iterator))
    columns = ", ".join(quoted(name) for name in schema.names)
    query = f"SELECT {columns} FROM _ps_in ORDER BY {order_by(schema)}"
    with (
        engine.sorting,
        source.raising_its_own(),
        closing(engine.streaming.reader(query, BATCH_ROWS, _ps_in=reader)) as sorted_batches,
    ):
        for batch in sorted_batches:
            yield as_rows(batch, arrow)


def _up_to(batches: Iterator[pa.RecordBatch], size: int) -> tuple[list[pa.RecordBatch], bool]:
    """So many bytes of them, and whether there may be more."""
    held: list[pa.RecordBatch] = []
    total = 0
    for batch in batches:
        held.append(batch)
        total += batch.nbytes
        if total > size:
            return held, True
    return held, False


class _Source:
    """Batches that the engine pulls. It turns an error that they raise into one of its own; this keeps the first."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except BaseException as error:
            self._error = error
            raise

    @contextmanager
    def raising_its_own(self) -> Iterator[None]:
        """Whatever ends the block, the batches' own error is what comes out where they raised one."""
        try:
            yield
        except Exception:
            if self._error is not None:
                raise self._error from None
            raise


def as_rows(batch: pa.RecordBatch, arrow: pa.Schema) -> pa.RecordBatch:
    """A batch from the engine in the exact types of a table; the engine forgets the width of binaries."""
    if batch.schema.equals(arrow):
        return batch
    columns = [batch.column(i).cast(field.type) for i, field in enumerate(arrow)]
    return pa.RecordBatch.from_arrays(columns, schema=arrow)


def checked(batches: Iterable[pa.RecordBatch], table: str, schema: TableSchema) -> Iterator[pa.RecordBatch]:
    """The same batches. Raises BadRows at a NULL or duplicate key, and OutOfOrder where they are not in key order."""
    last: pa.RecordBatch | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        _refuse_nulls(batch, table, schema)
        _refuse_stumbles(batch if last is None else _glued(last, batch), table, schema)
        last = batch.slice(batch.num_rows - 1)
        yield batch


def stumble(rows: pa.RecordBatch | pa.Table, schema: TableSchema) -> int | None:
    """The index of the first row whose key is not below the next one's; None where all climb. No key is null."""
    if rows.num_rows < 2:
        return None
    climbing = None
    for name in reversed(schema.key):
        column = rows.column(name)
        before, after = column.slice(0, rows.num_rows - 1), column.slice(1)
        below = _below(before, after)
        climbing = below if climbing is None else pc.or_(below, pc.and_(_equal(before, after), climbing))
    index: int = pc.index(climbing, False).as_py()
    return index if index >= 0 else None


def _glued(last: pa.RecordBatch, batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([last, batch])


def _refuse_nulls(batch: pa.RecordBatch, table: str, schema: TableSchema) -> None:
    for name in schema.key:
        column = batch.column(name)
        if column.null_count:
            index = pc.index(column.is_null(), True).as_py()
            key = key_to_text(key_at(batch, schema, index), schema)
            raise BadRows(
                f'table "{table}", row ({key}): NULL in key column "{name}"',
                "give the row a key in the source, or configure another key for the table",
            )


def _refuse_stumbles(rows: pa.RecordBatch | pa.Table, table: str, schema: TableSchema) -> None:
    index = stumble(rows, schema)
    if index is None:
        return
    key, following = key_at(rows, schema, index), key_at(rows, schema, index + 1)
    if orderable_row(key) != orderable_row(following):
        raise OutOfOrder(
            f'table "{table}": the row ({key_to_text(following, schema)}) came after ({key_to_text(key, schema)})'
        )
    raise BadRows(
        f'table "{table}" has two rows with the key ({key_to_text(key, schema)})',
        f'configure a key that tells them apart: key = [...] under [table."{table}"]',
    )


def _below(before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
    below = pc.less(before, after)
    if not pa.types.is_floating(before.type):
        return below
    return pc.or_(below, pc.and_(pc.invert(pc.is_nan(before)), pc.is_nan(after)))


def _equal(before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
    equal = pc.equal(before, after)
    return pc.or_(equal, pc.and_(pc.is_nan(before), pc.is_nan(after))) if pa.types.is_floating(before.type) else equal
