"""Values of rows as people read them on a line: short, and harmless on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prontosync.cli.escape import escape
from prontosync.model.schema import TableSchema
from prontosync.model.values import canonical, to_text

_PLAIN = frozenset(["bool", "float64", "date", "time", "timestamp", "timestamptz", "uuid"])
SHOWN = 60
"""How many characters of a cell are shown."""


def cell(value: Any, logical: str, limit: int | None = SHOWN) -> str:
    """A value, escaped, with an ellipsis where it is longer than the limit; text in quotes where it could mislead."""
    if limit is not None and isinstance(value, bytes) and logical == "bytes" and len(value) > limit:
        return f"0x{value[: limit // 2].hex()}… ({len(value)} bytes)"
    text = to_text(value, logical)
    if isinstance(value, str) and (value in ("", "NULL") or value != value.strip()):
        text = f'"{text}"'
    return escape(text if limit is None or len(text) <= limit else text[:limit] + "…")


def teller(logical: str, limit: int | None = SHOWN) -> Callable[[Any], str]:
    """``cell`` for many values of one type; those that hold no text need no look at what is in them."""
    if logical == "int64":
        return lambda value: "NULL" if value is None else str(value)
    if logical.startswith("decimal"):
        return lambda value: "NULL" if value is None else format(value, "f")
    if logical in _PLAIN:
        return lambda value: to_text(value, logical)
    return lambda value: cell(value, logical, limit)


def is_number(logical: str) -> bool:
    """Whether values of the type stand to the right in their column."""
    return logical in {"int64", "float64"} or logical.startswith("decimal")


class RowTeller:
    """Rows of one table, on a line each."""

    def __init__(self, schema: TableSchema) -> None:
        self._names = [escape(name) for name in schema.names]
        self._tell = [teller(column.type) for column in schema.columns]
        self._indexes = {name: i for i, name in enumerate(schema.names)}
        self.key = [self._indexes[name] for name in schema.key]
        self.values = [self._indexes[name] for name in schema.values]
        self._every = range(len(self._names))

    def named(self, row: tuple[Any, ...], columns: Iterable[int]) -> str:
        """``store_id=12, product_id=991``."""
        return ", ".join([f"{self._names[i]}={self._tell[i](row[i])}" for i in columns])

    def changed(self, old: tuple[Any, ...], new: tuple[Any, ...], columns: Iterable[int] | None = None) -> str:
        """``price 9.90 → 12.90, on_hand 3 → 2``: these columns, or all that differ."""
        wanted = columns if columns is not None else [i for i in self._every if differs(old[i], new[i])]
        return ", ".join([f"{self._names[i]} {self._tell[i](old[i])} → {self._tell[i](new[i])}" for i in wanted])


def differs(old: Any, new: Any) -> bool:
    """Whether two values of a column differ, as everywhere here (``model.values``)."""
    return bool(old != new and canonical(old) != canonical(new))


def named_cells(schema: TableSchema, row: tuple[Any, ...], names: tuple[str, ...]) -> str:
    """``store_id=12, product_id=991``."""
    return RowTeller(schema).named(row, [schema.names.index(name) for name in names])


def changed_cells(schema: TableSchema, old: tuple[Any, ...], new: tuple[Any, ...], columns: list[int]) -> str:
    """``price 9.90 → 12.90, on_hand 3 → 2``."""
    return RowTeller(schema).changed(old, new, columns)
