"""Values from one logical type to another, exactly or not at all.

Between two types stand SQLite's own values: what a column of the old type would hold, read as the new type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.arrow import arrow_type
from prontosync.model.schema import decimal_parts
from prontosync.sources import anyvalue, decimals
from prontosync.sources.textforms import (
    TIME_FORMS,
    TIMESTAMP_FORMS,
    OutOfForm,
    form_named,
    parse_dates,
    parse_times,
    parse_timestamps,
    write_dates,
    write_times,
    write_timestamps,
)

_EXACT = 2**53
_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_REAL = r"^-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?$"
Parts = list[pa.Array]
"""Integers, reals, texts, blobs: of one column, each row in at most one of the four."""


class Inexact(ValueError):
    """A value that the new type cannot hold exactly."""


def converted(values: pa.Array, old: str, new: str, form: str = "", stored_as: str = "") -> pa.Array:
    """The same values in another type. ``form`` is the text form of an old time or timestamp (``Ddl.forms``).

    ``stored_as`` is the affinity of a column: numbers and text that it would make one of the other are made so, as far
    as that changes nothing that the text says. Raises Inexact.
    """
    if old == new and not stored_as:
        return values
    try:
        parts = _parts(values, old, form)
        if stored_as:
            parts = _as_stored(parts, stored_as)
        return _joined(parts, new).cast(arrow_type(new))
    except (pa.ArrowInvalid, OutOfForm, decimals.Inexact, anyvalue.BadAny, OverflowError) as error:
        raise Inexact(f"not every value of type {old} is one of type {new}") from error


def _parts(values: pa.Array, kind: str, form: str) -> Parts:
    if kind == "any":
        return anyvalue.decode(values)
    none: dict[int, pa.Array] = {n: pa.nulls(len(values), arrow) for n, (_, _, arrow) in enumerate(anyvalue.CLASSES)}
    if decimal_parts(kind):
        integers, reals = decimals.to_numbers(values)
        return [integers, reals, none[2], none[3]]
    index, write = _WRITERS[kind]
    return list((none | {index: write(values, form)}).values())


def _dashed(values: pa.Array) -> pa.Array:
    def text(value: bytes) -> str:
        digits = value.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    return pa.array([None if value is None else text(value) for value in values.to_pylist()], pa.string())


_WRITERS: dict[str, tuple[int, Callable[[pa.Array, str], pa.Array]]] = {
    "bool": (0, lambda values, _: values.cast(pa.int64())),
    "int64": (0, lambda values, _: values),
    "float64": (1, lambda values, _: values),
    "text": (2, lambda values, _: values),
    "json": (2, lambda values, _: values),
    "uuid": (2, lambda values, _: _dashed(values)),
    "date": (2, lambda values, _: write_dates(values)),
    "time": (2, lambda values, form: write_times(values, form_named(form, TIME_FORMS[0]))),
    "timestamp": (2, lambda values, form: write_timestamps(values, form_named(form, TIMESTAMP_FORMS[0]))),
    "timestamptz": (2, lambda values, _: _zoned(values)),
    "bytes": (3, lambda values, _: values),
}


def _zoned(values: pa.Array) -> pa.Array:
    texts = write_timestamps(values.cast(pa.timestamp("us")), TIMESTAMP_FORMS[0])
    return pc.binary_join_element_wise(texts, pa.scalar("+00:00"), pa.scalar(""))


def _joined(parts: Parts, kind: str) -> pa.Array:
    if kind == "any":
        return anyvalue.encode(parts)
    if kind == "bytes":
        return _only(parts, 3)
    if kind in ("text", "json"):
        return _texts(parts)
    if kind in _READERS:
        return _READERS[kind](_only(parts, 2))
    integers, reals = _numbers(parts)
    if kind == "float64":
        _within(integers)
        return pc.coalesce(reals, integers.cast(pa.float64()))
    if decimal_parts(kind):
        return decimals.from_numbers([reals, integers], kind)
    whole = pc.coalesce(integers, _whole(reals))
    if kind == "bool":
        return _bools(whole)
    if kind != "int64":
        raise Inexact(f"nothing is converted to {kind}")
    return whole


def _uuids(texts: pa.Array) -> pa.Array:
    found = []
    for text in texts.to_pylist():
        try:
            value = None if text is None else bytes.fromhex(text.replace("-", ""))
        except ValueError as error:
            raise OutOfForm(text) from error
        found.append(value)
    uuids = pa.array(found, pa.binary(16))
    if not _dashed(uuids).equals(texts):
        raise OutOfForm("a text that is no uuid")
    return uuids


_READERS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "date": parse_dates,
    "time": lambda texts: parse_times(texts, TIME_FORMS[0]),
    "timestamp": lambda texts: parse_timestamps(texts, TIMESTAMP_FORMS[0]),
    "uuid": _uuids,
}


def _only(parts: Parts, index: int) -> pa.Array:
    """Values of one class. Raises Inexact where there are others."""
    if any(part.null_count < len(part) for n, part in enumerate(parts) if n != index):
        raise Inexact("values of another class")
    values = parts[index]
    if pa.types.is_string(values.type):
        values.validate(full=True)
    return values


def _texts(parts: Parts) -> pa.Array:
    """Numbers as their digits, beside text that is no number: each has one text, and no two have the same."""
    integers, reals, texts, blobs = parts
    _only([blobs, texts], 1)
    numbers = integers.null_count < len(integers) or reals.null_count < len(reals)
    if numbers and pc.any(pc.match_substring_regex(texts, _REAL)).as_py():
        raise Inexact("a text that reads as a number, among numbers")
    return pc.coalesce(texts, integers.cast(pa.string()), reals.cast(pa.string()))


def _numbers(parts: Parts) -> tuple[pa.Array, pa.Array]:
    """Integers and reals; text only where it is just what a number is written as."""
    integers, reals, texts, _ = parts
    if parts[3].null_count < len(parts[3]):
        raise Inexact("a blob among numbers")
    more_integers, more_reals, rest = _read_numbers(texts)
    if rest.null_count < len(rest):
        raise Inexact("a text that is no number")
    return pc.coalesce(integers, more_integers), pc.coalesce(reals, more_reals)


def _read_numbers(texts: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Texts that are just what an integer is written as, those that are just what a real is, and the others."""
    looks = pc.match_substring_regex(texts, _INTEGER)
    integers = pc.if_else(looks, texts, pa.scalar(None, pa.string()))
    try:
        whole = integers.cast(pa.int64())
    except pa.ArrowInvalid:  # one of 19 digits that is too large
        whole, looks = pa.nulls(len(texts), pa.int64()), pa.repeat(pa.scalar(value=False), len(texts))
    real = pc.and_(pc.match_substring_regex(texts, _REAL), pc.invert(looks))
    reals = pc.if_else(real, texts, pa.scalar(None, pa.string())).cast(pa.float64())
    same = pc.fill_null(pc.equal(reals.cast(pa.string()), texts), fill_value=False)
    reals = pc.if_else(same, reals, pa.scalar(None, pa.float64()))
    read = pc.or_(pc.is_valid(whole), pc.is_valid(reals))
    return whole, reals, pc.if_else(read, pa.scalar(None, pa.string()), texts)


def _whole(reals: pa.Array) -> pa.Array:
    if pc.any(pc.greater(pc.abs(reals), float(_EXACT - 1))).as_py():
        raise Inexact("a real beyond exact integers")
    return reals.cast(pa.int64())


def _bools(integers: pa.Array) -> pa.Array:
    if pc.any(pc.invert(pc.is_in(integers, pa.array([0, 1, None], pa.int64())))).as_py():
        raise Inexact("an integer that is neither 0 nor 1")
    return integers.cast(pa.bool_())


def _within(integers: pa.Array) -> None:
    if pc.any(pc.or_(pc.greater(integers, _EXACT), pc.less(integers, -_EXACT))).as_py():
        raise Inexact("an integer beyond what a real tells apart")


def _as_stored(parts: Sequence[pa.Array], affinity: str) -> Parts:
    """What a column of this affinity makes of the values, as far as they can be told from what it made of them."""
    integers, reals, texts, blobs = parts
    if affinity == "text":
        return [
            _none(integers),
            _none(reals),
            pc.coalesce(texts, integers.cast(pa.string()), reals.cast(pa.string())),
            blobs,
        ]
    if affinity == "blob":
        return list(parts)
    more_integers, more_reals, texts = _read_numbers(anyvalue.unchecked_text(texts.cast(pa.binary())))
    integers, reals = pc.coalesce(integers, more_integers), pc.coalesce(reals, more_reals)
    if affinity == "real":
        _within(integers)
        return [_none(integers), pc.coalesce(reals, integers.cast(pa.float64())), texts, blobs]
    small = pc.and_(pc.equal(pc.floor(reals), reals), pc.less(pc.abs(reals), float(_EXACT)))
    whole = pc.if_else(pc.fill_null(small, fill_value=False), reals, pa.scalar(None, pa.float64()))
    reals = pc.if_else(pc.is_valid(whole), pa.scalar(None, pa.float64()), reals)
    return [pc.coalesce(integers, whole.cast(pa.int64())), reals, texts, blobs]


def _none(values: pa.Array) -> pa.Array:
    return pa.nulls(len(values), values.type)
