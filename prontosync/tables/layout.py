"""Checkpoints: the list of a table's segments, each the rows of a range of keys."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import arrow_type
from prontosync.model.encoding import MalformedObject
from prontosync.model.ids import Digest, ObjectId, ObjectName
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, orderable_row
from prontosync.tables import parquet


@dataclass(frozen=True)
class Limits:
    """How much one segment holds: at most ``rows`` rows, and ``bytes`` of values unless it is a single row."""

    rows: int = 16_384
    bytes: int = 2 << 20

    def is_small(self, rows: pa.Table) -> bool:
        """Whether rows should be joined with those of the next segment: less than a quarter of a full one."""
        return bool(4 * rows.num_rows < self.rows and 4 * rows.nbytes < self.bytes)

    def fitting(self, rows: pa.Table) -> int:
        """How many of these rows, from the first on, make one full segment; at least one."""
        if rows.nbytes <= self.bytes:
            return min(self.rows, int(rows.num_rows))
        low, high = 1, min(self.rows, rows.num_rows)
        while low < high:
            middle = (low + high + 1) // 2
            if rows.slice(0, middle).nbytes <= self.bytes:
                low = middle
            else:
                high = middle - 1
        return low


LIMITS = Limits()

_ROWS, _DIGEST, _OBJECT, _SIZE = "_ps_rows", "_ps_digest", "_ps_object", "_ps_size"


@dataclass(frozen=True)
class Segment:
    """The rows whose keys are at least ``first`` and below the next segment's; the first segment reaches down to -∞."""

    first: Row
    rows: int
    digest: Digest
    object: ObjectId
    size: int

    @property
    def name(self) -> ObjectName:
        return ObjectName(self.object, "parquet")


def write_checkpoint(store: ObjectStore, schema: TableSchema, segments: Sequence[Segment]) -> ObjectId:
    """Keep the list of segments as an object."""
    keys = list(zip(*(s.first for s in segments), strict=True)) or [()] * len(schema.key)
    columns = [
        pa.array(values, arrow_type(schema.type_of(name))) for name, values in zip(schema.key, keys, strict=True)
    ]
    columns += [
        pa.array([s.rows for s in segments], pa.int64()),
        pa.array([bytes.fromhex(s.digest) for s in segments], pa.binary(32)),
        pa.array([bytes.fromhex(s.object) for s in segments], pa.binary(32)),
        pa.array([s.size for s in segments], pa.int64()),
    ]
    return store.add(parquet.encode(pa.table(columns, schema=_schema(schema)), "checkpoint"), "parquet").id


def read_checkpoint(
    store: ObjectStore, schema: TableSchema, checkpoint: ObjectId, rows: int | None = None
) -> list[Segment]:
    """The segments, in key order. ``rows`` is how many rows they must hold together, where no patch changes that.

    Raises MalformedObject where the list is not in order or its counts do not add up.
    """
    table = parquet.decode(store.read(ObjectName(checkpoint, "parquet")), _schema(schema))
    if any(table.column(name).null_count for name in table.column_names):
        raise MalformedObject("a checkpoint with a null")
    try:
        firsts = list(zip(*(table.column(name).to_pylist() for name in schema.key), strict=True))
    except (ValueError, OverflowError) as error:
        raise MalformedObject(f"a checkpoint with an impossible key: {error}") from None
    rest = [table.column(name).to_pylist() for name in (_ROWS, _DIGEST, _OBJECT, _SIZE)]
    segments = [
        Segment(first, count, Digest(digest.hex()), ObjectId(identity.hex()), size)
        for first, count, digest, identity, size in zip(firsts, *rest, strict=True)
    ]
    _check(segments, rows)
    return segments


def segment_of(segments: Sequence[Segment], key: Row) -> int:
    """The index of the segment whose range holds ``key``; 0 also for a key below all."""
    return max(0, bisect_right(segments, orderable_row(key), key=lambda s: orderable_row(s.first)) - 1)


def _schema(schema: TableSchema) -> pa.Schema:
    fields = [pa.field(name, arrow_type(schema.type_of(name))) for name in schema.key]
    fields += [
        pa.field(_ROWS, pa.int64()),
        pa.field(_DIGEST, pa.binary(32)),
        pa.field(_OBJECT, pa.binary(32)),
        pa.field(_SIZE, pa.int64()),
    ]
    return pa.schema(fields)


def _check(segments: Sequence[Segment], rows: int | None) -> None:
    firsts = [orderable_row(s.first) for s in segments]
    if any(a >= b for a, b in pairwise(firsts)):
        raise MalformedObject("a checkpoint whose segments are not in key order")
    if any(s.rows < 1 or s.rows > LIMITS.rows or s.size < 1 for s in segments):
        raise MalformedObject("a checkpoint with an impossible count of rows or bytes")
    if rows is not None and sum(s.rows for s in segments) != rows:
        raise MalformedObject("a checkpoint whose rows do not add up to those of its table")
