"""``any``: SQLite values of every storage class in one column of bytes, by columns and not by rows.

The text of a real is what Arrow's cast gives: the shortest that reads back the same, with an exponent below 1e-6 and
from 1e10 on.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

CLASSES = (
    ("integer", "0", pa.int64()),
    ("real", "0.5", pa.float64()),
    ("text", "'x'", pa.string()),
    ("blob", "x'00'", pa.binary()),
)
"""Storage class, an SQL literal of it, and the Arrow type its values are read and bound in."""
_TAGS = (b"i", b"r", b"t", b"b")


class BadAny(ValueError):
    """A payload that is none."""


def encode(parts: Sequence[pa.Array]) -> pa.Array:
    """The payloads of one column from four, of which each row has at most one that is not NULL."""
    integers, reals, texts, blobs = parts
    payloads = [integers.cast(pa.string()), reals.cast(pa.string()), texts, blobs]
    tagged = [
        pc.binary_join_element_wise(pa.scalar(tag), payload.cast(pa.binary()), pa.scalar(b""))
        for tag, payload in zip(_TAGS, payloads, strict=True)
        if payload.null_count < len(payload)
    ]
    return pc.coalesce(*tagged) if tagged else pa.nulls(len(integers), pa.binary())


def decode(payloads: pa.Array) -> list[pa.Array]:
    """The inverse of ``encode``. Text is given as it is, be it UTF-8 or not. Raises BadAny."""
    # binary_slice() without an end fails in Arrow 26 on arrays without NULLs: "Negative buffer resize".
    tags, bodies = pc.binary_slice(payloads, 0, 1), pc.binary_replace_slice(payloads, 0, 1, b"")
    known = pc.is_in(tags, value_set=pa.array(_TAGS, pa.binary()), skip_nulls=True)
    if len(payloads) - (pc.sum(known).as_py() or 0) != payloads.null_count:
        raise BadAny("a value of type any that is none")
    integers, reals, texts, blobs = (
        pc.if_else(pc.equal(tags, pa.scalar(tag)), bodies, pa.scalar(None, pa.binary())) for tag in _TAGS
    )
    try:
        return [
            integers.cast(pa.string()).cast(pa.int64()),
            reals.cast(pa.string()).cast(pa.float64()),
            unchecked_text(texts),
            blobs,
        ]
    except pa.ArrowInvalid as error:
        raise BadAny(str(error)) from error


def unchecked_text(values: pa.Array) -> pa.Array:
    """Bytes as a string array, without a look at whether they are UTF-8."""
    return pa.Array.from_buffers(pa.string(), len(values), values.buffers(), offset=values.offset)
