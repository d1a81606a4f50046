"""Values of rows as Python holds them, their order, and their JSON.

Order is key order: numbers by value (NaN above all numbers), text by its UTF-8 bytes, which for Python strings is
code-point order; NULL comes last, absence of a row after every row.
"""

from __future__ import annotations

import base64
import datetime
import math
import uuid
from collections.abc import Iterable, Mapping
from decimal import Context, Decimal
from typing import Any

_EXACT = Context(prec=76)
"""Python rounds to 28 digits where nothing else is said; a decimal may have 38."""

Value = Any
Row = tuple[Value, ...]


def orderable(value: Value) -> tuple[Any, ...]:
    """A tuple that compares with those of the same column's values as the values are ordered."""
    if value is None:
        return (2,)
    if isinstance(value, float) and math.isnan(value):
        return (1,)
    return (0, value)


def orderable_row(row: Iterable[Value]) -> tuple[Any, ...]:
    """The same for several columns in turn."""
    return tuple(orderable(value) for value in row)


def same(a: Value, b: Value) -> bool:
    """Equality as everywhere here: NULL equals NULL, NaN equals NaN, -0.0 equals 0.0."""
    return type(a) is type(b) and orderable(a) == orderable(b)


class _NotANumber:
    """The one NaN, equal to itself."""

    def __repr__(self) -> str:
        return "NaN"


NAN = _NotANumber()


def canonical(value: Value) -> Value:
    """A hashable stand-in that is equal exactly where ``same`` says so."""
    if isinstance(value, float):
        return NAN if math.isnan(value) else value + 0.0
    return value


def restored(value: Value) -> Value:
    """The inverse of ``canonical``."""
    return math.nan if value is NAN else value


def to_json(value: Value, logical: str) -> Any:
    """The contract's JSON: decimals as strings, bytes as base64, dates and times ISO 8601, NULL as null.

    ``any`` values become what they hold: a number, a string, or base64 of a blob as {"base64": …} so that text and blob
    stay apart. Floats that JSON lacks become the strings "NaN", "Infinity", "-Infinity".
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(Decimal(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return _timestamp(value, logical)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return _bytes_to_json(value, logical)


def row_to_json(row: Mapping[str, Value], types: Mapping[str, str]) -> dict[str, Any]:
    return {name: to_json(value, types[name]) for name, value in row.items()}


def to_text(value: Value, logical: str) -> str:
    """A value for people: NULL as ``NULL``, bytes as hex, everything else as in JSON."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes) and logical == "bytes":
        return "0x" + value.hex()
    plain = to_json(value, logical)
    if isinstance(plain, dict):
        return "0x" + base64.b64decode(plain["base64"]).hex()
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return str(plain)


def from_text(text: str, logical: str) -> Value:
    """The value that people write as ``text`` for a column of this type. ValueError where it is none."""
    if logical in ("text", "json"):
        return text
    return _PARSERS[logical.split("(", maxsplit=1)[0]](text, logical)


def from_json(value: Any, logical: str) -> Value:
    """The inverse of ``to_json``; also takes what people would write (a number for a decimal). ValueError otherwise."""
    if value is None:
        return None
    if logical == "any":
        return _any_from_json(value)
    if logical == "bool" and isinstance(value, bool):
        return value
    if logical == "float64" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if logical == "int64" and isinstance(value, int) and not isinstance(value, bool):
        return _int64(str(value), logical)
    if logical.startswith("decimal") and isinstance(value, int | float) and not isinstance(value, bool):
        return from_text(str(value), logical)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not {logical}")
    return base64.b64decode(value, validate=True) if logical == "bytes" else from_text(value, logical)


def any_value(payload: bytes) -> int | float | str | bytes:
    """What an ``any`` payload holds (``model.schema``); text that is not UTF-8 stays bytes."""
    tag, body = payload[:1], payload[1:]
    if tag == b"i":
        return int(body)
    if tag == b"r":
        return float(body)
    if tag == b"t":
        try:
            return body.decode()
        except UnicodeDecodeError:
            return body
    return body


def real_text(value: float) -> str:
    """A float as ``any`` writes it: the shortest digits that give it back, as Arrow casts it to text."""
    if math.isnan(value) or math.isinf(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text, minus = "".join(map(str, digits)), "-" if math.copysign(1, value) < 0 else ""
    point = len(text) + int(exponent)
    if -6 < point <= 10:
        if point <= 0:
            return f"{minus}0.{'0' * -point}{text}"
        return minus + (text.ljust(point, "0") if point >= len(text) else f"{text[:point]}.{text[point:]}")
    mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
    return f"{minus}{mantissa}e{point - 1:+d}"


def _timestamp(value: datetime.datetime, logical: str) -> str:
    if logical == "timestamptz":
        return value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat() + "Z"
    return value.isoformat()


def _bytes_to_json(value: bytes, logical: str) -> Any:
    if logical == "uuid":
        return str(uuid.UUID(bytes=value))
    if logical == "any":
        plain = any_value(value)
        if isinstance(plain, bytes):
            return {"base64": base64.b64encode(plain).decode()}
        return to_json(plain, "text")
    return base64.b64encode(value).decode()


def _any_from_json(value: Any) -> bytes:
    if isinstance(value, int):
        return b"i%d" % int(value)
    if isinstance(value, float):
        return b"r" + real_text(value).encode()
    if isinstance(value, dict) and set(value) == {"base64"}:
        return b"b" + base64.b64decode(value["base64"], validate=True)
    if isinstance(value, str):
        return b"t" + value.encode()
    raise ValueError(f"{value!r} is not a value")


def _any_from_text(text: str, _: str) -> bytes:
    for parse in (int, float):
        try:
            return _any_from_json(parse(text))
        except ValueError:
            continue
    return b"t" + text.encode()


def _bool(text: str, _: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(f'"{text}" is neither true nor false')
    return text.lower() in ("true", "1")


def _int64(text: str, _: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{text} does not fit in 64 bits")
    return value


def _decimal(text: str, logical: str) -> Decimal:
    precision, scale = (int(part) for part in logical[8:-1].split(","))
    try:
        value = Decimal(text)
        exact = value.quantize(Decimal(1).scaleb(-scale), context=_EXACT) if value.is_finite() else None
    except ArithmeticError:
        exact, value = None, Decimal(0)
    if exact is None or exact != value or len(exact.as_tuple().digits) > precision:
        raise ValueError(f'"{text}" is not {logical}')
    return exact


def _time_stamp(text: str, _: str) -> datetime.datetime:
    value = datetime.datetime.fromisoformat(text)
    if value.tzinfo is not None:
        raise ValueError(f'"{text}" has a time zone, the column has none')
    return value


def _time_stamp_utc(text: str, _: str) -> datetime.datetime:
    value = datetime.datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError(f'"{text}" lacks a time zone')
    return value.astimezone(datetime.UTC)


def _blob(text: str, _: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


_PARSERS: dict[str, Any] = {
    "bool": _bool,
    "int64": _int64,
    "float64": lambda text, _: float(text),
    "decimal": _decimal,
    "bytes": _blob,
    "any": _any_from_text,
    "uuid": lambda text, _: uuid.UUID(text).bytes,
    "date": lambda text, _: datetime.date.fromisoformat(text),
    "time": lambda text, _: datetime.time.fromisoformat(text),
    "timestamp": _time_stamp,
    "timestamptz": _time_stamp_utc,
}
