"""Digests of rows: a function of the values alone (``docs/format.md``, Digests)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prontosync.model import encoding
from prontosync.model.ids import Buffer, Digest, Hasher, domain_hasher
from prontosync.model.schema import TableSchema

BLOCK_ROWS = 16_384
_VARIABLE = frozenset(["text", "json", "bytes", "any"])


def schema_digest(schema: TableSchema) -> Digest:
    """Of a logical schema; the order of columns and of constraints does not matter."""
    plain = {
        "columns": sorted([c.name, c.type] for c in schema.columns),
        "key": list(schema.key),
        "foreign_keys": sorted([list(f.columns), f.table, list(f.parent)] for f in schema.foreign_keys),
        "uniques": sorted(sorted(u) for u in schema.uniques),
        "checks": sorted(schema.checks),
    }
    hasher = domain_hasher("schema")
    hasher.update(encoding.encode(plain))
    return Digest(hasher.hexdigest())


def run_digest(rows: pa.RecordBatch | pa.Table, schema: TableSchema) -> Digest:
    """Of a run of rows in key order: their number, and the digests of the columns that hold any value, by name."""
    hasher = domain_hasher("run")
    hasher.update(rows.num_rows.to_bytes(8, "little"))
    for column in sorted(schema.columns, key=lambda c: c.name):
        values = _array(rows.column(column.name))
        if values.null_count < len(values):
            hasher.update(bytes.fromhex(_column_digest(column.name, column.type, values)))
    return Digest(hasher.hexdigest())


def table_digest(schema: TableSchema, blocks: Iterator[Digest] | list[Digest]) -> Digest:
    """Of a whole table: its schema's digest and the run digests of consecutive blocks of ``BLOCK_ROWS`` rows."""
    hasher = domain_hasher("table")
    hasher.update(bytes.fromhex(schema_digest(schema)))
    for block in blocks:
        hasher.update(bytes.fromhex(block))
    return Digest(hasher.hexdigest())


class TableDigester:
    """A table's digest from batches of any size, in key order."""

    def __init__(self, schema: TableSchema) -> None:
        self._schema = schema
        self._blocks: list[Digest] = []
        self._held: list[pa.RecordBatch] = []
        self._rows = 0
        self._known: Digest | None = None

    def add_run(self, rows: pa.Table, digest: Digest) -> None:
        """Rows whose run digest is known: where they are a whole block it is not computed again."""
        alone = self._rows == 0
        if alone and rows.num_rows == BLOCK_ROWS:
            self._blocks.append(digest)
            return
        for batch in rows.to_batches():
            self.update(batch)
        self._known = digest if alone and 0 < self._rows == rows.num_rows else None

    def update(self, batch: pa.RecordBatch) -> None:
        self._known = None
        while batch.num_rows:
            piece = batch.slice(0, BLOCK_ROWS - self._rows)
            batch = batch.slice(piece.num_rows)
            self._held.append(piece)
            self._rows += piece.num_rows
            if self._rows == BLOCK_ROWS:
                self._close()

    def digest(self) -> Digest:
        """To be called once, after the last batch."""
        if self._rows:
            self._close()
        return table_digest(self._schema, self._blocks)

    def _close(self) -> None:
        held = self._held[0] if len(self._held) == 1 else pa.Table.from_batches(self._held)
        self._blocks.append(self._known or run_digest(held, self._schema))
        self._held, self._rows, self._known = [], 0, None


def _column_digest(name: str, logical: str, values: pa.Array) -> str:
    hasher = domain_hasher("column")
    for text in (name, logical):
        raw = text.encode()
        hasher.update(len(raw).to_bytes(4, "little"))
        hasher.update(raw)
    _add_validity(hasher, values)
    for buffer in _value_buffers(logical, values):
        hasher.update(buffer)
    return hasher.hexdigest()


def _add_validity(hasher: Hasher, values: pa.Array) -> None:
    if not values.null_count:
        hasher.update(b"\0")
        return
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    hasher.update(b"\1")
    hasher.update(np.packbits(valid, bitorder="little").tobytes())


def _value_buffers(logical: str, values: pa.Array) -> Iterator[Buffer]:
    if logical in _VARIABLE:
        yield from _variable_buffers(values)
    elif logical == "bool":
        plain = values.fill_null(False).to_numpy(zero_copy_only=False)
        yield np.packbits(plain, bitorder="little").tobytes()
    elif logical == "float64":
        yield _float_bytes(values)
    else:
        yield _fixed_bytes(values)


def _variable_buffers(values: pa.Array) -> Iterator[Buffer]:
    """uint32 lengths, then the bytes; a null has length 0 whatever its slot holds."""
    raw = values.view(pa.binary()) if pa.types.is_string(values.type) else values
    filled = raw.fill_null(b"") if raw.null_count else raw
    _, offsets_buffer, data = filled.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype="<i4", count=len(filled) + 1, offset=4 * filled.offset)
    yield np.diff(offsets).astype("<u4").tobytes()
    if data is not None:
        yield memoryview(data)[int(offsets[0]) : int(offsets[-1])]


def _float_bytes(values: pa.Array) -> bytes:
    plain: npt.NDArray[np.float64] = values.fill_null(0.0).to_numpy(zero_copy_only=False)
    plain = plain + 0.0  # -0.0 + 0.0 is 0.0
    return np.where(np.isnan(plain), np.float64("nan"), plain).astype("<f8").tobytes()


def _fixed_bytes(values: pa.Array) -> Buffer:
    """The value buffer of a fixed-width array, nulls as zero bytes."""
    width = values.type.bit_width // 8
    buffer = values.buffers()[1]
    raw = np.frombuffer(buffer, dtype=np.uint8, count=len(values) * width, offset=values.offset * width)
    if values.null_count:
        raw = raw.reshape(-1, width).copy()
        raw[pc.is_null(values).to_numpy(zero_copy_only=False)] = 0
    return raw.tobytes()


def _array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column
