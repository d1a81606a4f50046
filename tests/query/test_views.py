"""What the views show, and what plain DuckDB reads from the same files, is what the state holds, patches included."""

from __future__ import annotations

import datetime
import math
import tempfile
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.disk.objects import FolderObjectStore
from prontosync.engine.connection import Engine, QueryError, quoted
from prontosync.history.commits import Tree
from prontosync.model.objects import Changes, TableState
from prontosync.model.schema import TableSchema
from prontosync.model.values import any_value
from prontosync.query.views import MAIN, Views, state_paths, state_sql
from prontosync.tables import parquet
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_rows
from tests.fixtures.rows import DDL, TINY, as_python, edited, patched, pieces, random_patch, tables


def shown(value: Any, logical: str) -> Any:
    """A value as views show it."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.astimezone(datetime.UTC)
    if logical == "uuid" and value is not None:
        return str(uuid.UUID(bytes=value))
    if logical == "any" and value is not None:
        plain = any_value(value)
        return "0x" + plain.hex() if isinstance(plain, bytes) else value[1:].decode()
    return value


def expected(schema: TableSchema, rows: Any) -> list[tuple[Any, ...]]:
    types = [column.type for column in schema.columns]
    return [tuple(shown(v, t) for v, t in zip(row, types, strict=True)) for row in as_python(rows)]


def seen(found: Any) -> list[tuple[Any, ...]]:
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return [tuple(shown(str(v) if isinstance(v, uuid.UUID) else v, "") for v in row) for row in rows]


def table_of(folder: Path, schema: TableSchema, rows: Any, patches: list[Any]) -> StoredTable:
    store, engine = FolderObjectStore(folder), Engine([folder / "objects"])
    with store.batch():
        plain = store_rows(store, engine, "t", schema, DDL, pieces(rows, 0), True, None, TINY).state
        extra = tuple(store.add(parquet.encode(patch, "patch"), "parquet").id for patch in patches)
    count = patched(schema, rows, patches).num_rows
    state = TableState(plain.schema, plain.ddl, count, None, plain.checkpoint, extra, Changes(0, 0, 0))
    return StoredTable(store, engine, "t", state)


@settings(max_examples=25)
@given(drawn=tables(max_rows=20), seed=st.integers(0, 1000))
def test_views_show_what_the_state_holds(drawn: tuple[TableSchema, Any], seed: int) -> None:
    schema, rows = drawn
    patches = [random_patch(schema, edited(schema, rows, seed + n), seed + n) for n in range(seed % 4)]
    with tempfile.TemporaryDirectory() as folder:
        table = table_of(Path(folder), schema, rows, patches)
        assert isinstance(table.store, FolderObjectStore)
        wanted = sorted(expected(schema, patched(schema, rows, patches)), key=repr)
        names = ", ".join(quoted(name) for name in schema.names)
        with Engine([Path(folder) / "objects"]) as engine:
            Views(engine, "t").attach(MAIN, Tree({"t": table.state}), table.store)
            assert sorted(seen(engine.table(f"SELECT {names} FROM t")), key=repr) == wanted
        sql = state_sql(table, *state_paths(table, table.store))
        with duckdb.connect() as con:
            assert sorted(seen(con.sql(sql).to_arrow_table()), key=repr) == wanted
        table.engine.close()


def test_a_table_that_the_query_does_not_name_cannot_be_taken_for_empty(tmp_path: Path) -> None:
    import pyarrow as pa

    from prontosync.model.schema import Column

    schema = TableSchema((Column("id", "int64"),), ("id",))
    table = table_of(tmp_path, schema, pa.table({"id": [1]}), [])
    assert isinstance(table.store, FolderObjectStore)
    with Engine([tmp_path / "objects"]) as engine:
        Views(engine, "SELECT 1").attach(MAIN, Tree({"other": table.state}), table.store)
        with pytest.raises(QueryError, match="write the table's name"):
            engine.table("SELECT * FROM other")
        assert engine.columns("SELECT * FROM other") == [("id", "BIGINT")]
    table.engine.close()
