"""Values of rows as people read them on a line: short, and harmless on a terminal."""

from __future__ import annotations

from typing import Any

from prontosync.cli.escape import escape
from prontosync.model.schema import TableSchema
from prontosync.model.values import to_text

SHOWN = 60
"""How many characters of a cell are shown."""


def cell(value: Any, logical: str) -> str:
    """A value, escaped, with an ellipsis where it is long; text in quotes where it could mislead."""
    if isinstance(value, bytes) and logical == "bytes" and len(value) > SHOWN:
        return f"0x{value[: SHOWN // 2].hex()}… ({len(value)} bytes)"
    text = to_text(value, logical)
    if isinstance(value, str) and (value in ("", "NULL") or value != value.strip()):
        text = f'"{text}"'
    return escape(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def named_cells(schema: TableSchema, row: tuple[Any, ...], names: tuple[str, ...]) -> str:
    """``store_id=12, product_id=991``."""
    types = {column.name: column.type for column in schema.columns}
    values = dict(zip(schema.names, row, strict=True))
    return ", ".join(f"{escape(name)}={cell(values[name], types[name])}" for name in names)


def changed_cells(schema: TableSchema, old: tuple[Any, ...], new: tuple[Any, ...], columns: list[int]) -> str:
    """``price 9.90 → 12.90, on_hand 3 → 2``."""
    named = [(i, schema.columns[i]) for i in columns]
    return ", ".join(f"{escape(c.name)} {cell(old[i], c.type)} → {cell(new[i], c.type)}" for i, c in named)
