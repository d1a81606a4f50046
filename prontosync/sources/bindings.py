"""Rows on their way into SQLite: Arrow columns become parameters, and SQL makes the stored values of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.arrow import arrow_schema
from prontosync.model.keys import key_to_text
from prontosync.model.schema import Column, TableSchema, decimal_parts
from prontosync.sources import anyvalue, decimals
from prontosync.sources.contract import SourceTable, SourceUnfit
from prontosync.sources.textforms import (
    TIME_FORMS,
    TIMESTAMP_FORMS,
    OutOfForm,
    form_named,
    write_dates,
    write_times,
    write_timestamps,
)

Encode = Callable[[pa.Array], list[pa.Array]]


class NoNumber(ValueError):
    """NaN, which SQLite stores as NULL."""


REFUSALS = (OutOfForm, decimals.Inexact, anyvalue.BadAny, NoNumber)


@dataclass(frozen=True)
class Binding:
    """How one column is bound: ``encode`` gives ``width`` parameters, ``sql`` the value from their numbers."""

    column: Column
    width: int
    encode: Encode
    sql: Callable[[Sequence[str]], str]


class RowBinder:
    """Encodes the columns of a table that are written, in order."""

    def __init__(self, table: SourceTable) -> None:
        self.table = table
        self.columns = tuple(c for c in table.schema.columns if c.name not in table.ddl.generated)
        self._bindings = [_binding(column, table) for column in self.columns]

    def values(self) -> list[str]:
        """The SQL expression of each column over the parameters of ``encode``."""
        expressions, at = [], 1
        for binding in self._bindings:
            expressions.append(binding.sql([f"?{n}" for n in range(at, at + binding.width)]))
            at += binding.width
        return expressions

    def schema(self) -> pa.Schema:
        """Of what ``encoded`` gives."""
        return self.encoded(pa.RecordBatch.from_pylist([], schema=arrow_schema(self.table.schema))).schema

    def encoded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The parameters of a batch that holds all columns of the schema. Raises SourceUnfit, naming the row."""
        arrays: list[pa.Array] = []
        for binding in self._bindings:
            values = batch.column(batch.schema.get_field_index(binding.column.name))
            try:
                arrays += binding.encode(values)
            except REFUSALS as error:
                raise self._refusal(binding, batch, error) from error
        return pa.RecordBatch.from_arrays(arrays, names=[f"p{n}" for n in range(len(arrays))])

    def _refusal(self, binding: Binding, batch: pa.RecordBatch, error: Exception) -> SourceUnfit:
        """The error with the row's name. Halves the batch until one row is left."""
        while batch.num_rows > 1:
            half = batch.slice(0, batch.num_rows // 2)
            try:
                binding.encode(half.column(half.schema.get_field_index(binding.column.name)))
                batch = batch.slice(batch.num_rows // 2)
            except REFUSALS:
                batch = half
        row = key_text(pa.Table.from_batches([batch]), 0, self.table.schema)
        return SourceUnfit(
            f'table "{self.table.name}", row ({row}), column "{binding.column.name}":'
            f" SQLite cannot hold the value: {error}"
        )


def key_text(rows: pa.Table, at: int, schema: TableSchema) -> str:
    """The key of one row, for a message."""
    row = rows.select(list(schema.key)).slice(at, 1).to_pylist()[0]
    return key_to_text(tuple(row[name] for name in schema.key), schema)


def _binding(column: Column, table: SourceTable) -> Binding:
    form = table.ddl.forms.get(column.name, "")
    kind = column.type
    if kind == "any":
        return Binding(column, 4, anyvalue.decode, lambda p: f"coalesce({', '.join(p)})")
    if decimal_parts(kind):
        return Binding(column, 2, decimals.to_numbers, lambda p: f"coalesce({', '.join(p)})")
    if kind == "uuid":
        return Binding(column, 1, lambda values: [values.cast(pa.binary())], _dashed)
    texts: dict[str, Callable[[pa.Array], pa.Array]] = {
        "date": write_dates,
        "time": partial(write_times, form=form_named(form, TIME_FORMS[0])),
        "timestamp": partial(write_timestamps, form=form_named(form, TIMESTAMP_FORMS[0])),
        "timestamptz": _zoned,
        "bool": lambda values: values.cast(pa.int64()),
        "float64": _numbers,
    }
    convert = texts.get(kind)
    return Binding(
        column, 1, (lambda values: [convert(values)]) if convert else (lambda values: [values]), lambda p: p[0]
    )


def _numbers(values: pa.Array) -> pa.Array:
    if pc.any(pc.is_nan(values)).as_py():
        raise NoNumber("it is not a number")
    return values


def _zoned(values: pa.Array) -> pa.Array:
    texts = write_timestamps(values.cast(pa.timestamp("us")), TIMESTAMP_FORMS[0])
    return pc.binary_join_element_wise(texts, pa.scalar("+00:00"), pa.scalar(""))


def _dashed(parameters: Sequence[str]) -> str:
    value = parameters[0]
    pieces = " || '-' || ".join(
        f"substr(hex({value}), {at}, {n})" for at, n in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    )
    return f"iif({value} IS NULL, NULL, lower({pieces}))"
