"""A patch made of few rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from prontosync.engine.connection import Engine
from prontosync.history.disputes import rows_table
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row
from prontosync.tables.order import as_rows, order_by
from prontosync.tables.reader import patch_schema


def row_patch(schema: TableSchema, upserts: Sequence[Row], deletes: Sequence[Row]) -> pa.Table:
    """Canonical rows to write and to delete as a patch, in the order given."""
    rows = rows_table(schema, [*upserts, *deletes])
    kinds = [UPSERT] * len(upserts) + [DELETE] * len(deletes)
    return rows.append_column(patch_schema(schema).field(CHANGE), pa.array(kinds, pa.string()))


def in_key_order(engine: Engine, schema: TableSchema, patch: pa.Table) -> pa.Table:
    """The same patch in key order."""
    result = engine.table(f"SELECT * FROM _ps_p ORDER BY {order_by(schema)}", _ps_p=patch)
    return pa.Table.from_batches([as_rows(b, patch.schema) for b in result.to_batches()], schema=patch.schema)
