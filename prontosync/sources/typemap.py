"""Declared types of SQLite: for each column a chain of plans, narrow to wide; the first that fits all rows holds.

A plan says what to select, what Arrow types must come, and how they become the logical type. What does not fit must be
loud: ADBC fixes a column's type by the first batch and then passes some mixtures silently (integers as reals, numbers
and blobs as text), so where a column's affinity lets such a mixture exist, the plan's SELECT or its decoding guards it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.model.schema import decimal_parts
from prontosync.sources import anyvalue, decimals
from prontosync.sources.textforms import (
    TIME_FORMS,
    TIMESTAMP_FORMS,
    OutOfForm,
    TextForm,
    parse_dates,
    parse_times,
    parse_timestamps,
)

_DUMMIES = {pa.int64(): "0", pa.float64(): "0.5", pa.string(): "'x'", pa.binary(): "x'00'"}
_DECLARED = re.compile(r"\s*([A-Z ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", re.IGNORECASE)
_UUID = "-".join("[0-9a-f]" * n for n in (8, 4, 4, 4, 12))


class Misfit(Exception):
    """Values do not fit a plan. Never leaves this room."""


@dataclass(frozen=True)
class Plan:
    """One way to read a column.

    ``select`` makes SQL expressions from the quoted column and ``mark``, an expression that fails when it is reached
    and names the column; they give values of ``arrow``, in turn. ``decode`` raises Misfit. ``misfit`` is an SQL
    condition that holds only for values that do not fit; it need not hold for all of them.
    """

    type: str
    arrow: tuple[pa.DataType, ...]
    select: Callable[[str, str], Sequence[str]]
    decode: Callable[[Sequence[pa.Array]], pa.Array]
    misfit: Callable[[str], str] | None
    form: str = ""

    @property
    def dummies(self) -> tuple[str, ...]:
        return tuple(_DUMMIES[kind] for kind in self.arrow)


def affinity(declared: str) -> str:
    """SQLite's own rule: which conversions a column makes as values are stored."""
    name = declared.upper()
    if "INT" in name:
        return "integer"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not name or "BLOB" in name:
        return "blob"
    return "real" if any(word in name for word in ("REAL", "FLOA", "DOUB")) else "numeric"


def chain(declared: str, strict: bool) -> tuple[Plan, ...]:
    """The plans of a column, narrow to wide; the last one takes everything."""
    if strict and declared.upper() == "ANY":
        return (ANY,)
    if strict:
        return (_STRICT[affinity(declared)], ANY)
    by_affinity = {"integer": (INTEGER, ANY), "text": (TEXT, ANY), "real": (REAL, ANY)}
    kind = affinity(declared)
    if kind == "blob":
        return (BYTES, ANY) if declared else (ANY,)
    return by_affinity.get(kind) or _numeric_chain(declared)


def _numeric_chain(declared: str) -> tuple[Plan, ...]:
    found = _DECLARED.fullmatch(declared)
    name = found[1].upper() if found else ""
    if name in ("DECIMAL", "NUMERIC", "DEC"):
        logical = f"decimal({found[2]},{found[3] or 0})" if found and found[2] else ""
        exact = decimals_plans(logical) if decimal_parts(logical) else ()
        return (*exact, NUMBER, ANY)
    return _NAMED.get(name, (ANY,))


def _plain(quoted: str, _: str) -> Sequence[str]:
    return (quoted,)


def _only(*classes: str) -> Callable[[str, str], Sequence[str]]:
    names = ", ".join(f"'{name}'" for name in (*classes, "null"))
    return lambda quoted, mark: (f"iif(typeof({quoted}) IN ({names}), {quoted}, {mark})",)


def _no_blob(quoted: str, mark: str) -> Sequence[str]:
    # Every text sorts before every blob, and a comparison is cheaper than typeof().
    return (f"iif({quoted} >= x'', {mark}, {quoted})",)


def _not(*classes: str) -> Callable[[str], str]:
    names = ", ".join(f"'{name}'" for name in (*classes, "null"))
    return lambda quoted: f"typeof({quoted}) NOT IN ({names})"


def _same(parts: Sequence[pa.Array]) -> pa.Array:
    return parts[0]


def _text(parts: Sequence[pa.Array]) -> pa.Array:
    try:
        parts[0].validate(full=True)
    except pa.ArrowInvalid as error:
        raise Misfit from error
    return parts[0]


def _bool(parts: Sequence[pa.Array]) -> pa.Array:
    found = pc.min_max(parts[0])
    if found["min"].as_py() is not None and (found["min"].as_py() < 0 or found["max"].as_py() > 1):
        raise Misfit
    return parts[0].cast(pa.bool_())


def _in_form(parse: Callable[[pa.Array], pa.Array]) -> Callable[[Sequence[pa.Array]], pa.Array]:
    def decode(parts: Sequence[pa.Array]) -> pa.Array:
        try:
            return parse(_text(parts))
        except OutOfForm as error:
            raise Misfit from error

    return decode


def _formed(logical: str, parse: Callable[[pa.Array, TextForm], pa.Array], form: TextForm) -> Plan:
    lengths = {"timestamp": (19, 26), "time": (8, 15)}[logical][0 if form.short else 1 :]
    allowed = ", ".join(map(str, lengths))

    def misfit(quoted: str) -> str:
        return f"{_not('text')(quoted)} OR octet_length({quoted}) NOT IN ({allowed})"

    return Plan(logical, (pa.string(),), _no_blob, _in_form(lambda texts: parse(texts, form)), misfit, form.name)


def _uuid(quoted: str, mark: str) -> Sequence[str]:
    fits = f"typeof({quoted}) = 'text' AND octet_length({quoted}) = 36 AND {quoted} GLOB '{_UUID}'"
    return (f"CASE WHEN {quoted} IS NULL THEN NULL WHEN {fits} THEN unhex({quoted}, '-') ELSE {mark} END",)


def _any(quoted: str, _: str) -> Sequence[str]:
    return [f"iif(typeof({quoted}) = '{name}', {quoted}, NULL)" for name, _, _ in anyvalue.CLASSES]


def decimals_plans(logical: str) -> tuple[Plan, Plan]:
    """Reals and small integers together, which is quick; else integers apart, exact to 64 bits."""

    def decode(parts: Sequence[pa.Array]) -> pa.Array:
        try:
            return decimals.from_numbers(parts, logical)
        except decimals.Inexact as error:
            raise Misfit from error

    def apart(quoted: str, _: str) -> Sequence[str]:
        return [f"iif(typeof({quoted}) {sign} 'integer', {quoted}, NULL)" for sign in ("<>", "=")]

    numbers = _not("integer", "real")
    quick = Plan(logical, (pa.float64(),), _plain, decode, lambda q: f"{numbers(q)} OR {_beyond(q)}")
    return quick, Plan(logical, (pa.float64(), pa.int64()), apart, decode, numbers)


def _number(quoted: str, mark: str) -> Sequence[str]:
    return (f"iif({_large(quoted)}, {mark}, {quoted})",)


def _large(quoted: str) -> str:
    return f"typeof({quoted}) = 'integer' AND {_beyond(quoted)}"


def _beyond(quoted: str) -> str:
    """Whether a number is where doubles no longer tell integers apart."""
    return f"{quoted} NOT BETWEEN -9007199254740991 AND 9007199254740991"


INTEGER = Plan("int64", (pa.int64(),), _plain, _same, _not("integer"))
REAL = Plan("float64", (pa.float64(),), _plain, _same, _not("real"))
NUMBER = Plan("float64", (pa.float64(),), _number, _same, lambda q: f"{_not('integer', 'real')(q)} OR {_large(q)}")
TEXT = Plan("text", (pa.string(),), _no_blob, _text, _not("text"))
ONLY_TEXT = Plan("text", (pa.string(),), _only("text"), _text, _not("text"))
JSON = Plan("json", (pa.string(),), _only("text"), _text, _not("text"))
BYTES = Plan("bytes", (pa.binary(),), _only("blob"), _same, _not("blob"))
BOOL = Plan("bool", (pa.int64(),), _plain, _bool, lambda q: f"{q} NOT IN (0, 1)")
DATE = Plan("date", (pa.string(),), _no_blob, _in_form(parse_dates), lambda q: f"octet_length({q}) <> 10")
UUID = Plan(
    "uuid", (pa.binary(),), _uuid, lambda parts: parts[0].cast(pa.binary(16)), lambda q: f"octet_length({q}) <> 36"
)
ANY = Plan("any", tuple(kind for _, _, kind in anyvalue.CLASSES), _any, anyvalue.encode, None)

_TIMESTAMPS = tuple(_formed("timestamp", parse_timestamps, form) for form in TIMESTAMP_FORMS)
_TIMES = tuple(_formed("time", parse_times, form) for form in TIME_FORMS)
_NAMED: dict[str, tuple[Plan, ...]] = {
    "BOOL": (BOOL, INTEGER, ANY),
    "BOOLEAN": (BOOL, INTEGER, ANY),
    "DATE": (DATE, ONLY_TEXT, ANY),
    "DATETIME": (*_TIMESTAMPS, ONLY_TEXT, ANY),
    "TIMESTAMP": (*_TIMESTAMPS, ONLY_TEXT, ANY),
    "TIME": (*_TIMES, ONLY_TEXT, ANY),
    "JSON": (JSON, ANY),
    "UUID": (UUID, ONLY_TEXT, ANY),
}
_STRICT = {
    "integer": INTEGER,
    "real": REAL,
    "text": Plan("text", (pa.string(),), _plain, _text, _not("text")),
    "blob": Plan("bytes", (pa.binary(),), _plain, _same, _not("blob")),
}
