"""Keys of rows as people and scripts write them: ``12,991``, ``store_id=12,product_id=991``, or a JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prontosync.errors import UsageError
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, from_json, from_text, to_json, to_text


class BadKey(UsageError):
    id = "bad-key"


def parse_key(text: str, table: str, schema: TableSchema) -> Row:
    """The key that ``text`` names, in key order. Raises BadKey, saying what a key of this table looks like."""
    try:
        parts = _parts(text, schema)
        if set(parts) != set(schema.key):
            raise ValueError("it has other columns than the key")
        return tuple(_value(parts[name], schema.type_of(name)) for name in schema.key)
    except (ValueError, TypeError) as error:
        example = ",".join(f"{name}=…" for name in schema.key)
        raise BadKey(
            f'"{text}" is not a key of table "{table}": {error}', f"write {example}, or the same as a JSON object"
        ) from None


def key_to_json(key: Row, schema: TableSchema) -> dict[str, Any]:
    """A key as the contract's JSON object."""
    return {name: to_json(value, schema.type_of(name)) for name, value in zip(schema.key, key, strict=True)}


def key_to_text(key: Row, schema: TableSchema) -> str:
    """A key for a message: ``store_id=12, product_id=991``."""
    return ", ".join(
        f"{name}={to_text(value, schema.type_of(name))}" for name, value in zip(schema.key, key, strict=True)
    )


def key_argument(key: Row, schema: TableSchema) -> str:
    """A key in the shortest form that ``parse_key`` takes back."""
    texts = [to_text(value, schema.type_of(name)) for name, value in zip(schema.key, key, strict=True)]
    plain = all(text == text.strip() and not set(text) & set(",={") for text in texts)
    if not plain or any(schema.type_of(name) == "any" for name in schema.key):
        return json.dumps(key_to_json(key, schema), ensure_ascii=False)
    return ",".join(texts)


def _parts(text: str, schema: TableSchema) -> Mapping[str, Any]:
    stripped = text.strip()
    if stripped.startswith("{"):
        return {name: ("json", value) for name, value in json.loads(stripped).items()}
    pieces = stripped.split(",") if len(schema.key) > 1 or "=" in stripped else [stripped]
    if all("=" in piece for piece in pieces):
        named = [piece.split("=", 1) for piece in pieces]
        return {name.strip(): ("text", value) for name, value in named}
    if len(pieces) != len(schema.key):
        raise ValueError(f"the key has {len(schema.key)} columns")
    return {name: ("text", piece) for name, piece in zip(schema.key, pieces, strict=True)}


def _value(part: tuple[str, Any], logical: str) -> Any:
    form, value = part
    return from_json(value, logical) if form == "json" else from_text(value, logical)
