"""How dates and times are written as text: one form for a whole column, so that every value goes back as it was."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_FIRST, _LAST = -62135596800_000000, 253402300799_999999
_FIRST_DAY, _LAST_DAY = -719162, 2932896


@dataclass(frozen=True)
class TextForm:
    """``name`` is what ``Ddl.forms`` holds. ``short`` writes a fraction only where it is not zero (Django), else always
    (SQLAlchemy). ``separator`` stands between date and time; empty for a time alone."""

    name: str
    separator: str
    short: bool


TIMESTAMP_FORMS = tuple(
    TextForm(f"YYYY-MM-DD{separator}HH:MM:SS{'[.ffffff]' if short else '.ffffff'}", separator, short)
    for separator in (" ", "T")
    for short in (True, False)
)
TIME_FORMS = (TextForm("HH:MM:SS[.ffffff]", "", True), TextForm("HH:MM:SS.ffffff", "", False))
_BY_NAME = {form.name: form for form in (*TIMESTAMP_FORMS, *TIME_FORMS)}


class OutOfForm(ValueError):
    """A text that is not of the form, or a value that the form cannot write."""


def form_named(name: str, otherwise: TextForm) -> TextForm:
    return _BY_NAME.get(name, otherwise)


def parse_dates(texts: pa.Array) -> pa.Array:
    """Dates from ``YYYY-MM-DD``, years 1 to 9999. Raises OutOfForm."""
    dates = _cast(texts, pa.date32())
    _same(write_dates(dates), texts)
    return dates


def write_dates(dates: pa.Array) -> pa.Array:
    _within(dates.cast(pa.int32()), _FIRST_DAY, _LAST_DAY)
    return dates.cast(pa.string())


def parse_timestamps(texts: pa.Array, form: TextForm) -> pa.Array:
    """Timestamps of years 1 to 9999. Raises OutOfForm unless each text is just what ``write_timestamps`` gives back."""
    stamps = _cast(texts, pa.timestamp("us"))
    whole = form.short and pc.max(pc.binary_length(texts)).as_py() == 19
    _same(_seconds(stamps, form) if whole else write_timestamps(stamps, form), texts)
    return stamps


def write_timestamps(stamps: pa.Array, form: TextForm) -> pa.Array:
    """Raises OutOfForm for years that have no four digits."""
    _within(stamps.cast(pa.int64()), _FIRST, _LAST)
    full = _separated(stamps.cast(pa.string()), form)
    return _shortened(full, stamps.cast(pa.int64()), 19) if form.short else full


def parse_times(texts: pa.Array, form: TextForm) -> pa.Array:
    """Times of day. Raises OutOfForm unless each text is just what ``write_times`` gives back."""
    dated = pc.binary_join_element_wise(pa.scalar("1970-01-01"), texts, pa.scalar(" "))
    times = _cast(dated, pa.timestamp("us")).cast(pa.time64("us"))
    _same(write_times(times, form), texts)
    return times


def write_times(times: pa.Array, form: TextForm) -> pa.Array:
    full = times.cast(pa.string())
    return _shortened(full, times.cast(pa.int64()), 8) if form.short else full


def _shortened(full: pa.Array, micros: pa.Array, length: int) -> pa.Array:
    second = pa.scalar(1_000_000, micros.type)
    whole = pc.equal(pc.multiply(pc.divide(micros, second), second), micros)
    return pc.if_else(whole, pc.binary_slice(full.cast(pa.binary()), 0, length).cast(pa.string()), full)


def _seconds(stamps: pa.Array, form: TextForm) -> pa.Array:
    """The short form where no value has a fraction."""
    _within(stamps.cast(pa.int64()), _FIRST, _LAST)
    whole = stamps.cast(pa.timestamp("s"), safe=False).cast(pa.string())
    return _separated(whole, form)


def _separated(texts: pa.Array, form: TextForm) -> pa.Array:
    return texts if form.separator == " " else pc.binary_replace_slice(texts, 10, 11, form.separator)


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return texts.cast(kind)
    except pa.ArrowException as error:
        raise OutOfForm(str(error)) from error


def _same(written: pa.Array, texts: pa.Array) -> None:
    if not written.equals(texts):
        raise OutOfForm("a text is not of the form")


def _within(numbers: pa.Array, low: int, high: int) -> None:
    found = pc.min_max(numbers)
    if found["min"].as_py() is not None and (found["min"].as_py() < low or found["max"].as_py() > high):
        raise OutOfForm("a year below 1 or above 9999")
