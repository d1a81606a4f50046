"""Logical types as Arrow and DuckDB hold them: one mapping, used by everything that touches rows."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from prontosync.model.schema import Column, TableSchema, decimal_parts

_ARROW: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "text": pa.string(),
    "json": pa.string(),
    "bytes": pa.binary(),
    "any": pa.binary(),
    "uuid": pa.binary(16),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}

_DUCKDB: dict[str, str] = {
    "bool": "BOOLEAN",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "text": "VARCHAR",
    "json": "VARCHAR",
    "bytes": "BLOB",
    "any": "BLOB",
    "uuid": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
}


def arrow_type(logical: str) -> pa.DataType:
    """The Arrow type that values of a logical type travel in."""
    decimal = decimal_parts(logical)
    return pa.decimal128(*decimal) if decimal else _ARROW[logical]


def duckdb_type(logical: str) -> str:
    """The DuckDB type of the same values, as SQL."""
    decimal = decimal_parts(logical)
    return "DECIMAL({},{})".format(*decimal) if decimal else _DUCKDB[logical]


def arrow_schema(schema: TableSchema) -> pa.Schema:
    """The Arrow schema of a table's rows, columns in schema order."""
    return columns_schema(schema.columns)


def columns_schema(columns: Iterable[Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in columns])
