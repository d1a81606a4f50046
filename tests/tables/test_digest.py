"""Digests against a second implementation, written from the text of docs/format.md value by value."""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
from blake3 import blake3
from hypothesis import given, settings

from prontosync.model.schema import Column, TableSchema
from prontosync.tables.digest import run_digest, schema_digest
from tests.fixtures.rows import as_python, tables

_DAY = datetime.date(1970, 1, 1)
_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)


def plain_run_digest(schema: TableSchema, rows: pa.Table) -> str:
    digest = blake3(b"prontosync-1 run\0" + struct.pack("<Q", rows.num_rows))
    columns = dict(zip(schema.names, zip(*as_python(rows), strict=True), strict=False))
    for column in sorted(schema.columns, key=lambda c: c.name):
        values = columns.get(column.name, ())
        if any(value is not None for value in values):
            digest.update(plain_column(column, values))
    return digest.hexdigest()


def plain_column(column: Column, values: tuple[Any, ...]) -> bytes:
    data = b"prontosync-1 column\0"
    for text in (column.name.encode(), column.type.encode()):
        data += struct.pack("<I", len(text)) + text
    valid = [value is not None for value in values]
    data += b"\0" if all(valid) else b"\1" + bits(valid)
    if column.type == "bool":
        data += bits([bool(value) for value in values])
    elif column.type in {"text", "json", "bytes", "any"}:
        raw = [value.encode() if isinstance(value, str) else value or b"" for value in values]
        data += b"".join(struct.pack("<I", len(value)) for value in raw) + b"".join(raw)
    else:
        data += b"".join(fixed(column.type, value) for value in values)
    return blake3(data).digest()


def bits(flags: list[bool]) -> bytes:
    number = sum(1 << index for index, flag in enumerate(flags) if flag)
    return number.to_bytes(-(-len(flags) // 8), "little")


def fixed(logical: str, value: Any) -> bytes:
    if logical == "float64":
        number = 0.0 if value is None or value == 0 else value
        return struct.pack("<Q", 0x7FF8 << 48) if number != number else struct.pack("<d", number)  # noqa: PLR0124
    if logical == "uuid":
        return value or bytes(16)
    if logical.startswith("decimal"):
        return whole(value, logical).to_bytes(16, "little", signed=True)
    if logical == "date":
        return struct.pack("<i", (value - _DAY).days if value else 0)
    return struct.pack("<q", microseconds(value) if not isinstance(value, int) else value)


def whole(value: Decimal | None, logical: str) -> int:
    scale = int(logical[8:-1].split(",")[1])
    if value is None:
        return 0
    sign, digits, exponent = value.as_tuple()
    assert exponent == -scale
    number = int("".join(map(str, digits)))
    return -number if sign else number


def microseconds(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, datetime.time):
        value = datetime.datetime.combine(_DAY, value)
    return int((value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND)


@settings(max_examples=200)
@given(drawn=tables())
def test_run_digests_are_what_the_format_says(drawn: tuple[TableSchema, pa.Table]) -> None:
    schema, rows = drawn
    assert run_digest(rows, schema) == plain_run_digest(schema, rows)


def test_schema_digests_are_what_the_format_says() -> None:
    schema = TableSchema((Column("é", "text"), Column("id", "int64")), ("id",))
    text = '{"checks":[],"columns":[["id","int64"],["é","text"]],"foreign_keys":[],"key":["id"],"uniques":[]}'
    assert schema_digest(schema) == blake3(b"prontosync-1 schema\0" + text.encode()).hexdigest()


def test_what_a_schema_digest_sees() -> None:
    base = TableSchema((Column("a", "text"), Column("b", "int64")), ("a", "b"))
    other_order = TableSchema((Column("b", "int64"), Column("a", "text")), ("a", "b"))
    other_key = TableSchema(base.columns, ("b", "a"))
    other_type = TableSchema((Column("a", "json"), Column("b", "int64")), ("a", "b"))
    assert schema_digest(base) == schema_digest(other_order)
    assert len({schema_digest(s) for s in (base, other_key, other_type)}) == 3
