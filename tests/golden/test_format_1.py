"""Objects of format 1 as they were first written: these bytes mean these values for ever.

JSON objects also encode to exactly these bytes. Parquet files may come out differently with another library, which is
why nothing depends on their bytes; but every version must read these, and the digests of their rows never change.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from prontosync.disk.objects import MemoryObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.model.encoding import decode
from prontosync.model.ids import Digest, ObjectId, ObjectName, object_id
from prontosync.model.objects import (
    Changes,
    Commit,
    Parent,
    RefRecord,
    TableState,
    decode_commit,
    decode_record,
    encode_object,
)
from prontosync.model.schema import Column, DatabaseDdl, Ddl, ForeignKey, TableSchema
from prontosync.tables import parquet
from prontosync.tables.digest import run_digest, schema_digest, table_digest
from prontosync.tables.layout import Segment, read_checkpoint
from prontosync.tables.patch import patch_schema, read_patch
from tests.fixtures.rows import same_values

HERE = Path(__file__).parent / "format-1"
ONE, TWO, THREE = (ObjectId(digit * 64) for digit in "123")

SCHEMA = TableSchema(
    columns=(
        Column("store", "int64"), Column("size", "decimal(3,1)"), Column("name", "text"),
        Column("price", "decimal(38,2)"), Column("weight", "float64"), Column("loyal", "bool"),
        Column("photo", "bytes"), Column("born", "date"),
        Column("opens", "time"), Column("sold", "timestamp"), Column("synced", "timestamptz"), Column("extra", "json"),
        Column("ean", "uuid"), Column("mixed", "any"), Column("unused", "text"),
    ),
    key=("store", "size"),
    foreign_keys=(ForeignKey(("store",), "stores", ("id",)),),
    uniques=(("ean",),),
    checks=("price >= 0",),
)  # fmt: skip
_UTC = datetime.datetime(2026, 11, 24, 6, 39, 31, 5, tzinfo=datetime.UTC)
ROWS = pa.table(
    [
        pa.array(column, field.type)
        for column, field in zip(
            [
                [-1, 12, 12],
                [Decimal("36.0"), Decimal("36.5"), Decimal("40.0")],
                ["Señorita\0 👟", "", None],
                [Decimal("999999999999999999999999999999999999.99"), None, Decimal("-0.01")],
                [0.0, float("nan"), 0.1],
                [True, None, False],
                [b"\0\xff", b"", None],
                [datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)],
                [datetime.time(0), datetime.time(23, 59, 59, 999999), None],
                [_UTC.replace(tzinfo=None), None, datetime.datetime(1969, 12, 31, 23, 59, 59)],
                [_UTC, None, datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)],
                ['{"a": 1}', "null", None],
                [bytes(range(16)), None, b"\xff" * 16],
                [b"i9223372036854775807", b"r0.1", b"t\xff"],
                [None, None, None],
            ],
            arrow_schema(SCHEMA),
            strict=True,
        )
    ],
    schema=arrow_schema(SCHEMA),
)
PATCH = ROWS.slice(0, 2).append_column("_ps_change", pa.array(["upsert", "delete"]))
SEGMENTS = [
    Segment((-1, Decimal("36.0")), 2, Digest("ab" * 32), ONE, 1_234),
    Segment((12, Decimal("40.0")), 16_384, Digest("cd" * 32), TWO, 56_789),
]

JSON: dict[str, Any] = {
    "schema": SCHEMA,
    "ddl": Ddl(
        "sqlite",
        ("CREATE TABLE stock (store INTEGER, …)", "CREATE INDEX by_name ON stock (name)"),
        declared={"store": "INTEGER", "size": "DECIMAL(3,1)"},
        forms={"sold": "2026-11-24 06:39:31"},
        generated=("total",),
    ),
    "database": DatabaseDdl("sqlite", ("CREATE VIEW v AS SELECT 1",), {"user_version": "7"}, {"ticket": 991}),
    "commit": Commit(
        parents=(Parent(ONE, "stores/012"), Parent(TWO, "main")),
        tables={
            "inventory": TableState(ONE, TWO, 631_479, Digest("ef" * 32), THREE, (), Changes(12, 3, 0)),
            "Größe\n": TableState(ONE, TWO, 0, None, THREE, (ONE, TWO), Changes(0, 0, 5)),
        },
        dropped=("old",),
        full=False,
        conflicts={"inventory": ONE},
        database=THREE,
        store="012",
        author="Zoë O'Brien",
        time="2026-11-24T06:39:31Z",
        message='sold the "last" pair',
        merge=False,
        policy=None,
        requires=(),
        signature=None,
    ),
    "ref": RefRecord(
        hub="0b7cbd76-0d6f-4f0a-8d0a-3a3e3b0d2f11",
        ref="stores/012",
        generation=2,
        previous=ONE,
        old=TWO,
        new=THREE,
        store="012",
        time="2026-11-24T06:39:31Z",
        nonce="00112233445566778899aabbccddeeff",
        requires=(),
        signature=None,
    ),
}
PARQUET: dict[str, tuple[pa.Table, parquet.Kind]] = {"segment": (ROWS, "segment"), "patch": (PATCH, "patch")}

IDS = {
    "schema": "0853c4f32b1bb56f2accde1673ca464b5d3395ce483082aaffb6b158486f5679",
    "ddl": "ea46cd707bb3019593adfef96f30e645837f79b6e101b769b2a8aef3a0c16a59",
    "database": "5da39412a6e243545737a50b7a2fac0116b5ffb7fd04a24adce2410e800043ea",
    "commit": "5795cfc2e714ef1bea6119410cb259ab0b4d7b5b79e7189bbe73b8e2b5ccb873",
    "ref": "07fa8bfc2944ab7853c24273e1e44dd34dd2c1491187f6bb32268c97a579e198",
    "segment": "584586fd643d1b46355e019e6a024b68f1cb353aeaae3ba25607a5a1fd29ba39",
    "patch": "0128d8f697569ca0a531c240c427e1c57add689882b281c07f75ba4de1249dd3",
    "checkpoint": "bd309abf33a6817115e8572294706146064d137380c475f702fdc1fdc277bf76",
}
SCHEMA_DIGEST = "c0ddf0e8f1ccaf8b236abe27dd9c543f11e23707000f891c3a5f72a2d5f1f7fd"
RUN_DIGEST = "1c993e9b0cc1c143a5618e7f0a73d8556bba4bbe79cc5cd218740dd64c56ef6a"
TABLE_DIGEST = "ac194c2295140f82c0df01294a25b38ed244669d1c780036c9ebae41baaceea8"


def stored(name: str) -> bytes:
    return (HERE / name).read_bytes()


@pytest.mark.parametrize("kind", sorted(JSON))
def test_json(kind: str) -> None:
    data = stored(f"{kind}.json")
    assert encode_object(JSON[kind]) == (IDS[kind], data)
    read = {"commit": decode_commit, "ref": decode_record}.get(kind, lambda raw: decode(raw, type(JSON[kind])))
    assert read(data) == JSON[kind]


@pytest.mark.parametrize("kind", ["segment", "patch", "checkpoint"])
def test_parquet_is_untouched(kind: str) -> None:
    assert object_id(stored(f"{kind}.parquet")) == IDS[kind]


def test_segment() -> None:
    rows = parquet.decode(stored("segment.parquet"), arrow_schema(SCHEMA), rows=3)
    assert same_values(rows, ROWS)
    assert run_digest(rows, SCHEMA) == RUN_DIGEST


def test_patch() -> None:
    store = MemoryObjectStore()
    patch = read_patch(store, SCHEMA, store.add(stored("patch.parquet"), "parquet").id)
    assert patch.schema.equals(patch_schema(SCHEMA))
    assert same_values(patch, PATCH)


def test_checkpoint() -> None:
    store = MemoryObjectStore()
    checkpoint = store.add(stored("checkpoint.parquet"), "parquet")
    assert read_checkpoint(store, SCHEMA, checkpoint.id, rows=16_386) == SEGMENTS


def test_digests() -> None:
    assert schema_digest(SCHEMA) == SCHEMA_DIGEST
    assert run_digest(ROWS, SCHEMA) == RUN_DIGEST
    assert table_digest(SCHEMA, [run_digest(ROWS, SCHEMA)]) == TABLE_DIGEST


def test_every_file_is_tested() -> None:
    assert {path.stem for path in HERE.iterdir()} == IDS.keys() == {*JSON, "segment", "patch", "checkpoint"}


def test_where_an_object_lies() -> None:
    assert ObjectName(ONE, "json").path == f"objects/11/{'1' * 62}.json"
