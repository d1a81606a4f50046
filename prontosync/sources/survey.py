"""From what a database holds to the tables that are read: the logical schema, and what is left out and why."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from prontosync.model.schema import BadSchema, Column, DatabaseDdl, Ddl, ForeignKey, TableSchema, check_schema
from prontosync.sources.contract import LeftOut, SourceTable, SourceUnfit, TableOptions

if TYPE_CHECKING:
    from prontosync.sources.catalog import Catalog, LiveColumn, LiveTable
    from prontosync.sources.typemap import Plan

DIALECT = "sqlite"
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SORTED_AS_STORED = frozenset(["int64", "bytes", "text", "date", "uuid"])


@dataclass(frozen=True)
class Selection:
    """Which tables are read, by globs of their names in their own case, and how. ``gone`` are tables that are not."""

    tables: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    options: Mapping[str, TableOptions] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()

    def chosen(self, name: str) -> bool:
        return (
            name not in self.gone
            and any(fnmatchcase(name, glob) for glob in self.tables)
            and not any(fnmatchcase(name, glob) for glob in self.exclude)
        )


@dataclass(frozen=True)
class Shape:
    """A table that is read: its live columns without the skipped ones, and each column's plans."""

    live: LiveTable
    columns: tuple[LiveColumn, ...]
    chains: tuple[tuple[Plan, ...], ...]
    key: tuple[str, ...]

    def described(self, plans: Sequence[Plan]) -> SourceTable:
        """The table as it is with these plans, one for each column."""
        generated = tuple(column.name for column in self.columns if column.generated)
        forms = {c.name: plan.form for c, plan in zip(self.columns, plans, strict=True) if plan.form}
        declared = {column.name: column.declared for column in self.columns}
        ddl = Ddl(DIALECT, self.live.statements, declared, forms, generated)
        return SourceTable(self.live.name, self._schema(plans), ddl)

    def ordered(self, plans: Sequence[Plan], utf8: bool) -> bool:
        """Whether rows come in key order as they are stored."""
        if self.live.rowid_key:
            return self.key == (self.live.rowid_key,)
        types = {c.name: plan.type for c, plan in zip(self.columns, plans, strict=True)}
        return (
            self.live.stored_in_key_order
            and self.key == self.live.primary
            and all(types[name] in _SORTED_AS_STORED and (utf8 or types[name] != "text") for name in self.key)
        )

    def _schema(self, plans: Sequence[Plan]) -> TableSchema:
        columns = tuple(Column(c.name, plan.type) for c, plan in zip(self.columns, plans, strict=True))
        names = {column.name for column in columns}
        foreign = tuple(
            ForeignKey(key.columns, key.table, key.parent)
            for key in self.live.foreign_keys
            if key.parent and set(key.columns) <= names
        )
        uniques = {
            index.columns
            for index in self.live.indexes
            if index.exact and index.columns != self.key and set(index.columns) <= names
        }
        return TableSchema(columns, self.key, foreign, tuple(sorted(uniques)))


@dataclass(frozen=True)
class Survey:
    shapes: dict[str, Shape]
    left_out: tuple[LeftOut, ...]
    database: DatabaseDdl
    utf8: bool


def survey(catalog: Catalog, selection: Selection) -> Survey:
    """Raises SourceUnfit for a configuration that names columns which are not there."""
    shapes: dict[str, Shape] = {}
    left_out = [_virtual(name) for name in catalog.virtual if selection.chosen(name)]
    for name in sorted(catalog.tables):
        if selection.chosen(name):
            shape = _shape(catalog.tables[name], selection.options.get(name, TableOptions()))
            if isinstance(shape, Shape):
                shapes[name] = shape
            else:
                left_out.append(shape)
    sequences = {name: counter for name, counter in catalog.sequences.items() if name in shapes}
    database = DatabaseDdl(DIALECT, catalog.views, catalog.settings, sequences)
    utf8 = "encoding" not in catalog.settings
    return Survey(shapes, tuple(sorted(left_out, key=lambda one: one.name)), database, utf8)


def _shape(live: LiveTable, options: TableOptions) -> Shape | LeftOut:
    from prontosync.sources.typemap import chain

    _check_options(live, options)
    key = options.key or live.primary
    without = {*options.skip, *(options.ended - set(key))}
    columns = tuple(column for column in live.columns if column.name not in without)
    if not key:
        return LeftOut(live.name, "it has no primary key", f'{_header(live.name)}\nkey = ["…"]')
    chains = tuple(chain(column.declared, live.strict) for column in columns)
    shape = Shape(live, columns, chains, key)
    try:
        check_schema(live.name, shape.described([plans[0] for plans in chains]).schema)
    except BadSchema as error:
        return LeftOut(live.name, error.message, error.hint)
    return shape


def _check_options(live: LiveTable, options: TableOptions) -> None:
    names = {column.name for column in live.columns}
    for name, line in [*((n, "key") for n in options.key), *((n, "skip") for n in options.skip)]:
        if name not in names:
            raise SourceUnfit(
                f'table "{live.name}" has no column "{name}", which its {line} names',
                f"correct {line} under {_header(live.name)}",
            )
    for name in options.key or live.primary:
        if name in options.skip:
            raise SourceUnfit(
                f'table "{live.name}": column "{name}" is part of its key and cannot be skipped',
                f"take it out of skip under {_header(live.name)}",
            )


def _virtual(name: str) -> LeftOut:
    return LeftOut(name, "it is a virtual table, whose rows a module of SQLite keeps", None)


def _header(name: str) -> str:
    """The line of the configuration above a table's settings."""
    return f"[table.{name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)}]"
