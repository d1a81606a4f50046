"""The rows of a table state: its segments, with its patches laid over them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine
from prontosync.model.encoding import MalformedObject, decode
from prontosync.model.ids import Digest, ObjectId, ObjectName
from prontosync.model.objects import TableState
from prontosync.model.schema import Ddl, TableSchema, check_schema
from prontosync.tables import parquet
from prontosync.tables.digest import TableDigester
from prontosync.tables.keyset import split
from prontosync.tables.layout import Segment, read_checkpoint, segment_of
from prontosync.tables.order import between, key_at, positions
from prontosync.tables.patch import laid_over, newest_changes, read_patch

_READERS = 2


def read_schema(store: ObjectStore, table: str, identity: ObjectId) -> TableSchema:
    """A schema object. Raises MalformedObject, NewerFormat, BadSchema."""
    schema = decode(store.read(ObjectName(identity, "json")), TableSchema)
    check_schema(table, schema)
    return schema


def read_ddl(store: ObjectStore, identity: ObjectId) -> Ddl:
    return decode(store.read(ObjectName(identity, "json")), Ddl)


class StoredTable:
    """One table at one state, read only as far as asked for. ``seen_as``: read in these columns, of the same types and
    key, in place of those of its own schema."""

    def __init__(
        self, store: ObjectStore, engine: Engine, name: str, state: TableState, seen_as: TableSchema | None = None
    ) -> None:
        self.store, self.engine, self.name, self.state = store, engine, name, state
        self._seen_as = seen_as

    @cached_property
    def schema(self) -> TableSchema:
        return self._seen_as or read_schema(self.store, self.name, self.state.schema)

    @cached_property
    def ddl(self) -> Ddl:
        return read_ddl(self.store, self.state.ddl)

    @cached_property
    def arrow(self) -> pa.Schema:
        return arrow_schema(self.schema)

    @cached_property
    def segments(self) -> list[Segment]:
        rows = None if self.state.patches else self.state.rows
        return read_checkpoint(self.store, self.schema, self.state.checkpoint, rows)

    def segment_rows(self, segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
        """A segment's own rows, patches left aside."""
        data = self.store.read(segment.name)
        if len(data) != segment.size:
            raise MalformedObject(f"object {segment.object} has another size than its checkpoint says")
        return parquet.decode(data, self.arrow, segment.rows, list(columns) if columns else None)

    @cached_property
    def patch(self) -> pa.Table | None:
        """All patches as one: for each key the newest change, in key order; None where there is no patch."""
        return self._newest(0)

    def patch_after(self, number: int) -> pa.Table | None:
        """The same of the patches that follow the first ``number``."""
        return self._newest(number) if number else self.patch

    def _newest(self, number: int) -> pa.Table | None:
        listed = self.state.patches[number:]
        if not listed:
            return None
        return newest_changes(self.schema, [read_patch(self.store, self.schema, i) for i in listed])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in key order."""
        for rows in self._pieces():
            yield from rows.to_batches()

    def rows(self) -> pa.Table:
        """All rows in key order, in memory."""
        return pa.concat_tables([self.arrow.empty_table(), *self._pieces()])

    def rows_at(self, keys: pa.Table) -> pa.Table:
        """The rows whose keys are among ``keys`` (a table of the key columns, in key order, without twins)."""
        if self.patch is None:
            return self._stored_at(keys)
        # What a patch says of a row is all of it: no segment is read for that.
        patch = between(self.patch, keys, self.schema)
        changed, _ = split(patch, keys, self.schema.key)
        _, others = split(keys, patch, self.schema.key)
        rows = self._stored_at(others)
        return self.laid_over(rows, changed) if changed.num_rows else rows

    def touched(self, keys: pa.Table) -> int:
        """In how many segments' ranges these keys lie."""
        return len(self.by_range(keys)) if self.segments else 0

    def highest(self) -> int | None:
        """The highest key of a table whose key is one int64 column; at least that of any row. None without rows."""
        (name,) = self.schema.key
        found = [self.segment_rows(self.segments[-1], [name])] if self.segments else []
        found += [self.patch.select([name])] if self.patch is not None else []
        highest = [pc.max(rows.column(name)).as_py() for rows in found]
        return max((value for value in highest if value is not None), default=None)

    def digest(self) -> Digest:
        """The table's digest: the state's, or computed from all rows."""
        if self.state.digest is not None:
            return Digest(self.state.digest)
        digester = TableDigester(self.schema)
        for batch in self.batches():
            digester.update(batch)
        return digester.digest()

    def in_ranges(self, rows: pa.Table) -> list[pa.Table]:
        """Rows in key order, cut by the ranges of the segments."""
        starts = positions(rows, self.schema, [segment.first for segment in self.segments[1:]])
        bounds = [0, *starts, rows.num_rows]
        return [rows.slice(start, end - start) for start, end in pairwise(bounds)]

    def by_range(self, rows: pa.Table) -> dict[int, pa.Table]:
        """Rows in key order, by the indexes of the segments in whose ranges they lie."""
        if rows.num_rows * 4 > len(self.segments):
            return {index: some for index, some in enumerate(self.in_ranges(rows)) if some.num_rows}
        found: dict[int, tuple[int, int]] = {}
        for n in range(rows.num_rows):
            index = segment_of(self.segments, key_at(rows, self.schema, n))
            found[index] = (found.get(index, (n, n))[0], n + 1)
        return {index: rows.slice(start, end - start) for index, (start, end) in found.items()}

    def decoded(self, segments: Iterable[Segment]) -> Generator[pa.Table, None, None]:
        """The own rows of several segments in turn; while one is used, the next ones are read."""
        waiting: deque[Future[pa.Table]] = deque()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="decode") as pool:
            for segment in segments:
                waiting.append(pool.submit(self.segment_rows, segment))
                if len(waiting) > _READERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def laid_over(self, rows: pa.Table, changes: pa.Table) -> pa.Table:
        """Rows with changes (``patch_schema``) applied, in key order."""
        return laid_over(self.schema, rows, changes)

    def _pieces(self) -> Iterator[pa.Table]:
        if not self.segments:
            if self.patch is not None:
                yield self.laid_over(self.arrow.empty_table(), self.patch)
            return
        patches = self.in_ranges(self.patch) if self.patch is not None else []
        for index, rows in enumerate(self.decoded(self.segments)):
            yield self.laid_over(rows, patches[index]) if patches and patches[index].num_rows else rows

    def _stored_at(self, keys: pa.Table) -> pa.Table:
        """The segments' own rows with these keys, read a few segments at a time."""
        if not self.segments or not keys.num_rows:
            return self.arrow.empty_table()
        touched = self.by_range(keys)
        decoded = self.decoded(self.segments[index] for index in touched)
        found = [split(rows, some, self.schema.key)[0] for rows, some in zip(decoded, touched.values(), strict=True)]
        return pa.concat_tables([self.arrow.empty_table(), *found])
