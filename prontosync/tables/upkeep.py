"""Keeping a table's patches few: gathering small ones into larger ones, and folding them into segments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.schema import TableSchema
from prontosync.tables import parquet
from prontosync.tables.layout import LIMITS, Limits, Segment, write_checkpoint
from prontosync.tables.patch import newest_changes, patch_schema, read_patch
from prontosync.tables.reader import StoredTable
from prontosync.tables.runs import MAX_PATCH_BYTES, Before, RunWriter, is_crowded, is_worth_a_list
from prontosync.tables.segments import SegmentWriter
from prontosync.tables.stream import streamed

GATHER_RATIO = 2
"""Patches are gathered until each is so many times as large as the next (``docs/format.md``, Patches)."""
GATHER_BYTES = 512
"""One that holds less than this, its fixed costs aside, is gathered in any case."""
MANY_BYTES = 32 << 20
"""More changes than this, in memory, are folded into segments at once, as they come."""


@dataclass(frozen=True)
class Layers:
    """Where a state's rows are."""

    checkpoint: ObjectId
    patches: tuple[ObjectId, ...]
    rows: int | None = None
    """How many there are, where no patch has a say in that."""


def laid(parent: StoredTable, pieces: Iterable[pa.Table], limits: Limits = LIMITS) -> Layers:
    """Keep ``parent`` with changes (``patch.patch_schema``, in key order, one a key) laid over it, without holding them
    all in memory."""
    state = parent.state
    names = patch_schema(parent.schema).names
    waiting = (piece.select(names) for piece in pieces if piece.num_rows)
    held: list[pa.Table] = []
    size = 0
    for piece in waiting:
        held.append(piece)
        size += piece.nbytes
        if size > MANY_BYTES:
            return layers_of(parent.store, parent.schema, *streamed(parent, held, waiting, limits))
    if not held:
        return Layers(state.checkpoint, state.patches)
    changes = pa.concat_tables(held)
    listed = list(state.patches)
    patch, data = _gathered(parent, listed, changes)
    if not listed and (layers := folded(parent, patch, limits)) is not None:
        return layers
    return Layers(state.checkpoint, (*listed, parent.store.add(data, "parquet").id))


def folded(parent: StoredTable, patch: pa.Table, limits: Limits = LIMITS) -> Layers | None:
    """Write the segments afresh in whose ranges ``patch`` (all changes of the table, as in ``laid``) has many rows; the
    rest stays a patch. None where no segment has so many."""
    patches = parent.in_ranges(patch) if parent.segments else []
    chosen = _crowded(parent.segments, patches)
    if parent.segments and not chosen:
        return None
    writer = SegmentWriter(parent.store, parent.schema, parent.segments)
    try:
        kept = _rewritten(parent, writer, chosen, patches or [patch], limits)
    except BaseException:
        writer.abandon()
        raise
    return layers_of(parent.store, parent.schema, writer.finish(), pa.concat_tables([patch.slice(0, 0), *kept]))


def layers_of(store: ObjectStore, schema: TableSchema, segments: list[Segment], patch: pa.Table) -> Layers:
    """A new list of segments, and one patch over it where that has rows."""
    checkpoint = write_checkpoint(store, schema, segments)
    if not patch.num_rows:
        return Layers(checkpoint, (), sum(segment.rows for segment in segments))
    return Layers(checkpoint, (store.add(parquet.encode(patch, "patch"), "parquet").id,))


def _gathered(parent: StoredTable, listed: list[ObjectId], changes: pa.Table) -> tuple[pa.Table, bytes]:
    """The new patch and its bytes. Those of the newest patches that go into it are taken off ``listed``."""
    data = parquet.encode(changes, "patch")
    blank = pa.table([pa.nulls(1, field.type) for field in changes.schema], schema=changes.schema)
    fixed = len(parquet.encode(blank, "patch"))
    weight = len(data) - fixed
    taken: list[ObjectId] = []
    while listed:
        last = len(parent.store.read(ObjectName(listed[-1], "parquet"))) - fixed
        if last >= max(GATHER_BYTES, GATHER_RATIO * weight):
            break
        weight += max(0, last)
        taken.append(listed.pop())
    if not taken:
        return changes, data
    older = [read_patch(parent.store, parent.schema, identity) for identity in reversed(taken)]
    patch = newest_changes(parent.schema, [*older, changes])
    return patch, parquet.encode(patch, "patch")


def _rewritten(
    parent: StoredTable,
    writer: SegmentWriter,
    chosen: set[int],
    patches: list[pa.Table],
    limits: Limits,
) -> list[pa.Table]:
    """Write the chosen segments with their changes, and list the others; the changes that stay a patch."""
    runs = RunWriter(writer, parent.schema, Before(parent, parent.schema, None), limits)
    if not parent.segments:
        runs.rewrite(0, parent.laid_over(parent.arrow.empty_table(), patches[0]))
    kept = []
    for index, segment in enumerate(parent.segments):
        if index in chosen or runs.wants_rows:
            rows = parent.segment_rows(segment)
            runs.rewrite(index, parent.laid_over(rows, patches[index]) if patches[index].num_rows else rows)
        else:
            runs.keep(index)
            kept.append(patches[index])
    runs.finish()
    return kept


def _crowded(segments: list[Segment], patches: list[pa.Table]) -> set[int]:
    """The segments to write afresh: those with many changed rows, where that is worth it, and so many more, the most
    crowded first, that the rest is not too large for a patch."""
    chosen = {i for i, rows in enumerate(patches) if rows.num_rows and is_crowded(rows.num_rows, segments[i])}
    if not is_worth_a_list(sum(patches[i].num_rows for i in chosen), segments):
        chosen = set()
    left = sum(rows.nbytes for i, rows in enumerate(patches) if i not in chosen)
    if left <= MAX_PATCH_BYTES:
        return chosen
    for index in sorted(set(range(len(patches))) - chosen, key=lambda i: -patches[i].nbytes):
        if left <= MAX_PATCH_BYTES // 2:
            break
        chosen.add(index)
        left -= patches[index].nbytes
    return chosen
