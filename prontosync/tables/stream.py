"""More changes of a table than should be in memory: written into its segments as they come by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from prontosync.tables.layout import Limits, Segment
from prontosync.tables.order import key_at, position_after
from prontosync.tables.patch import newest_changes, patch_schema
from prontosync.tables.reader import StoredTable
from prontosync.tables.runs import MAX_PATCH_BYTES, Before, Piece, RunWriter, is_crowded
from prontosync.tables.segments import SegmentWriter
from prontosync.tables.writer import pieces


def streamed(
    parent: StoredTable, first: list[pa.Table], rest: Iterable[pa.Table], limits: Limits
) -> tuple[list[Segment], pa.Table]:
    """The segments of ``parent`` with changes (``patch.patch_schema``, in key order, one a key) laid over it, and the
    changes that stay a patch: those of segments with few, the older ones with them."""

    def batches() -> Iterator[pa.RecordBatch]:
        while first:
            yield from first.pop(0).to_batches()
        for some in rest:
            yield from some.to_batches()

    writer = SegmentWriter(parent.store, parent.schema, parent.segments)
    try:
        stream = _Stream(parent, writer, limits)
        for piece in pieces(batches(), patch_schema(parent.schema), parent.schema, parent.segments, limits):
            stream.add(piece)
        kept = stream.finish()
    except BaseException:
        writer.abandon()
        raise
    return writer.finish(), kept


class _Stream:
    """``_stored`` and ``_older`` are what the segment at hand and the older patches hold of what is yet to come."""

    def __init__(self, parent: StoredTable, writer: SegmentWriter, limits: Limits) -> None:
        self._parent, self._schema = parent, parent.schema
        self._before = Before(parent, parent.schema, None)
        self._runs = RunWriter(writer, parent.schema, self._before, limits)
        self._no_changes = patch_schema(parent.schema).empty_table()
        self._kept = [self._no_changes]
        self._kept_bytes = 0
        self._stored, self._older = parent.arrow.empty_table(), self._no_changes

    def add(self, piece: Piece) -> None:
        if piece.first:
            self._older = self._older_changes(piece.index)
            if piece.index is not None:
                if piece.last and self._stays(piece.index, self._newest(self._older, piece.rows)):
                    return
                self._stored = self._parent.segment_rows(self._before.segments[piece.index])
        stored, older = self._upto(piece)
        rows = self._parent.laid_over(stored, self._newest(older, piece.rows))
        self._runs.rewrite(piece.index or 0, rows, last=piece.last)

    def finish(self) -> pa.Table:
        """The changes that stay a patch."""
        self._runs.finish()
        return pa.concat_tables(self._kept)

    def _stays(self, index: int, changes: pa.Table) -> bool:
        """Whether a segment's changes are few: then it is kept, and they are a patch."""
        room = self._kept_bytes + changes.nbytes <= MAX_PATCH_BYTES
        crowded = is_crowded(changes.num_rows, self._before.segments[index])
        if self._runs.wants_rows or crowded or not room:
            return False
        self._runs.keep(index)
        if changes.num_rows:
            self._kept.append(changes)
            self._kept_bytes += changes.nbytes
        return True

    def _older_changes(self, index: int | None) -> pa.Table:
        if index is not None:
            return self._before.patch(index)
        return self._parent.patch if self._parent.patch is not None else self._no_changes

    def _newest(self, older: pa.Table, rows: pa.Table) -> pa.Table:
        return newest_changes(self._schema, [older, rows]) if older.num_rows else rows

    def _upto(self, piece: Piece) -> tuple[pa.Table, pa.Table]:
        """What is stored, and the older changes, up to the end of a piece."""
        if piece.last:
            return self._stored, self._older
        end = key_at(piece.rows, self._schema, piece.rows.num_rows - 1)
        stored, older = (position_after(rows, self._schema, end) for rows in (self._stored, self._older))
        given = self._stored.slice(0, stored), self._older.slice(0, older)
        self._stored, self._older = self._stored.slice(stored), self._older.slice(older)
        return given
