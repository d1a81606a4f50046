"""Types as they hold each other: the narrowest type in which two columns of one name can meet, every value kept."""

from __future__ import annotations

from prontosync.model.schema import MAX_PRECISION, decimal_parts

_INT64_DIGITS = 19
_WIDER: dict[str, frozenset[str]] = {
    "bool": frozenset(["int64"]),
    "date": frozenset(["text"]),
    "time": frozenset(["text"]),
    "timestamp": frozenset(["text"]),
    "uuid": frozenset(["text"]),
    "json": frozenset(["text"]),
    "int64": frozenset(["float64"]),
}
"""What holds a type besides ``any``, which holds all: as far as each value allows, and that is looked at."""


def joined_type(a: str, b: str) -> str | None:
    """The type that both can be converted to, as far as their values allow; None where only a person can tell.

    Symmetric. ``any`` holds everything. Decimals meet in one that has room for both. Integers meet reals in
    ``float64``, where they are whole up to 2^53; integers and text do not meet: 5 and "5" are two values.
    """
    if a == b:
        return a
    if "any" in (a, b):
        return "any"
    if b in _WIDER.get(a, ()):
        return b
    if a in _WIDER.get(b, ()):
        return a
    return _number(*sorted((a, b)))


def _number(a: str, b: str) -> str | None:
    parts = [decimal_parts(kind) for kind in (a, b)]
    if "float64" in (a, b):
        return "float64" if any(parts) else None
    if "int64" in (a, b):
        parts = [(_INT64_DIGITS, 0) if found is None else found for found in parts]
    one, two = parts
    if one is None or two is None or {a, b} & {"bool"}:
        return None
    if not {a, b} <= {"int64"} | {kind for kind in (a, b) if decimal_parts(kind)}:
        return None
    scale = max(one[1], two[1])
    precision = max(one[0] - one[1], two[0] - two[1]) + scale
    return f"decimal({precision},{scale})" if precision <= MAX_PRECISION else "float64"
