"""Parquet as this format writes and reads it: fixed settings, strict bounds."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from prontosync.errors import Unfit
from prontosync.model.encoding import MalformedObject

Kind = Literal["segment", "patch", "checkpoint", "candidates"]

MAX_EXPANDED = 1 << 30
MAX_RATIO, RATIO_FROM = 200, 64 << 20
"""How far a file of more than ``RATIO_FROM`` bytes of values may be compressed: readers refuse what expands further."""
_OVERHEAD = 1 << 20
_SAMPLE = 1_024
_MAX_WIDTH = 32
_DISTINCT_SHARE = 0.5
_INTEGER_DIGITS = 18
_THOROUGH, _THOROUGH_BYTES = 15, 4 << 20
"""A patch goes over a line soon: zstd takes 20 ms for 6,000 rows at this level, and saves a ninth of their bytes."""
_FEW = 128
"""A patch of fewer rows has no dictionaries: each costs about forty bytes."""
_THRIFT_LIMIT = 16 << 20


class TooLarge(Unfit):
    """Rows that no file of this format can hold."""

    id = "too-large"


def encode(table: pa.Table, kind: Kind) -> bytes:
    """The bytes of a segment, patch, checkpoint or set of candidates. Raises TooLarge where no reader would take
    them."""
    if table.nbytes > MAX_EXPANDED - _OVERHEAD:
        raise TooLarge(f"{table.num_rows} rows that hold {table.nbytes} bytes do not fit in one file")
    data = _written(table, kind, "zstd")
    if table.nbytes > RATIO_FROM - _OVERHEAD and table.nbytes > len(data) * MAX_RATIO // 2:
        return _written(table, kind, "none")
    return data


def _written(table: pa.Table, kind: Kind, compression: str) -> bytes:
    settings = _settings(table, kind)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression=compression,
        compression_level=_level(table, kind) if compression == "zstd" else None,
        store_schema=False,
        write_statistics=kind == "segment",
        store_decimal_as_integer=True,
        row_group_size=max(1, table.num_rows),
        **settings,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes, schema: pa.Schema, rows: int | None = None, columns: list[str] | None = None) -> pa.Table:
    """The rows in ``data`` as ``schema``; columns that the file lacks are NULL, others that it holds are not read.

    ``data`` is verified already. ``rows`` is how many there must be, where that is known. ``columns`` limits what
    is read. Raises MalformedObject for bytes that no writer of this format writes.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    try:
        file = pq.ParquetFile(
            pa.BufferReader(data), thrift_string_size_limit=_THRIFT_LIMIT, thrift_container_size_limit=_THRIFT_LIMIT
        )
        _check_bounds(file.metadata, len(data), rows)
        present = [name for name in wanted.names if name in file.schema_arrow.names]
        table = file.read(columns=present, use_threads=False)
        return pa.table([_column(table, field) for field in wanted], schema=wanted) if wanted.names else table
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise MalformedObject(f"not a Parquet file of this format: {str(error).splitlines()[0]}") from None


def _check_bounds(metadata: Any, size: int, rows: int | None) -> None:
    """Refuse what would expand beyond reason, before any page is read."""
    # Not a look at columns' chunks: on forged metadata the library ends the process there.
    if rows is not None and metadata.num_rows != rows:
        raise MalformedObject(f"a Parquet file of {metadata.num_rows} rows where {rows} were announced")
    expanded = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if expanded > MAX_EXPANDED or (expanded > RATIO_FROM and expanded > size * MAX_RATIO) or expanded < 0:
        raise MalformedObject(f"a Parquet file of {size} bytes that claims to hold {expanded}")
    widths = [metadata.schema.column(index).length for index in range(metadata.num_columns)]
    if max(widths, default=0) > _MAX_WIDTH:
        raise MalformedObject(f"a Parquet file with values of {max(widths)} bytes each")


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table.column(field.name)
    if column.type == field.type:
        if pa.types.is_string(field.type):
            column.validate(full=True)  # Arrow itself does not look whether text is UTF-8
        return column
    if column.null_count == len(column):
        return pa.nulls(table.num_rows, field.type)
    if pa.types.is_decimal(column.type) and pa.types.is_decimal(field.type):
        return column.cast(field.type)
    raise MalformedObject(f'column "{field.name}" holds {column.type} where {field.type} was announced')


def _level(table: pa.Table, kind: Kind) -> int:
    return _THOROUGH if kind == "patch" and table.nbytes <= _THOROUGH_BYTES else 3


def _settings(table: pa.Table, kind: Kind) -> dict[str, Any]:
    if kind == "segment" or (kind == "patch" and table.num_rows >= _FEW):
        return _fitted_settings(table)
    deltas = {f.name: "DELTA_BINARY_PACKED" for f in table.schema if _packs(f.type)} if kind == "patch" else {}
    return {"use_dictionary": False, "column_encoding": deltas or None}


def _fitted_settings(table: pa.Table) -> dict[str, Any]:
    """Dictionaries for columns that repeat, deltas for integers that climb and for sorted text."""
    dictionary, encodings = [], {}
    for name in table.column_names:
        sample = table.column(name).slice(0, _SAMPLE)
        climbing = _climbs(sample)
        if climbing and pa.types.is_integer(sample.type):
            encodings[name] = "DELTA_BINARY_PACKED"
        elif climbing and (pa.types.is_string(sample.type) or pa.types.is_binary(sample.type)):
            encodings[name] = "DELTA_BYTE_ARRAY"
        elif _repeats(table.column(name) if pa.types.is_string(sample.type) else sample):
            dictionary.append(name)
        elif _packs(sample.type):
            # Their bytes apart, the upper ones of all values together: zstd makes less of that than of packed deltas.
            encodings[name] = "BYTE_STREAM_SPLIT"
    return {"use_dictionary": dictionary, "column_encoding": encodings or None}


def _packs(kind: pa.DataType) -> bool:
    """Whether values are integers in the file."""
    if pa.types.is_decimal(kind):
        return bool(kind.precision <= _INTEGER_DIGITS)
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def _climbs(sample: pa.ChunkedArray) -> bool:
    """Whether the values rise more often than they repeat: a counter, a sorted name."""
    if sample.null_count or len(sample) < 2 or not _sortable(sample.type):
        return False
    before, after = sample.slice(0, len(sample) - 1), sample.slice(1)
    rising = pc.less(before, after)
    if not pc.all(pc.less_equal(before, after)).as_py():
        return False
    return bool(pc.sum(rising).as_py() > _DISTINCT_SHARE * len(rising))


def _sortable(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind))


def _repeats(sample: pa.ChunkedArray) -> bool:
    if pa.types.is_boolean(sample.type):
        return False
    return bool(pc.count_distinct(sample).as_py() <= max(1, len(sample) * _DISTINCT_SHARE))
