"""Which rows have keys that other rows have, by columns of Arrow alone.

For the few thousand rows of a segment or a patch that is quicker than a query, and it needs no engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_LARGEST = 1 << 62
_NARROW = 1 << 31
"""Integers that lie so near to each other are numbers enough as they are."""
_MANY_TIMES = 4


def among(rows: pa.Table, others: pa.Table, key: Sequence[str]) -> npt.NDArray[np.bool_]:
    """For each row whether its key is among those of ``others``."""
    if not rows.num_rows or not others.num_rows:
        return np.zeros(rows.num_rows, np.bool_)
    if len(key) == 1 and pa.types.is_integer(rows.column(key[0]).type):
        return np.isin(rows.column(key[0]).to_numpy(), others.column(key[0]).to_numpy())
    if rows.num_rows > _MANY_TIMES * others.num_rows:
        return _few_among(rows, others, key)
    return _coded_among(rows, others, key)


def not_among(rows: pa.Table, others: pa.Table, key: Sequence[str]) -> pa.Array:
    """For each row whether its key is not among those of ``others``, as Arrow's masks are."""
    return _chosen(~among(rows, others, key))


def _few_among(rows: pa.Table, others: pa.Table, key: Sequence[str]) -> npt.NDArray[np.bool_]:
    """The same where there are far fewer others: only rows that have each column's value in common are looked at."""
    mask = np.ones(rows.num_rows, np.bool_)
    for name in key:
        mine, theirs = _plain(rows.column(name)), _plain(others.column(name))
        mask &= pc.is_in(mine, theirs.combine_chunks()).to_numpy()
    some = rows.select(list(key)).filter(_chosen(mask))
    if some.num_rows:
        mask[mask] = _coded_among(some, others, key)
    return mask


def _coded_among(rows: pa.Table, others: pa.Table, key: Sequence[str]) -> npt.NDArray[np.bool_]:
    codes = _codes([pa.chunked_array([*rows.column(k).chunks, *others.column(k).chunks]) for k in key])
    return np.isin(codes[: rows.num_rows], codes[rows.num_rows :])


def sort_order(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """The indexes that put rows in key order; those with equal keys keep theirs."""
    # Not by the columns' own names: one that begins with a dot would be read as a path.
    names = [str(number) for number in range(len(key))]
    keys = pa.table([_plain(rows.column(k)) for k in key], names=names)
    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in names])


def in_order(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Rows in memory in key order; those with equal keys keep theirs."""
    return rows.take(sort_order(rows, key))


def split(rows: pa.Table, others: pa.Table, key: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """The rows whose keys are among those of ``others``, and those whose keys are not."""
    mask = among(rows, others, key)
    if mask.all():
        return rows, rows.slice(0, 0)
    if not mask.any():
        return rows.slice(0, 0), rows
    return rows.filter(_chosen(mask)), rows.filter(_chosen(~mask))


def occurrences(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """For each row, how many rows before it have its key."""
    if not rows.num_rows:
        return pa.array([], pa.int64())
    codes = _codes([rows.column(name) for name in key])
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    lengths = np.diff(np.concatenate((starts, [len(codes)])))
    found = np.empty(len(codes), np.int64)
    found[order] = np.arange(len(codes)) - np.repeat(starts, lengths)
    return pa.array(found)


def places(rows: pa.Table, others: pa.Table, key: Sequence[str]) -> pa.Array:
    """For each row the index of that of ``others`` with its key, NULL where there is none. Both are in key order."""
    here, there = among(rows, others, key), among(others, rows, key)
    found = np.zeros(rows.num_rows, np.int64)
    found[here] = np.flatnonzero(there)
    return pa.array(found, pa.int64(), mask=~here)


def _chosen(mask: npt.NDArray[np.bool_]) -> pa.Array:
    """The mask for Arrow, whose own conversion of arrays first loads numpy.ma: 8 ms."""
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(np.packbits(mask, bitorder="little"))])


def _codes(columns: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.int64]:
    """One number a row, the same for equal keys only."""
    total: npt.NDArray[np.int64] | None = None
    size = 1
    for column in columns:
        codes, count = _column_codes(column)
        if size * count > _LARGEST and total is not None:
            _, total = np.unique(total, return_inverse=True)
            size = int(total.max()) + 1
        total = codes if total is None else total * count + codes
        size *= count
    assert total is not None
    return total


def _column_codes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], int]:
    """The same for one column, and one more than the highest."""
    if pa.types.is_integer(column.type) and not column.null_count:
        values = column.to_numpy()
        low, high = int(values.min()), int(values.max())
        if high - low < _NARROW:
            return (values - low).astype(np.int64), high - low + 1
    encoded = _plain(column).combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, len(encoded.dictionary) + 1


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """-0.0 as 0.0 and every NaN as one, which are the same keys."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), math.nan, pc.add(column, 0.0))
