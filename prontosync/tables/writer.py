"""Writing a table's rows as segments: cut at the parent's boundaries, so that what is unchanged is found and kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine, quoted
from prontosync.model.ids import Digest
from prontosync.model.objects import Changes
from prontosync.model.schema import TableSchema
from prontosync.tables import parquet
from prontosync.tables.digest import TableDigester, run_digest
from prontosync.tables.layout import LIMITS, Limits, Segment
from prontosync.tables.order import key_at, position
from prontosync.tables.reader import StoredTable, key_join, newest_changes

_IN_FLIGHT = 4


@dataclass(frozen=True)
class Written:
    """What writing a table gave. ``digest`` is None where not all rows were at hand."""

    segments: list[Segment]
    rows: int
    digest: Digest | None
    changes: Changes


class SegmentWriter:
    """Encodes segments on other threads, and keeps them in order. ``known`` segments are reused by their digest."""

    def __init__(self, store: ObjectStore, schema: TableSchema, known: Iterable[Segment] = ()) -> None:
        self._store, self._schema = store, schema
        self._known = {s.digest: s for s in known}
        self._segments: list[Segment] = []
        self._pending: deque[Segment | Future[Segment]] = deque()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="encode")

    def add(self, rows: pa.Table, digest: Digest | None = None) -> None:
        """Write rows, which are in key order and fit in one segment."""
        digest = digest or run_digest(rows, self._schema)
        known = self._known.get(digest)
        if known is not None and known.rows == rows.num_rows:
            self.keep(known)
        else:
            self._pending.append(self._pool.submit(self._encode, rows, digest))
            self._drain(_IN_FLIGHT)

    def keep(self, segment: Segment) -> None:
        """List a segment that is stored already."""
        self._pending.append(segment)

    def finish(self) -> list[Segment]:
        """All segments in order. Nothing may be added afterwards."""
        try:
            self._drain(0)
        finally:
            self._pool.shutdown()
        return self._segments

    def abandon(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _drain(self, leave: int) -> None:
        while len(self._pending) > leave:
            head = self._pending.popleft()
            self._segments.append(head if isinstance(head, Segment) else head.result())

    def _encode(self, rows: pa.Table, digest: Digest) -> Segment:
        data = parquet.encode(rows, "segment")
        name = self._store.add(data, "parquet")
        return Segment(key_at(rows, self._schema, 0), rows.num_rows, digest, name.id, len(data))


@dataclass(frozen=True)
class _Piece:
    """Rows of one run: those in the range of the parent's segment ``old`` (None: there is no parent). A run that is
    larger than any segment comes in several pieces."""

    old: Segment | None
    rows: pa.Table
    first: bool
    last: bool
    final: bool
    """Whether it belongs to the table's last run."""


def _pieces(
    batches: Iterable[pa.RecordBatch], schema: TableSchema, old: list[Segment], limits: Limits
) -> Iterator[_Piece]:
    """The rows, which are in key order, cut at the boundaries of the old segments."""
    arrow = arrow_schema(schema)
    held: list[pa.RecordBatch] = []
    index, first = 0, True

    def piece(last: bool) -> _Piece:
        rows = pa.Table.from_batches(held, schema=arrow)
        held.clear()
        return _Piece(old[index] if old else None, rows, first, last, final=index + 1 >= len(old))

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


class _Counter:
    """How the pieces of one run differ from the rows of the parent's segment."""

    def __init__(self, engine: Engine, parent: StoredTable | None, old: Segment | None, schema: TableSchema) -> None:
        self._engine, self._schema = engine, schema
        self._old = parent.segment_rows(old).select(schema.names) if parent and old else None
        self._matched = self.inserted = self.updated = 0

    def add(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        matched, updated = _matches(self._engine, self._schema, self._old, rows) if self._old is not None else (0, 0)
        self._matched += matched
        self.updated += updated
        self.inserted += rows.num_rows - matched

    @property
    def deleted(self) -> int:
        return self._old.num_rows - self._matched if self._old is not None else 0


class _RunWriter:
    """Writes runs: an unchanged one keeps its segment, the others are cut into new ones."""

    def __init__(
        self, writer: SegmentWriter, engine: Engine, schema: TableSchema, parent: StoredTable | None, limits: Limits
    ) -> None:
        self._writer, self._engine, self._schema, self._parent = writer, engine, schema, parent
        self._limits = limits
        self._carry = arrow_schema(schema).empty_table()
        self._counter: _Counter | None = None
        self.changes = Changes(0, 0, 0)

    def add(self, piece: _Piece) -> None:
        if piece.old is not None and not self.wants_rows and self._unchanged(piece, piece.old):
            self.keep(piece.old)
            return
        if piece.first or self._counter is None:
            self._counter = _Counter(self._engine, self._parent, piece.old, self._schema)
        self._counter.add(piece.rows)
        self._carry = pa.concat_tables([self._carry, piece.rows])
        if piece.last:
            self._note(self._counter)
            self._counter = None
        self._emit_full()
        if piece.last and not piece.final and not self._limits.is_small(self._carry):
            self._emit_evenly()

    @property
    def wants_rows(self) -> bool:
        """Whether what is held is too little for a segment of its own, so that the next run must be joined to it."""
        return self._carry.num_rows > 0 and self._limits.is_small(self._carry)

    def keep(self, segment: Segment) -> None:
        """List a segment of the parent as it is."""
        self._emit_evenly()
        self._writer.keep(segment)

    def finish(self) -> None:
        """Write what is held: from the last run, so full segments first and the rest last, for rows yet to come."""
        while self._carry.num_rows:
            self._emit(self._limits.fitting(self._carry))

    def _unchanged(self, piece: _Piece, old: Segment) -> bool:
        whole = piece.first and piece.last and piece.rows.num_rows == old.rows
        return whole and run_digest(piece.rows, self._schema) == old.digest

    def _emit_full(self) -> None:
        limits = self._limits
        while self._carry.num_rows > 1 and (
            self._carry.num_rows > 2 * limits.rows or self._carry.nbytes > 2 * limits.bytes
        ):
            self._emit(limits.fitting(self._carry))

    def _emit_evenly(self) -> None:
        """Segments of one size, so that each half of a split one has room to grow."""
        if self._carry.num_rows:
            parts = -(-self._carry.num_rows // self._limits.fitting(self._carry))
            size = -(-self._carry.num_rows // parts)
            while self._carry.num_rows:
                self._emit(min(size, self._limits.fitting(self._carry)))

    def _emit(self, count: int) -> None:
        self._writer.add(self._carry.slice(0, count).combine_chunks())
        self._carry = self._carry.slice(count)

    def _note(self, counter: _Counter) -> None:
        before = self.changes
        self.changes = Changes(
            before.inserted + counter.inserted, before.updated + counter.updated, before.deleted + counter.deleted
        )


def write_table(
    store: ObjectStore,
    engine: Engine,
    schema: TableSchema,
    batches: Iterable[pa.RecordBatch],
    parent: StoredTable | None = None,
    limits: Limits = LIMITS,
) -> Written:
    """Keep a whole table, whose rows come in key order without twins. Segments of ``parent`` that hold the same rows
    are reused; ``changes`` are against ``parent``, which has the same key and key types and no patches."""
    digester = TableDigester(schema)
    writer = SegmentWriter(store, schema, parent.segments if parent else ())
    runs = _RunWriter(writer, engine, schema, parent, limits)
    total = 0

    def digested() -> Iterator[pa.RecordBatch]:
        nonlocal total
        for batch in batches:
            digester.update(batch)
            total += batch.num_rows
            yield batch

    try:
        for piece in _pieces(digested(), schema, parent.segments if parent else [], limits):
            runs.add(piece)
        runs.finish()
    except BaseException:
        writer.abandon()
        raise
    return Written(writer.finish(), total, digester.digest(), runs.changes)


def rewrite_table(engine: Engine, parent: StoredTable, changes: pa.Table, limits: Limits = LIMITS) -> Written:
    """Keep ``parent`` with ``changes`` (``reader.patch_schema``, in key order, one a key) laid over it: only segments
    whose range they touch are written. The patches that ``parent`` has are folded in."""
    writer = SegmentWriter(parent.store, parent.schema, parent.segments)
    runs = _RunWriter(writer, engine, parent.schema, parent, limits)
    every = changes
    if parent.patch is not None:
        every = newest_changes(engine, parent.schema, [parent.patch, changes])
    try:
        for index, segment in enumerate(parent.segments):
            touched = parent.in_range(every, index)
            if touched.num_rows or runs.wants_rows:
                rows = parent.segment_rows(segment)
                rows = parent.laid_over(rows, touched) if touched.num_rows else rows
                runs.add(_Piece(segment, rows, first=True, last=True, final=segment is parent.segments[-1]))
            else:
                runs.keep(segment)
        if not parent.segments:
            rows = parent.laid_over(parent.arrow.empty_table(), every)
            runs.add(_Piece(None, rows, first=True, last=True, final=True))
        runs.finish()
    except BaseException:
        writer.abandon()
        raise
    segments = writer.finish()
    return Written(segments, sum(s.rows for s in segments), None, runs.changes)


def _matches(engine: Engine, schema: TableSchema, old: pa.Table, new: pa.Table) -> tuple[int, int]:
    """How many rows have their key on both sides, and in how many of those anything differs."""
    differs = " OR ".join(f"o.{quoted(n)} IS DISTINCT FROM n.{quoted(n)}" for n in schema.values) or "false"
    ((matched, updated),) = engine.rows(
        f"SELECT count(*), count(*) FILTER (WHERE {differs}) FROM _ps_o o JOIN _ps_n n ON {key_join(schema, 'o', 'n')}",
        _ps_o=old,
        _ps_n=new,
    )
    return matched, updated
