"""Row changes between two states of a table: a full outer join on the key, ``IS DISTINCT FROM`` on the rest."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine, quoted
from prontosync.model.changes import CHANGE, DELETE, INSERT, UPDATE
from prontosync.model.objects import Changes
from prontosync.model.schema import TableSchema
from prontosync.tables.order import as_rows
from prontosync.tables.reader import StoredTable, key_join


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


def compare(engine: Engine, schema: TableSchema, old: pa.Table, new: pa.Table) -> Delta:
    """The changes from ``old`` to ``new``, both in ``arrow_schema(schema)``."""
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


def candidates(old: StoredTable, new: StoredTable) -> tuple[pa.Table, pa.Table]:
    """Rows of both sides, each complete for every key in which the two may differ. Both have the same columns, types
    and key.

    Two states differ at most in the rows of their patches and of the segments that only one of them lists.
    """
    mine, theirs = {s.object for s in old.segments}, {s.object for s in new.segments}
    only_old = [s for s in old.segments if s.object not in theirs]
    only_new = [s for s in new.segments if s.object not in mine]
    left = pa.concat_tables([old.arrow.empty_table(), *(old.segment_rows(s) for s in only_old)])
    right = pa.concat_tables([new.arrow.empty_table(), *(new.segment_rows(s) for s in only_new)])
    if old.patch is None and new.patch is None:
        return left, right
    keys = _all_keys(old, [left, right, *(p for p in (old.patch, new.patch) if p is not None)])
    return old.rows_at(keys), new.rows_at(keys)


def changes_between(old: StoredTable, new: StoredTable) -> Delta:
    """The changes of a table between two states of one schema."""
    if same_rows(old, new):
        return Delta(new.schema, delta_schema(new.schema).empty_table())
    left, right = candidates(old, new)
    return compare(new.engine, new.schema, left.select(new.schema.names), right)


def _all_keys(table: StoredTable, relations: list[pa.Table]) -> pa.Table:
    keys = list(table.schema.key)
    names = ", ".join(quoted(name) for name in keys)
    every = pa.concat_tables([relation.select(keys) for relation in relations])
    result = table.engine.table(f"SELECT DISTINCT {names} FROM _ps_k ORDER BY {names}", _ps_k=every)
    arrow = pa.schema([table.arrow.field(name) for name in keys])
    return pa.Table.from_batches([as_rows(b, arrow) for b in result.to_batches()], schema=arrow)
