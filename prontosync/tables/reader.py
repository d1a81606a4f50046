"""The rows of a table state: its segments, with its patches laid over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine, quoted
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.encoding import MalformedObject, decode
from prontosync.model.ids import Digest, ObjectId, ObjectName
from prontosync.model.objects import TableState
from prontosync.model.schema import Ddl, TableSchema, check_schema
from prontosync.tables import parquet
from prontosync.tables.digest import TableDigester
from prontosync.tables.layout import Segment, read_checkpoint
from prontosync.tables.order import as_rows, order_by, position, stumble

_SEQUENCE = "_ps_sequence"


def read_schema(store: ObjectStore, table: str, identity: ObjectId) -> TableSchema:
    """A schema object. Raises MalformedObject, NewerFormat, BadSchema."""
    schema = decode(store.read(ObjectName(identity, "json")), TableSchema)
    check_schema(table, schema)
    return schema


def read_ddl(store: ObjectStore, identity: ObjectId) -> Ddl:
    return decode(store.read(ObjectName(identity, "json")), Ddl)


class StoredTable:
    """One table at one state, read only as far as asked for."""

    def __init__(self, store: ObjectStore, engine: Engine, name: str, state: TableState) -> None:
        self.store, self.engine, self.name, self.state = store, engine, name, state

    @cached_property
    def schema(self) -> TableSchema:
        return read_schema(self.store, self.name, self.state.schema)

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
        if not self.state.patches:
            return None
        return newest_changes(self.engine, self.schema, [self._patch(i) for i in self.state.patches])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in key order."""
        for rows in self._pieces():
            yield from rows.to_batches()

    def rows(self) -> pa.Table:
        """All rows in key order, in memory."""
        return pa.concat_tables([self.arrow.empty_table(), *self._pieces()])

    def rows_at(self, keys: pa.Table) -> pa.Table:
        """The rows whose keys are among ``keys`` (a table of the key columns, in key order, without twins)."""
        found = [self.arrow.empty_table()]
        for index, segment in enumerate(self.segments):
            wanted = self.in_range(keys, index)
            if wanted.num_rows:
                found.append(self._join(self.segment_rows(segment), wanted, "SEMI"))
        rows = pa.concat_tables(found)
        if self.patch is None:
            return rows
        relevant = self._cast(
            self.engine.table(
                f"SELECT p.* FROM _ps_p p SEMI JOIN _ps_k k ON {self._on('p', 'k')}", _ps_p=self.patch, _ps_k=keys
            ),
            self.patch.schema,
        )
        return self.laid_over(rows, relevant)

    def digest(self) -> Digest:
        """The table's digest: the state's, or computed from all rows."""
        if self.state.digest is not None:
            return Digest(self.state.digest)
        digester = TableDigester(self.schema)
        for batch in self.batches():
            digester.update(batch)
        return digester.digest()

    def _pieces(self) -> Iterator[pa.Table]:
        if not self.segments and self.patch is not None:
            yield self.laid_over(self.arrow.empty_table(), self.patch)
        for index, segment in enumerate(self.segments):
            rows = self.segment_rows(segment)
            if self.patch is not None:
                changes = self.in_range(self.patch, index)
                rows = self.laid_over(rows, changes) if changes.num_rows else rows
            yield rows

    def in_range(self, rows: pa.Table, index: int) -> pa.Table:
        """Of rows in key order, those that fall into a segment's range."""
        start = position(rows, self.schema, self.segments[index].first) if index else 0
        after = index + 1
        end = position(rows, self.schema, self.segments[after].first) if after < len(self.segments) else rows.num_rows
        return rows.slice(start, end - start)

    def laid_over(self, rows: pa.Table, changes: pa.Table) -> pa.Table:
        """Rows with changes (``patch_schema``) applied, in key order."""
        columns = ", ".join(quoted(name) for name in self.schema.names)
        result = self.engine.table(
            f"SELECT * FROM (SELECT {columns} FROM _ps_s s ANTI JOIN _ps_c c ON {self._on('s', 'c')} "
            f"UNION ALL SELECT {columns} FROM _ps_c WHERE {CHANGE} = '{UPSERT}') ORDER BY {order_by(self.schema)}",
            _ps_s=rows,
            _ps_c=changes,
        )
        return self._cast(result, self.arrow)

    def _join(self, rows: pa.Table, keys: pa.Table, kind: str) -> pa.Table:
        result = self.engine.table(
            f"SELECT s.* FROM _ps_s s {kind} JOIN _ps_k k ON {self._on('s', 'k')} "
            f"ORDER BY {order_by(self.schema, 's.')}",
            _ps_s=rows,
            _ps_k=keys,
        )
        return self._cast(result, self.arrow)

    def _on(self, left: str, right: str) -> str:
        return key_join(self.schema, left, right)

    def _patch(self, identity: ObjectId) -> pa.Table:
        return read_patch(self.store, self.schema, identity)

    @staticmethod
    def _cast(table: pa.Table, arrow: pa.Schema) -> pa.Table:
        return pa.Table.from_batches([as_rows(b, arrow) for b in table.to_batches()], schema=arrow)


def key_join(schema: TableSchema, left: str, right: str) -> str:
    """The SQL condition that two relations have the same key."""
    return " AND ".join(f"{left}.{quoted(name)} = {right}.{quoted(name)}" for name in schema.key)


def patch_schema(schema: TableSchema) -> pa.Schema:
    """A patch's columns: the table's, and what happened to the row."""
    return arrow_schema(schema).append(pa.field(CHANGE, pa.string()))


def read_patch(store: ObjectStore, schema: TableSchema, identity: ObjectId) -> pa.Table:
    """A patch's rows. Raises MalformedObject where a change is neither upsert nor delete, or a key is null."""
    table = parquet.decode(store.read(ObjectName(identity, "parquet")), patch_schema(schema))
    kinds = set(table.column(CHANGE).unique().to_pylist())
    if not kinds <= {UPSERT, DELETE} or any(table.column(name).null_count for name in schema.key):
        raise MalformedObject("a patch with an unknown change or a null key")
    return table


def newest_changes(engine: Engine, schema: TableSchema, patches: Sequence[pa.Table]) -> pa.Table:
    """Of several patches, later ones winning, the one change of each key, in key order. Raises MalformedObject where
    one patch has two."""
    numbered = [
        patch.append_column(_SEQUENCE, pa.array([number] * patch.num_rows, pa.int32()))
        for number, patch in enumerate(patches)
    ]
    columns = ", ".join(f"a.{quoted(name)}" for name in [*schema.names, CHANGE])
    # Not a window function: DuckDB makes an aggregate of "the first row of each key", which turns -0.0 into 0.0.
    result = engine.table(
        f"SELECT {columns} FROM _ps_all a ANTI JOIN _ps_all b ON {key_join(schema, 'a', 'b')} "
        f"AND a.{_SEQUENCE} < b.{_SEQUENCE} ORDER BY {order_by(schema, 'a.')}",
        _ps_all=pa.concat_tables(numbered),
    )
    arrow = patch_schema(schema)
    newest = pa.Table.from_batches([as_rows(b, arrow) for b in result.to_batches()], schema=arrow)
    if stumble(newest, schema) is not None:
        raise MalformedObject("a patch with two changes of one row")
    return newest
