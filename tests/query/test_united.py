"""``all.TABLE`` has what each store's state holds, whatever columns it has and wherever its rows are."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.disk.objects import FolderObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine, quoted
from prontosync.model.schema import Column, TableSchema
from prontosync.query.united import Part, United, common_type
from prontosync.query.views import Views
from prontosync.tables.reader import StoredTable
from tests.fixtures.rows import edited, patched, random_patch, tables
from tests.query.test_views import expected, seen, table_of


def plain(folder: Path, row: tuple[Any, ...], **columns: str) -> StoredTable:
    """A table of one row, with its first column as the key."""
    schema = TableSchema(tuple(Column(name, kind) for name, kind in columns.items()), (next(iter(columns)),))
    rows = pa.table([[value] for value in row], schema=arrow_schema(schema))
    return table_of(folder, schema, rows, [])


def united(engine: Engine, store: FolderObjectStore, parts: dict[str, list[Part]], query: str) -> pa.Table:
    United(Views(engine, query), store).attach(parts)
    return engine.table(engine.with_schema(query, "all"))


@settings(max_examples=25)
@given(drawn=tables(max_rows=12), seed=st.integers(0, 1000), stores=st.integers(1, 4))
def test_the_union_has_every_row_of_every_store(drawn: tuple[TableSchema, Any], seed: int, stores: int) -> None:
    schema, rows = drawn
    wanted = []
    with tempfile.TemporaryDirectory() as folder:
        parts, open_engines = [], []
        for number in range(stores):
            mine = edited(schema, rows, number // 2)  # two stores each share their segments
            patches = [random_patch(schema, edited(schema, mine, seed + n), seed + n + number) for n in range(number)]
            table = table_of(Path(folder), schema, mine, patches)
            open_engines.append(table.engine)
            parts.append(Part(f"{number:03d}", table))
            wanted += [(f"{number:03d}", *row) for row in expected(schema, patched(schema, mine, patches))]
        names = ", ".join(["_ps_store", *(quoted(name) for name in schema.names)])
        with Engine([Path(folder) / "objects"]) as engine:
            store = FolderObjectStore(Path(folder))
            found = united(engine, store, {"t": parts}, f"SELECT {names} FROM all.t")
        assert sorted(seen(found), key=repr) == sorted(wanted, key=repr)
        for one in open_engines:
            one.close()


def test_columns_are_united_by_name_and_type(tmp_path: Path) -> None:
    old = plain(tmp_path, (1, 5, "a"), id="int64", price="int64", note="text")
    new = plain(tmp_path, (1, Decimal("5.25"), "red"), id="int64", Price="decimal(10,2)", colour="text")
    odd = plain(tmp_path, ("x", 0.5), id="text", price="float64")
    with Engine([tmp_path / "objects"]) as engine:
        parts = {"item": [Part("001", old), Part("002", new)], "ITEM": [Part("003", odd)], "other": [Part("001", old)]}
        query = "SELECT * FROM all.item ORDER BY _ps_store"
        assert united(engine, FolderObjectStore(tmp_path), parts, query).to_pylist() == [
            {"_ps_store": "001", "id": "1", "price": 5.0, "note": "a", "colour": None},
            {"_ps_store": "002", "id": "1", "price": 5.25, "note": None, "colour": "red"},
            {"_ps_store": "003", "id": "x", "price": 0.5, "note": None, "colour": None},
        ]


@pytest.mark.parametrize(
    ("kinds", "common"),
    [
        (["uuid", "uuid"], None),
        (["int64", "decimal(10,2)"], "DECIMAL(21,2)"),
        (["decimal(38,0)", "decimal(38,10)"], "DOUBLE"),
        (["int64", "float64"], "DOUBLE"),
        (["date", "timestamp"], "TIMESTAMP"),
        (["timestamp", "timestamptz"], "text"),
        (["bool", "int64"], "text"),
        (["decimal(5,1)", "text", "int64"], "text"),
    ],
)
def test_the_type_that_holds_several(kinds: list[str], common: str | None) -> None:
    assert common_type(kinds) == common


def test_a_reserved_word_before_a_dot_is_a_schema() -> None:
    with Engine() as engine:
        assert engine.with_schema("SELECT 'all.x', \"all\".a FROM ALL . t -- all.x", "all") == (
            'SELECT \'all.x\', "all".a FROM "ALL" . t -- all.x'
        )
        assert engine.with_schema("SELECT 'ñ' AS ñ FROM all.t GROUP BY all", "all") == (
            "SELECT 'ñ' AS ñ FROM \"all\".t GROUP BY all"
        )
        assert engine.with_schema("SELECT sum(all .5)", "all") == "SELECT sum(all .5)"
