"""When values of two columns are equal, as SQL over them: as SQLite compares a child's value with its parent's.

The parent column's affinity is applied to the child's value; numbers are equal whatever their storage class.
"""

from __future__ import annotations

from collections.abc import Callable

from prontosync.model.schema import Ddl, decimal_parts
from prontosync.tables.reader import StoredTable

Form = Callable[[str], str]
"""From the SQL of a value to the SQL of what is compared in its place."""

_TEXT = frozenset(["text", "json"])
_NUMERIC = frozenset(["bool", "int64", "float64"])
_IN_FORMS = frozenset(["time", "timestamp", "timestamptz"])
_DIGITS, _DECIMAL = r"\s*[+-]?\d+\s*", r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"


def own_form(logical: str) -> Form:
    """For values of one column among each other."""
    return (lambda value: _tagged(value, logical)) if logical == "any" else _itself


def forms(child: StoredTable, column: str, parent: StoredTable, parent_column: str) -> tuple[Form, Form] | None:
    """For values of a child's column, and for those of the parent's; None where nobody can tell from here."""
    mine, theirs = child.schema.type_of(column), parent.schema.type_of(parent_column)
    if mine == theirs != "any" or {mine, theirs} <= _TEXT:
        return _itself, _itself
    if {mine, theirs} & _IN_FORMS:  # how such a value is written as text differs from column to column
        return None
    converts = _affinity(parent.ddl, parent_column, theirs)
    by_affinity: dict[str, Callable[[str, str], str]] = {"numeric": _as_number, "text": _as_text}
    convert = by_affinity.get(converts, _tagged)
    return (lambda value: convert(value, mine)), (lambda value: _tagged(value, theirs))


def is_itself(form: Form) -> bool:
    """Whether values are compared as they are."""
    return form is _itself


def _itself(value: str) -> str:
    return value


def _affinity(ddl: Ddl, column: str, logical: str) -> str:
    declared = ddl.declared.get(column)
    if declared is not None and ddl.dialect == "sqlite":
        from prontosync.sources.typemap import affinity

        found = affinity(declared)
        return found if found in ("text", "blob") else "numeric"
    if logical in _NUMERIC or decimal_parts(logical):
        return "numeric"
    return "text" if logical in _TEXT else "blob"


def _tagged(value: str, logical: str) -> str:
    """A value as text that begins with n, t or b, and is equal where SQLite's values are."""
    if logical == "any":
        payload = f"(({value})::VARCHAR)"  # the tag and, for numbers, their digits; other bytes escaped
        number = f"CASE {payload}[1] WHEN 'i' THEN 'n' || {payload}[2:] ELSE {_number(_double(f'{payload}[2:]'))} END"
        return f"(CASE WHEN {payload}[1] IN ('i', 'r') THEN {number} ELSE {payload} END)"
    if logical in ("bool", "int64"):
        return f"('n' || ({value})::BIGINT::VARCHAR)"
    if logical == "float64":
        return _number(value)
    if decimal_parts(logical):
        whole = f"'n' || ({value})::DECIMAL(38,0)::VARCHAR"
        return f"(CASE WHEN ({value}) = trunc({value}) THEN {whole} ELSE {_number(f'({value})::DOUBLE')} END)"
    if logical == "bytes":
        return f"('b' || ({value})::VARCHAR)"
    return f"('t' || encode({_written(value, logical)})::VARCHAR)"


def _as_number(value: str, logical: str) -> str:
    """The same, text that is a number taken as one."""
    if logical != "any" and logical not in _TEXT:
        return _tagged(value, logical)
    text = f"(({value})::VARCHAR)[2:]" if logical == "any" else f"({value})"
    is_text = f"(({value})::VARCHAR)[1] = 't'" if logical == "any" else "true"
    whole = f"TRY_CAST(trim({text}) AS BIGINT)"
    return (
        f"(CASE WHEN {is_text} AND regexp_full_match({text}, '{_DIGITS}') AND {whole} IS NOT NULL"
        f" THEN 'n' || {whole}::VARCHAR"
        f" WHEN {is_text} AND regexp_full_match({text}, '{_DECIMAL}') THEN {_number(_double(text))}"
        f" ELSE {_tagged(value, logical)} END)"
    )


def _as_text(value: str, logical: str) -> str:
    """The same, numbers taken as text."""
    if logical == "any":
        payload = f"(({value})::VARCHAR)"
        return f"(CASE WHEN {payload}[1] IN ('i', 'r') THEN 't' || {payload}[2:] ELSE {payload} END)"
    if logical in ("bool", "int64"):
        return f"('t' || ({value})::BIGINT::VARCHAR)"
    if logical == "float64":
        return f"('t' || ({value})::VARCHAR)"
    tagged = _tagged(value, logical)
    return f"('t' || ({tagged})[2:])" if decimal_parts(logical) else tagged


def _number(double: str) -> str:
    whole = f"'n' || ({double})::BIGINT::VARCHAR"
    return (
        f"(CASE WHEN ({double}) = trunc({double}) AND abs({double}) < 9.2e18 THEN {whole}"
        f" ELSE 'n' || ({double})::VARCHAR END)"
    )


def _double(text: str) -> str:
    return f"TRY_CAST(trim({text}) AS DOUBLE)"


def _written(value: str, logical: str) -> str:
    if logical == "uuid":
        digits = f"(lower(hex({value})))"
        return " || '-' || ".join(f"{digits}[{a}:{b}]" for a, b in ((1, 8), (9, 12), (13, 16), (17, 20), (21, 32)))
    return f"({value})::VARCHAR"
