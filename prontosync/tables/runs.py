"""Runs: the rows in the range of one of the parent's segments, and what becomes of them.

An unchanged run keeps its segment; one with few changes does too, and they become a patch; the others are cut into new
segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.model.ids import Digest
from prontosync.model.objects import Changes
from prontosync.model.schema import TableSchema
from prontosync.tables.digest import TableDigester, run_digest
from prontosync.tables.keyset import split
from prontosync.tables.layout import Limits, Segment
from prontosync.tables.patch import matched, newest_changes, patch_schema, row_changes
from prontosync.tables.reader import StoredTable
from prontosync.tables.segments import SegmentWriter

FOLD_SHARE = 4
"""A segment is written afresh when every so-many-th of its rows is in a patch (``docs/format.md``, Patches)."""
WORTH_SHARE = 160
"""... and when such rows are, in all, at least so small a part of the table, about 100 rows a segment: a new list of
segments costs about 75 bytes for each of them."""
MAX_PATCH_BYTES = 48 << 20
"""Values, in memory, of the rows that a table may have in patches after a fold."""


def is_crowded(patched: int, segment: Segment) -> bool:
    """Whether so many patched rows are many for a segment."""
    return patched * FOLD_SHARE >= segment.rows


def is_worth_a_list(crowded: int, segments: Sequence[Segment]) -> bool:
    """Whether so many rows in crowded segments are worth a new list of all segments."""
    return crowded * WORTH_SHARE >= sum(segment.rows for segment in segments)


@dataclass(frozen=True)
class Piece:
    """Rows of one run: those in the range of the parent's segment ``index`` (None: there is no parent). A run that is
    larger than any segment comes in several pieces."""

    index: int | None
    rows: pa.Table
    first: bool
    last: bool
    final: bool
    """Whether it belongs to the table's last run."""


class Before:
    """What the parent held, run by run: its segments with its patches laid over them. ``digests`` are those of the
    runs, where they are known already."""

    def __init__(self, parent: StoredTable | None, schema: TableSchema, digests: Sequence[Digest] | None) -> None:
        self._parent, self._names = parent, schema.names
        self.segments = parent.segments if parent else []
        patch = parent.patch if parent else None
        self._patches = parent.in_ranges(patch) if parent and patch is not None and self.segments else []
        self._digests = digests if digests and len(digests) == len(self.segments) else None

    def rows(self, index: int | None) -> pa.Table | None:
        """The rows of a run in the new table's order of columns; None without a parent."""
        if self._parent is None:
            return None
        if index is None:  # no segment, so all that there is lies in patches
            return self._parent.rows().select(self._names)
        rows = self._parent.segment_rows(self.segments[index])
        patch = self.patch(index)
        rows = self._parent.laid_over(rows, patch) if patch.num_rows else rows
        return rows.select(self._names)

    def patch(self, index: int) -> pa.Table:
        """The rows of the parent's patches that fall into a run."""
        return self._patches[index] if self._patches else self._none

    @cached_property
    def _none(self) -> pa.Table:
        assert self._parent is not None
        return patch_schema(self._parent.schema).empty_table()

    def digest(self, index: int) -> Digest | None:
        """The digest of a run's rows, None where it is not known."""
        if not self.patch(index).num_rows:
            return self.segments[index].digest
        return self._digests[index] if self._digests else None

    def outside(self, fresh: set[int]) -> list[pa.Table]:
        """The rows of the parent's patches in all other runs."""
        return [rows for index, rows in enumerate(self._patches) if index not in fresh and rows.num_rows]


class _Counter:
    """How the pieces of one run differ from what the parent held there."""

    def __init__(self, schema: TableSchema, old: pa.Table | None) -> None:
        self._schema = schema
        self._left = old if old is not None else arrow_schema(schema).empty_table()
        self._inserted = self._updated = 0

    def add(self, rows: pa.Table) -> None:
        mine, self._left = split(self._left, rows, self._schema.key)
        came, _, _, now = matched(self._schema, mine, rows)
        self._inserted += came.num_rows
        self._updated += now.num_rows

    @property
    def changes(self) -> Changes:
        return Changes(self._inserted, self._updated, self._left.num_rows)


class RunWriter:
    """Writes runs: an unchanged one keeps its segment, one with few changes too, and they become a patch; the others
    are cut into new segments. ``digester`` is told of all rows, where a whole table goes by."""

    def __init__(
        self,
        writer: SegmentWriter,
        schema: TableSchema,
        before: Before,
        limits: Limits,
        digester: TableDigester | None = None,
    ) -> None:
        self._writer, self._schema, self._before, self._limits = writer, schema, before, limits
        self._digester = digester
        self._carry = arrow_schema(schema).empty_table()
        self._counter: _Counter | None = None
        self._patches: list[pa.Table] = []
        self._patch_bytes = self._crowded = 0
        self.fresh: set[int] = set()
        self.runs: list[Digest] = []
        self.changes = Changes(0, 0, 0)

    def add(self, piece: Piece) -> None:
        if piece.index is not None and piece.first and piece.last:
            self._add_run(piece, piece.index)
        else:
            self._add_part(piece)

    def rewrite(self, index: int, rows: pa.Table, *, last: bool = True) -> None:
        """Write the run's rows, or those up to the ``last`` ones, as new segments, whatever the parent holds."""
        self.fresh.add(index)
        self._extend(rows, last, final=index + 1 >= len(self._before.segments))

    @property
    def wants_rows(self) -> bool:
        """Whether what is held is too little for a segment of its own, so that the next run must be joined to it."""
        return self._carry.num_rows > 0 and self._limits.is_small(self._carry)

    def keep(self, index: int) -> None:
        """List a segment of the parent as it is."""
        self._emit_evenly()
        self._writer.keep(self._before.segments[index])

    def finish(self) -> None:
        """Write what is held: from the last run, so full segments first and the rest last, for rows yet to come."""
        while self._carry.num_rows:
            self._emit(self._limits.fitting(self._carry))

    def patch(self) -> pa.Table:
        """The patch that goes with what was written: the new changes, and where segments are new, those of the parent's
        patches that are not in them."""
        new = pa.concat_tables([patch_schema(self._schema).empty_table(), *self._patches])
        older = self._before.outside(self.fresh) if self.fresh else []
        if not older:
            return new
        return newest_changes(self._schema, [pa.concat_tables(older).select(new.column_names), new])

    def _add_run(self, piece: Piece, index: int) -> None:
        digest = run_digest(piece.rows, self._schema)
        self.runs.append(digest)
        changed = None
        if digest != self._before.digest(index):
            old = self._before.rows(index)
            assert old is not None
            changed, counts = row_changes(self._schema, old, piece.rows)
            self.changes += counts
        if not self.wants_rows and (changed is None or self._is_few(changed, index)):
            self.keep(index)
            self._patch_bytes += self._before.patch(index).nbytes
            if self._digester is not None:
                self._digester.add_run(piece.rows, digest)
            if changed is not None and changed.num_rows:
                self._patches.append(changed)
                self._patch_bytes += changed.nbytes
            return
        self.rewrite(index, piece.rows)

    def _add_part(self, piece: Piece) -> None:
        if self._counter is None:
            self._counter = _Counter(self._schema, self._before.rows(piece.index))
        self._counter.add(piece.rows)
        if piece.index is not None:
            self.fresh.add(piece.index)
        if piece.last:
            self.changes += self._counter.changes
            self._counter = None
        self._extend(piece.rows, piece.last, piece.final)

    def _is_few(self, changed: pa.Table, index: int) -> bool:
        """Whether a run's changes are better kept as a patch than its segment written anew."""
        if self._patch_bytes + self._before.patch(index).nbytes + changed.nbytes > MAX_PATCH_BYTES:
            return False
        segments = self._before.segments
        patched = changed.num_rows + self._before.patch(index).num_rows
        if not is_crowded(patched, segments[index]):
            return True
        self._crowded += patched
        return not self.fresh and not is_worth_a_list(self._crowded, segments)

    def _extend(self, rows: pa.Table, last: bool, final: bool) -> None:
        self._carry = pa.concat_tables([self._carry, rows])
        self._emit_full()
        if last and not final and not self._limits.is_small(self._carry):
            self._emit_evenly()

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
        rows = self._carry.slice(0, count).combine_chunks()
        digest = run_digest(rows, self._schema)
        if self._digester is not None:
            self._digester.add_run(rows, digest)
        self._writer.add(rows, digest)
        self._carry = self._carry.slice(count)
