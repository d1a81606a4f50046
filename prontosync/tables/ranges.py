"""Two tables side by side: gone through in key order, range by range, so that few rows are in memory at a time."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import closing

import pyarrow as pa

from prontosync.model.ids import ObjectId
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, orderable_row
from prontosync.tables.keyset import split
from prontosync.tables.order import key_at, position_after
from prontosync.tables.patch import patch_schema
from prontosync.tables.reader import StoredTable

RANGE_ROWS, RANGE_BYTES = 1 << 16, 4 << 20
"""About how much is in one range: as many rows, or as many bytes of values."""

Tables = Generator[pa.Table, None, None]


def is_range(rows: int, size: int) -> bool:
    """Whether so many rows, or bytes, are enough to go on with."""
    return rows >= RANGE_ROWS or size >= RANGE_BYTES


def side_by_side(
    schema: TableSchema, left: Tables, right: Tables, empty: tuple[pa.Table, pa.Table]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The rows of both, each in key order, cut at the same keys; ``empty`` has the columns of each. Both tables have
    the key columns of ``schema``, without NULL."""
    with closing(left), closing(right):
        sides = [_Side(schema, tables, none) for tables, none in zip((left, right), empty, strict=True)]
        while True:
            for side in sides:
                side.fill()
            ends = [side.last for side in sides if side.last is not None]
            if not ends:
                yield sides[0].rows, sides[1].rows
                return
            end = min(ends, key=orderable_row)
            yield sides[0].upto(end), sides[1].upto(end)


def rows_of(table: StoredTable, whole: Collection[ObjectId], keys: pa.Table) -> Tables:
    """All rows in the ranges of the segments ``whole``, and those whose keys are among ``keys`` (a table of the key
    columns, in key order, without twins), in key order, in pieces. ``keys`` has those of all changes that count."""
    own, others = patch_schema(table.schema).empty_table(), keys
    if table.patch is not None:
        own, _ = split(table.patch, keys, table.schema.key)
        _, others = split(keys, table.patch, table.schema.key)
    if not table.segments:
        yield table.laid_over(table.arrow.empty_table(), own)
        return
    yield from _laid(table, whole, table.by_range(own), table.by_range(others))


def _laid(
    table: StoredTable, whole: Collection[ObjectId], own: dict[int, pa.Table], others: dict[int, pa.Table]
) -> Tables:
    """The same, from the changes and the other keys in the ranges of the segments."""
    segments = table.segments
    read = {i for i, segment in enumerate(segments) if segment.object in whole} | others.keys()
    with closing(table.decoded(segments[i] for i in sorted(read))) as decoded:
        rows, changes = _Held(table.arrow), _Held(patch_schema(table.schema))
        for index in sorted(read | own.keys()):
            if index in read:
                found = next(decoded)
                some = segments[index].object not in whole
                rows.add(split(found, others[index], table.schema.key)[0] if some else found)
            if index in own:
                changes.add(own[index])
            if is_range(rows.count + changes.count, rows.bytes + changes.bytes):
                yield table.laid_over(rows.take(), changes.take())
        yield table.laid_over(rows.take(), changes.take())


class _Held:
    """Rows that wait for others."""

    def __init__(self, schema: pa.Schema) -> None:
        self._empty = schema.empty_table()
        self._tables: list[pa.Table] = []
        self.count = self.bytes = 0

    def add(self, rows: pa.Table) -> None:
        self._tables.append(rows)
        self.count += rows.num_rows
        self.bytes += rows.nbytes

    def take(self) -> pa.Table:
        """All of them, in one piece."""
        found = pa.concat_tables([self._empty, *self._tables]).combine_chunks()
        self._tables.clear()
        self.count = self.bytes = 0
        return found


class _Side:
    """One table's rows on their way: those read and not yet given."""

    def __init__(self, schema: TableSchema, tables: Iterator[pa.Table], empty: pa.Table) -> None:
        self._schema, self._tables = schema, tables
        self.rows = empty
        self._more = True

    @property
    def last(self) -> Row | None:
        """The key up to which all rows are here; None where that is all there are."""
        return key_at(self.rows, self._schema, self.rows.num_rows - 1) if self._more else None

    def fill(self) -> None:
        held, count, size = [self.rows], self.rows.num_rows, self.rows.nbytes
        while self._more and not is_range(count, size):
            found = next(self._tables, None)
            self._more = found is not None
            if found is not None:
                held.append(found)
                count, size = count + found.num_rows, size + found.nbytes
        self.rows = pa.concat_tables(held) if len(held) > 1 else self.rows

    def upto(self, key: Row) -> pa.Table:
        """Give the rows up to a key."""
        count = position_after(self.rows, self._schema, key)
        given, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        return given
