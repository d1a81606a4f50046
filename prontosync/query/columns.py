"""Columns as SQL: how a stored column is shown in a view, and how any column is written as text or kept as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prontosync.engine.connection import quoted
from prontosync.model.schema import TableSchema

_KEPT = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|BLOB", re.IGNORECASE
)


def shown(name: str, logical: str, alias: str | None = None) -> str:
    """A stored column as views show it: a uuid as UUID, an ``any`` as the text of what it holds (a blob as ``0x…``).
    ``alias`` is another name for it."""
    column, shown_as = quoted(name), quoted(alias or name)
    if logical == "uuid":
        return f"CAST(lower(hex({column})) AS UUID) AS {shown_as}"
    if logical == "any":
        return f"{_any_text(column)} AS {shown_as}"
    return column if alias in (None, name) else f"{column} AS {shown_as}"


def shown_columns(schema: TableSchema) -> str:
    """All columns of a table as views show them."""
    return ", ".join(shown(column.name, column.type) for column in schema.columns)


def stored_as_text(column: str, logical: str) -> str:
    """A stored column (SQL) as values are written in CSV: what ``model.values.from_text`` reads; NULL stays NULL."""
    if logical == "uuid":
        return f"CAST(CAST(lower(hex({column})) AS UUID) AS VARCHAR)"
    if logical == "any":
        return _any_text(column)
    if logical == "bytes":
        return f"'0x' || lower(hex({column}))"
    if logical in ("date", "time"):
        return f"CAST({column} AS VARCHAR)"
    return _iso(column) if logical in ("timestamp", "timestamptz") else column


def portable(columns: Sequence[tuple[str, str]], *, blobs: bool) -> str:
    """The columns of any result (name, DuckDB type), by position ``c<i>``, as numbers, texts and bytes: dates, times,
    intervals, lists and the like become text. ``blobs`` False: bytes become ``0x…`` too."""
    parts = []
    for i, (_, kind) in enumerate(columns):
        name = f"c{i}"
        if kind == "BLOB" and not blobs:
            parts.append(f"'0x' || lower(hex({name})) AS {name}")
        elif kind.startswith("TIMESTAMP"):
            parts.append(f"{_iso(name)} AS {name}")
        elif _KEPT.fullmatch(kind):
            parts.append(name)
        else:
            parts.append(f"CAST({name} AS VARCHAR) AS {name}")
    return ", ".join(parts)


def _iso(column: str) -> str:
    """A timestamp in ISO 8601; the engine's zone is UTC."""
    text = f"replace(CAST({column} AS VARCHAR), ' ', 'T')"
    return f"regexp_replace({text}, '[+]00(:00)?$', 'Z')"


def _any_text(column: str) -> str:
    body = f"unhex(substr(hex({column}), 3))"
    blob = f"'0x' || lower(substr(hex({column}), 3))"
    return f"CASE WHEN substr(hex({column}), 1, 2) = '62' THEN {blob} ELSE coalesce(TRY(decode({body})), {blob}) END"
