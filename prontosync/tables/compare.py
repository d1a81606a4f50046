"""Row changes between two states of a table, in key order, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine, quoted
from prontosync.model.changes import CHANGE, DELETE, INSERT, UPDATE
from prontosync.model.objects import Changes
from prontosync.model.schema import TableSchema
from prontosync.tables.keyset import in_order, sort_order, split
from prontosync.tables.order import as_rows
from prontosync.tables.patch import key_join, matched
from prontosync.tables.ranges import is_range, rows_of, side_by_side
from prontosync.tables.reader import StoredTable


@dataclass(frozen=True)
class Delta:
    """The changes of one table in key order: ``_ps_change`` (insert, update, delete), then for the i-th column of
    ``schema`` its old value as ``o<i>`` and its new one as ``n<i>``; all NULL on the side that lacks the row."""

    schema: TableSchema
    table: pa.Table

    @property
    def counts(self) -> Changes:
        kinds = self.table.column(CHANGE).value_counts().to_pylist()
        number = {entry["values"]: entry["counts"] for entry in kinds}
        return Changes(number.get(INSERT, 0), number.get(UPDATE, 0), number.get(DELETE, 0))

    def of_kind(self, *kinds: str) -> Delta:
        """Only the changes of these kinds."""
        column = self.table.column(CHANGE)
        mask = pa.compute.is_in(column, pa.array(list(kinds), pa.string()))
        return Delta(self.schema, self.table.filter(mask))

    def old(self) -> pa.Table:
        """The old rows, in the table's own columns."""
        return self._side("o")

    def new(self) -> pa.Table:
        return self._side("n")

    def in_columns(self, schema: TableSchema) -> Delta:
        """The same with the columns in the order of another schema that has the same columns."""
        if schema.names == self.schema.names:
            return Delta(schema, self.table)
        columns = [self.table.column(CHANGE)]
        for name in schema.names:
            i = self.schema.names.index(name)
            columns += [self.table.column(f"o{i}"), self.table.column(f"n{i}")]
        return Delta(schema, pa.table(columns, schema=delta_schema(schema)))

    def keys(self) -> pa.Table:
        """The key of every change, in order."""
        indexes = [self.schema.names.index(name) for name in self.schema.key]
        arrow = arrow_schema(self.schema)
        columns = [
            pa.compute.coalesce(self.table.column(f"n{i}"), self.table.column(f"o{i}")).cast(arrow.field(i).type)
            for i in indexes
        ]
        return pa.table(columns, schema=pa.schema([arrow.field(i) for i in indexes]))

    def _side(self, side: str) -> pa.Table:
        arrow = arrow_schema(self.schema)
        return pa.table([self.table.column(f"{side}{i}") for i in range(len(arrow))], schema=arrow)


class Deltas:
    """The changes of one table in pieces, each some, in key order. Those that fit in one piece are kept; more are found
    again each time they are gone through, so that few are in memory. ``pieces`` starts that."""

    def __init__(self, schema: TableSchema, pieces: Callable[[], Iterator[Delta]]) -> None:
        self.schema = schema
        self._pieces = pieces
        self._kept: Delta | None = None
        self._counts: Changes | None = None

    def __iter__(self) -> Iterator[Delta]:
        if self._counts is not None and self._counts.total == 0:
            return
        if self._kept is not None:
            yield self._kept
            return
        counts, number, first = Changes(0, 0, 0), 0, None
        for delta in self._pieces():
            counts, number = counts + delta.counts, number + 1
            first = delta if number == 1 else None
            yield delta
        self._counts, self._kept = counts, first

    def __bool__(self) -> bool:
        """Whether there is any change."""
        if self._counts is None:
            return bool(list(islice(self, 2)))  # two, for where there is no second one the first is kept
        return bool(self._counts)

    @property
    def counts(self) -> Changes:
        if self._counts is None:
            for _ in self:
                pass
        assert self._counts is not None
        return self._counts

    def joined(self) -> Delta:
        """All in one."""
        return joined(self.schema, self)


def compare(engine: Engine, schema: TableSchema, old: pa.Table, new: pa.Table) -> Delta:
    """The changes from ``old`` to ``new``, both few rows in any order, in ``arrow_schema(schema)``: a full outer join
    on the key, ``IS DISTINCT FROM`` on the rest."""
    columns = schema.names
    differs = " OR ".join(f"o.{quoted(n)} IS DISTINCT FROM n.{quoted(n)}" for n in schema.values) or "false"
    sides = ", ".join(f"{side}.{quoted(name)} AS {side}{i}" for i, name in enumerate(columns) for side in "on")
    order = ", ".join(f"coalesce(n.{quoted(name)}, o.{quoted(name)})" for name in schema.key)
    result = engine.table(
        f"SELECT CASE WHEN o._ps_p IS NULL THEN '{INSERT}' WHEN n._ps_p IS NULL THEN '{DELETE}' ELSE '{UPDATE}' END "
        f"AS {CHANGE}, {sides} FROM (SELECT *, true AS _ps_p FROM _ps_old) o "
        f"FULL JOIN (SELECT *, true AS _ps_p FROM _ps_new) n ON {key_join(schema, 'o', 'n')} "
        f"WHERE o._ps_p IS NULL OR n._ps_p IS NULL OR {differs} ORDER BY {order}",
        _ps_old=old,
        _ps_new=new,
    )
    arrow = delta_schema(schema)
    return Delta(schema, pa.Table.from_batches([as_rows(b, arrow) for b in result.to_batches()], schema=arrow))


def delta_schema(schema: TableSchema) -> pa.Schema:
    """The Arrow schema of ``Delta.table``."""
    fields = [pa.field(CHANGE, pa.string())]
    for i, field in enumerate(arrow_schema(schema)):
        fields += [pa.field(f"o{i}", field.type), pa.field(f"n{i}", field.type)]
    return pa.schema(fields)


def same_rows(old: StoredTable, new: StoredTable) -> bool:
    """Whether two states are known to hold the same rows without reading any: by ids, then by digests."""
    a, b = old.state, new.state
    if a.schema == b.schema and a.checkpoint == b.checkpoint and a.patches == b.patches:
        return True
    return a.digest is not None and a.digest == b.digest


def deltas_between(old: StoredTable, new: StoredTable) -> Iterator[Delta]:
    """The changes of a table between two states of one schema, in key order, in pieces of which each has some."""
    if not same_rows(old, new):
        yield from gathered(delta_of(new.schema, *sides) for sides in _candidates(old, new))


def changes_between(old: StoredTable, new: StoredTable) -> Delta:
    """The same in one, for where they are few."""
    return joined(new.schema, deltas_between(old, new))


def _candidates(old: StoredTable, new: StoredTable) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Rows of both sides, range by range, complete for every key in which the two may differ. Both have the same
    columns, types and key.

    Two states differ at most in the rows of their patches and of the segments that only one of them lists. Over one
    list of segments, patches that both begin with say the same on both sides.
    """
    mine, theirs = ({segment.object for segment in side.segments} for side in (old, new))
    keys = patched_keys(old, new)
    left, right = rows_of(old, mine - theirs, keys), rows_of(new, theirs - mine, keys)
    return side_by_side(new.schema, left, right, (old.arrow.empty_table(), new.arrow.empty_table()))


def patched_keys(old: StoredTable, new: StoredTable) -> pa.Table:
    """The keys for which the patches of two states may differ, in key order. Those are all keys in which the states may
    differ where they have the same segments."""
    alike = 0
    if old.state.checkpoint == new.state.checkpoint:
        both = zip(old.state.patches, new.state.patches, strict=False)
        alike = len(list(takewhile(lambda pair: pair[0] == pair[1], both)))
    patches = [patch for patch in (old.patch_after(alike), new.patch_after(alike)) if patch is not None]
    return _all_keys(old, patches)


def gathered(deltas: Iterable[Delta]) -> Iterator[Delta]:
    """The same changes in fewer pieces: small ones joined, and those without changes left out."""
    held: list[Delta] = []
    rows = size = 0
    for delta in deltas:
        if delta.table.num_rows:
            held.append(delta)
            rows, size = rows + delta.table.num_rows, size + delta.table.nbytes
            if is_range(rows, size):
                yield joined(delta.schema, held)
                held.clear()
                rows = size = 0
    if held:
        yield joined(held[0].schema, held)


def joined(schema: TableSchema, deltas: Iterable[Delta]) -> Delta:
    """The changes of all, in one."""
    found = list(deltas)
    if len(found) == 1:
        return found[0]
    return Delta(schema, pa.concat_tables([delta_schema(schema).empty_table(), *(delta.table for delta in found)]))


def delta_of(schema: TableSchema, old: pa.Table, new: pa.Table) -> Delta:
    """As ``compare``, of tables that are both in key order."""
    came, gone, before, now = matched(schema, old, new)
    arrow = delta_schema(schema)
    sides = [(INSERT, None, came), (UPDATE, before, now), (DELETE, gone, None)]
    parts = [_part(schema, arrow, *side) for side in sides]
    delta = Delta(schema, pa.concat_tables(parts))
    if sum(part.num_rows > 0 for part in parts) < 2:
        return delta
    return Delta(schema, delta.table.take(sort_order(delta.keys(), schema.key)))


def _part(schema: TableSchema, arrow: pa.Schema, kind: str, old: pa.Table | None, new: pa.Table | None) -> pa.Table:
    some = new if new is not None else old
    assert some is not None
    columns = [pa.repeat(pa.scalar(kind), some.num_rows)]
    for name in schema.names:
        columns += [
            pa.nulls(some.num_rows, some.column(name).type) if s is None else s.column(name) for s in (old, new)
        ]
    return pa.table(columns, schema=arrow)


def _all_keys(table: StoredTable, relations: list[pa.Table]) -> pa.Table:
    """The keys of all relations, each once, in key order."""
    key = table.schema.key
    every = pa.schema([table.arrow.field(name) for name in key]).empty_table()
    for relation in relations:
        _, others = split(relation.select(key), every, key)
        every = pa.concat_tables([every, others])
    return in_order(every, key)
