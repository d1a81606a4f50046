"""Three schemas of one table become one: column by column, by the same rules as rows.

A column that one side added is kept, one that a side lacks was not dropped by that, and ends only where head office
confirms it. Of a type that one side changed the new one counts; else both meet in the narrowest type that holds both
(``model.lattice``). Constraints and the order of columns are each place's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prontosync.history.live_view import under
from prontosync.model.hints import Hints
from prontosync.model.lattice import joined_type
from prontosync.model.schema import Column, TableSchema

KEY_HINT = "change it in all places; its rows meet again when both sides have one key"
TYPE_HINT = "bring the column to one type in both databases; its rows meet again then"


@dataclass(frozen=True)
class SchemaConflict:
    """A table that was not merged: how the two sides' schemas differ, in words, and what to do."""

    table: str
    details: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class SchemaMerge:
    """The columns of ``ours``, then those that only theirs has, each with the types to try in turn."""

    ours: TableSchema
    types: Mapping[str, tuple[str, ...]]

    def at(self, steps: Mapping[str, int]) -> TableSchema:
        """The merged schema with each column in its type number ``steps``. Raises IndexError beyond the last."""
        columns = tuple(Column(name, kinds[steps.get(name, 0)]) for name, kinds in self.types.items())
        ours = self.ours
        return TableSchema(columns, ours.key, ours.foreign_keys, ours.uniques, ours.checks)


def merged_schema(base: TableSchema | None, ours: TableSchema, theirs: TableSchema) -> SchemaMerge | list[str]:
    """The merged schema, or why there is none, in words. All have the newest names of their columns."""
    if ours.key != theirs.key:
        return [key_words(ours, theirs)]
    before, mine, other = (_types(schema) for schema in (base, ours, theirs))
    types: dict[str, tuple[str, ...]] = {}
    words: list[str] = []
    for name in (*mine, *(name for name in other if name not in mine)):
        kinds = _merged_types(before.get(name), mine.get(name), other.get(name))
        if not kinds:
            words.append(f'column "{name}" is {other[name]} there, and {mine[name]} here')
        types[name] = kinds
    return words or SchemaMerge(ours, types)


def schema_conflict(name: str, ours: TableSchema, theirs: TableSchema, hints: Hints) -> SchemaConflict | None:
    """Why two schemas of a table do not go together, whatever its rows hold."""
    mine, other = under(ours, hints), under(theirs, hints)
    merged = merged_schema(None, mine, other)
    if not isinstance(merged, list):
        return None
    return SchemaConflict(name, tuple(merged), KEY_HINT if mine.key != other.key else TYPE_HINT)


def key_words(ours: TableSchema, theirs: TableSchema) -> str:
    """How two keys differ."""
    return f"the key is ({', '.join(theirs.key)}) there, and ({', '.join(ours.key)}) here"


def _types(schema: TableSchema | None) -> dict[str, str]:
    return {column.name: column.type for column in schema.columns} if schema else {}


def _merged_types(base: str | None, ours: str | None, theirs: str | None) -> tuple[str, ...]:
    if ours is None or theirs is None:
        return (ours or theirs or "any",)
    joined = joined_type(ours, theirs)
    meeting = (joined,) if joined else ()
    if ours == theirs or base is None:
        return meeting
    if base in (ours, theirs):
        changed = theirs if base == ours else ours
        return tuple(dict.fromkeys((changed, *meeting)))
    return meeting
