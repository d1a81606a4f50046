"""Exact decimals in SQLite's integers and reals.

A real stands for the decimal r/10^s when dividing r by 10^s gives just that real and r is below 2^53, so that no other
decimal of the scale gives it; it goes back by the same division.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.model.schema import decimal_parts

_EXACT = 2**53


class Inexact(ValueError):
    """A number that the type or SQLite cannot hold exactly."""


def from_numbers(parts: Sequence[pa.Array], logical: str) -> pa.Array:
    """Decimals from doubles and, where given, from integers in the rows where the double is NULL. Raises Inexact."""
    precision, scale = decimal_parts(logical) or (0, 0)
    decimals = _from_doubles(parts[0], precision, scale)
    return pc.coalesce(decimals, _from_integers(parts[1], precision, scale)) if len(parts) > 1 else decimals


def to_numbers(decimals: pa.Array) -> list[pa.Array]:
    """The integers, and the doubles of what is no integer. Raises Inexact."""
    kind = decimals.type
    whole = pc.equal(pc.trunc(decimals), decimals)
    nothing = pa.scalar(None, kind)
    try:
        integers = pc.trunc(pc.if_else(whole, decimals, nothing)).cast(pa.int64())
        scaled = _unscaled(pc.if_else(whole, nothing, decimals)).cast(pa.int64()).cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise Inexact("a decimal that SQLite cannot hold exactly") from error
    if (pc.max(pc.abs(scaled)).as_py() or 0) >= _EXACT:
        raise Inexact("a decimal that SQLite cannot hold exactly")
    return [integers, pc.divide(scaled, 10.0**kind.scale)]


def _from_doubles(doubles: pa.Array, precision: int, scale: int) -> pa.Array:
    unit = pa.scalar(10.0**scale, pa.float64())  # typed: of a plain number, Arrow asks for dateutil first, 0.1 ms each
    scaled = pc.round(pc.multiply(doubles, unit))
    limit = min(_EXACT, 10**precision)
    extremes = pc.min_max(pc.abs(scaled))
    same = pc.all(pc.equal(pc.divide(scaled, unit), doubles)).as_py()
    if same is False or (extremes["max"].as_py() or 0) >= limit:
        raise Inexact
    whole = scaled.cast(pa.int64()).cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(whole), whole.buffers(), offset=whole.offset)


def _from_integers(integers: pa.Array, precision: int, scale: int) -> pa.Array:
    try:
        return integers.cast(pa.decimal256(19 + scale, scale)).cast(pa.decimal128(precision, scale))
    except pa.ArrowInvalid as error:
        raise Inexact from error


def _unscaled(decimals: pa.Array) -> pa.Array:
    return pa.Array.from_buffers(pa.decimal128(38, 0), len(decimals), decimals.buffers(), offset=decimals.offset)
