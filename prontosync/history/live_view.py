"""How a branch's table looks in the live database of its place: which of its columns are there, and under what names.

A branch's table may have columns that the live database lacks: they are *carried*. Which ones it has is told by the
state's definition (``Ddl.declared``), which is always that of the place itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prontosync.model.hints import NO_HINTS, Hints
from prontosync.model.schema import Column, Ddl, ForeignKey, TableSchema


@dataclass(frozen=True)
class LiveView:
    """``names`` has the live name of each column of ``schema`` that the live database has, in order."""

    schema: TableSchema
    names: Mapping[str, str]

    @property
    def carried(self) -> tuple[str, ...]:
        """The columns that the live database lacks."""
        return tuple(name for name in self.schema.names if name not in self.names)

    @property
    def is_all(self) -> bool:
        """Whether the live database has all columns under their own names."""
        return not self.carried and all(name == live for name, live in self.names.items())

    @property
    def narrow(self) -> TableSchema:
        """The columns that are there, under the branch's names."""
        return only(self.schema, self.names)

    @property
    def live(self) -> TableSchema:
        """The same under the names of the live database."""
        return renamed(self.narrow, self.names)


def live_view(schema: TableSchema, ddl: Ddl, hints: Hints = NO_HINTS) -> LiveView:
    """What of a branch's table its live database has. A definition that declares nothing says nothing: then all."""
    if not ddl.declared:
        return LiveView(schema, {name: name for name in schema.names})
    by_new = {new: old for old, new in hints.names(ddl.declared).items()}
    found = {name: name if name in ddl.declared else by_new.get(name) for name in schema.names}
    return LiveView(schema, {name: live for name, live in found.items() if live is not None})


def hinted_names(schema: TableSchema, hints: Hints) -> dict[str, str]:
    """The newest names of a table's columns, without those that end; columns of the key do not."""
    names = hints.names(schema.names)
    names |= {name: name for name in schema.key if name not in names}
    return {name: names[name] for name in schema.names if name in names}


def under(schema: TableSchema, hints: Hints) -> TableSchema:
    """A schema with the newest names of its columns, without those that end."""
    kept = hinted_names(schema, hints)
    return renamed(only(schema, kept), kept)


def only(schema: TableSchema, names: Mapping[str, object]) -> TableSchema:
    """A schema without the columns that are not among ``names``."""
    if all(name in names for name in schema.names):
        return schema
    return TableSchema(
        tuple(column for column in schema.columns if column.name in names),
        schema.key,
        tuple(key for key in schema.foreign_keys if all(name in names for name in key.columns)),
        tuple(unique for unique in schema.uniques if all(name in names for name in unique)),
        schema.checks,
    )


def renamed(schema: TableSchema, names: Mapping[str, str]) -> TableSchema:
    """A schema with other names for its columns; one that is not among ``names`` keeps its own."""
    if all(names.get(name, name) == name for name in schema.names):
        return schema

    def each(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in columns)

    return TableSchema(
        tuple(Column(names.get(column.name, column.name), column.type) for column in schema.columns),
        each(schema.key),
        tuple(ForeignKey(each(key.columns), key.table, key.parent) for key in schema.foreign_keys),
        tuple(sorted(each(unique) for unique in schema.uniques)),
        schema.checks,
    )
