"""What a column's definition gives to rows that say nothing of it: asked of a database in memory."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pyarrow as pa

from prontosync.engine.arrow import arrow_type
from prontosync.model.schema import TableSchema
from prontosync.model.values import Value, canonical
from prontosync.sources import anyvalue
from prontosync.sources.contract import SourceTable
from prontosync.sources.conversion import Inexact, converted
from prontosync.sources.statements import literal

_MOST_STEPS = 100_000


def default_values(table: SourceTable, schema: TableSchema) -> dict[str, Value]:
    """By live name what new rows get in columns that have a default, canonical, in the types of ``schema``. A default
    that cannot be told is left out."""
    found: dict[str, Value] = {}
    statements = table.ddl.statements
    if not statements or not statements[0].upper().startswith("CREATE TABLE"):
        return found
    try:
        with closing(sqlite3.connect(":memory:")) as db:
            db.set_progress_handler(lambda: 1, _MOST_STEPS)
            db.execute(statements[0])
            info = db.execute(f"SELECT name, dflt_value FROM pragma_table_info({literal(table.name)})").fetchall()
            for name, given in info:
                if given is not None and name in schema.names:
                    value = db.execute(f"SELECT {given}").fetchone()[0]
                    stored = _stored(value, schema.type_of(name))
                    if stored is not None:
                        found[name] = stored
    except (sqlite3.Error, sqlite3.Warning):
        return found
    return found


def _stored(value: object, kind: str) -> Value:
    parts = [pa.array([value if isinstance(value, fits) else None], arrow) for fits, arrow in zip(
        (int, float, str, bytes), (found for _, _, found in anyvalue.CLASSES), strict=True
    )]  # fmt: skip
    try:
        array = converted(anyvalue.encode(parts), "any", kind)
    except Inexact:
        return None
    assert array.type == arrow_type(kind)
    return canonical(array[0].as_py())
