"""Segments on their way to disk: encoded on other threads, kept in order, reused where their rows are known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.model.ids import Digest
from prontosync.model.schema import TableSchema
from prontosync.tables import parquet
from prontosync.tables.layout import Segment
from prontosync.tables.order import key_at

_IN_FLIGHT = 4


class SegmentWriter:
    """Encodes segments on other threads, and keeps them in order. ``known`` segments are reused by their digest."""

    def __init__(self, store: ObjectStore, schema: TableSchema, known: Iterable[Segment] = ()) -> None:
        self._store, self._schema = store, schema
        self._known = {s.digest: s for s in known}
        self._segments: list[Segment] = []
        self._pending: deque[Segment | Future[Segment]] = deque()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="encode")

    def add(self, rows: pa.Table, digest: Digest) -> None:
        """Write rows, which are in key order and fit in one segment; ``digest`` is their run digest."""
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
