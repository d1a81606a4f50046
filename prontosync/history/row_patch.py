"""A patch made of few rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from prontosync.history.disputes import rows_table
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row
from prontosync.tables.patch import patch_schema


def row_patch(schema: TableSchema, upserts: Sequence[Row], deletes: Sequence[Row]) -> pa.Table:
    """Canonical rows to write and to delete as a patch, in the order given."""
    rows = rows_table(schema, [*upserts, *deletes])
    kinds = [UPSERT] * len(upserts) + [DELETE] * len(deletes)
    return rows.append_column(patch_schema(schema).field(CHANGE), pa.array(kinds, pa.string()))
