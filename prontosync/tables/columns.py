"""Some columns of a table's rows, and nothing else of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.model.changes import CHANGE, UPSERT
from prontosync.model.schema import TableSchema
from prontosync.tables.keyset import in_order, not_among
from prontosync.tables.order import position_after, positions
from prontosync.tables.reader import StoredTable

_READERS = 2


def columns_of(table: StoredTable, names: Sequence[str], near: pa.Table | None = None) -> Iterator[pa.Table]:
    """These columns of all rows, in pieces, in no order within one.

    ``near`` holds values, without NULL, of the first columns of the key, in that order: then rows may be left out that
    have none of them.
    """
    key = list(table.schema.key)
    patch = table.patch
    if not table.segments:
        if patch is not None:
            yield _upserts(patch, names)
        return
    patches = table.by_range(patch) if patch is not None else {}
    wanted = range(len(table.segments)) if near is None else _in_reach(table, near)
    read = [(i, list(dict.fromkeys([*names, *key])) if i in patches else list(names)) for i in wanted]
    for (i, _), rows in zip(read, _decoded(table, read), strict=True):
        if i not in patches:
            yield rows
            continue
        kept = rows.filter(not_among(rows, patches[i], key))
        yield pa.concat_tables([kept.select(names), _upserts(patches[i], names)])


def _upserts(patch: pa.Table, names: Sequence[str]) -> pa.Table:
    return patch.filter(pc.equal(patch.column(CHANGE), UPSERT)).select(list(names))


def _decoded(table: StoredTable, read: Iterable[tuple[int, Sequence[str]]]) -> Iterator[pa.Table]:
    """Columns of segments in turn; while one is used, the next ones are read."""
    waiting: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="decode") as pool:
        for index, names in read:
            waiting.append(pool.submit(table.segment_rows, table.segments[index], names))
            if len(waiting) > _READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _in_reach(table: StoredTable, near: pa.Table) -> list[int]:
    """The segments in whose ranges keys may begin with one of these values."""
    schema = TableSchema(table.schema.columns, tuple(near.column_names))
    width = len(schema.key)
    values = in_order(near, schema.key)
    firsts = [segment.first[:width] for segment in table.segments]
    starts = [0, *positions(values, schema, firsts[1:])]
    ends = [*(position_after(values, schema, first) for first in firsts[1:]), values.num_rows]
    return [i for i, (start, end) in enumerate(zip(starts, ends, strict=True)) if start < end]


def least(table: StoredTable, name: str) -> int | None:
    """The least of a column of whole numbers; None where there is none."""
    found = [pc.min(rows.column(name)).as_py() for rows in columns_of(table, [name])]
    return min((value for value in found if value is not None), default=None)
