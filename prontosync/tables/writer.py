"""Writing a table's rows as segments: cut at the parent's boundaries, so that what is unchanged is found and kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.model.ids import Digest
from prontosync.model.objects import Changes
from prontosync.model.schema import TableSchema
from prontosync.tables.digest import TableDigester
from prontosync.tables.layout import LIMITS, Limits, Segment
from prontosync.tables.order import position
from prontosync.tables.reader import StoredTable
from prontosync.tables.runs import Before, Piece, RunWriter
from prontosync.tables.segments import SegmentWriter


@dataclass(frozen=True)
class Written:
    """What writing a table gave.

    ``segments`` is None where those of the parent stay; then ``patch`` comes after the parent's patches, else in place
    of them. ``digest`` is None where not all rows were at hand. ``runs`` are the digests of what the parent's segments'
    ranges hold now, None where the segments are others.
    """

    segments: list[Segment] | None
    patch: pa.Table
    rows: int
    digest: Digest | None
    changes: Changes
    runs: list[Digest] | None = None


def write_table(
    store: ObjectStore,
    schema: TableSchema,
    batches: Iterable[pa.RecordBatch],
    parent: StoredTable | None = None,
    limits: Limits = LIMITS,
    digests: Sequence[Digest] | None = None,
) -> Written:
    """Keep a whole table, whose rows come in key order without twins. What ``parent``, which has the same key and key
    types, holds alike is kept; ``changes`` are against it. ``digests``: of its runs, where they are known."""
    digester = TableDigester(schema)
    before = Before(parent, schema, digests)
    writer = SegmentWriter(store, schema, before.segments)
    runs = RunWriter(writer, schema, before, limits, digester)
    total = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal total
        for batch in batches:
            total += batch.num_rows
            yield batch

    try:
        for piece in pieces(counted(), arrow_schema(schema), schema, before.segments, limits):
            runs.add(piece)
        runs.finish()
        patch = runs.patch()
    except BaseException:
        writer.abandon()
        raise
    segments = writer.finish()
    if before.segments and not runs.fresh:
        return Written(None, patch, total, digester.digest(), runs.changes, runs.runs)
    return Written(segments, patch, total, digester.digest(), runs.changes)


def pieces(
    batches: Iterable[pa.RecordBatch], arrow: pa.Schema, schema: TableSchema, old: list[Segment], limits: Limits
) -> Iterator[Piece]:
    """The rows, which are in key order, cut at the boundaries of the old segments; ``arrow`` has their columns."""
    held: list[pa.RecordBatch] = []
    index, first = 0, True

    def piece(last: bool) -> Piece:
        rows = pa.Table.from_batches(held, schema=arrow)
        held.clear()
        return Piece(index if old else None, rows, first, last, final=index + 1 >= len(old))

    for whole in batches:
        batch = whole
        while index + 1 < len(old) and (cut := position(batch, schema, old[index + 1].first)) < batch.num_rows:
            held.append(batch.slice(0, cut))
            batch = batch.slice(cut)
            yield piece(last=True)
            index, first = index + 1, True
        held.append(batch)
        if sum(b.num_rows for b in held) > 2 * limits.rows or sum(b.nbytes for b in held) > 2 * limits.bytes:
            yield piece(last=False)
            first = False
    while True:
        yield piece(last=True)
        index, first = index + 1, True
        if index >= len(old):
            return
