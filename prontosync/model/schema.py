"""What a table is, apart from any database: columns, types, key and constraints.

Types are a closed list, written as text: ``bool``, ``int64``, ``float64``, ``decimal(p,s)``, ``text``, ``bytes``,
``date``, ``time``, ``timestamp``, ``timestamptz``, ``json``, ``uuid``, ``any``. ``any`` carries a SQLite value of any
storage class exactly, as bytes: ``i`` and the integer's decimal digits, ``r`` and the real's shortest round-trip text,
``t`` and the UTF-8 text, ``b`` and the blob.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import msgspec

from prontosync.errors import Unfit

RESERVED_PREFIX = "_ps_"
SIMPLE_TYPES = frozenset(
    ["bool", "int64", "float64", "text", "bytes", "date", "time", "timestamp", "timestamptz", "json", "uuid", "any"]
)
_LOWER = {ord(letter): ord(letter.lower()) for letter in string.ascii_uppercase}
_DECIMAL = re.compile(r"decimal\(([1-9][0-9]?),(0|[1-9][0-9]?)\)")
MAX_PRECISION = 38


class BadSchema(Unfit):
    id = "bad-schema"


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    type: str


class ForeignKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``columns`` of this table name a row of ``table`` by its ``parent`` columns."""

    columns: tuple[str, ...]
    table: str
    parent: tuple[str, ...]


class TableSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="schema"):
    """A logical schema. ``columns`` stand in the source's order; order is not part of what a digest sees."""

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    checks: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def values(self) -> tuple[str, ...]:
        """The columns outside the key, in the source's order."""
        return tuple(column.name for column in self.columns if column.name not in self.key)

    @property
    def key_types(self) -> tuple[tuple[str, str], ...]:
        """The key's columns with their types, in key order."""
        return tuple((name, self.type_of(name)) for name in self.key)

    def type_of(self, name: str) -> str:
        """The type of a column; KeyError when there is none of that name."""
        return next((column.type for column in self.columns if column.name == name), None) or _missing(name)


class Ddl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="ddl"):
    """The source's own definition of one table.

    ``statements`` rebuild it, in order (table, indexes, triggers). ``declared`` holds each column's declared type;
    ``forms`` tells for a column how its values are written where that needs telling (a timestamp's text form, …).
    ``generated`` names columns that the database computes; they are read and never written.
    """

    dialect: str
    statements: tuple[str, ...]
    declared: dict[str, str] = {}
    forms: dict[str, str] = {}
    generated: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


class DatabaseDdl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="database"):
    """What belongs to a source as a whole: views, settings stored in the file, counters ahead of their tables."""

    dialect: str
    statements: tuple[str, ...] = ()
    settings: dict[str, str] = {}
    sequences: dict[str, int] = {}
    requires: tuple[str, ...] = ()


def _missing(name: str) -> str:
    raise KeyError(name)


def is_type(text: str) -> bool:
    """Whether ``text`` is one of the closed list."""
    return text in SIMPLE_TYPES or decimal_parts(text) is not None


def decimal_parts(text: str) -> tuple[int, int] | None:
    """(precision, scale) of a decimal type, or None for any other text."""
    found = _DECIMAL.fullmatch(text)
    if not found:
        return None
    precision, scale = int(found[1]), int(found[2])
    return (precision, scale) if scale <= precision <= MAX_PRECISION else None


def check_schema(table: str, schema: TableSchema) -> None:
    """Raises BadSchema where a schema is not sound: types off the list, names twice or reserved, a key that is not
    there."""
    names = schema.names
    if len(set(names)) != len(names):
        raise BadSchema(f'table "{table}" has two columns of one name')
    same = [folded(name) for name in names]
    twins = [name for name in names if same.count(folded(name)) > 1] if len(set(same)) != len(same) else []
    if twins:
        raise BadSchema(
            f'table "{table}" has columns "{twins[0]}" and "{twins[1]}", which differ only by case',
            f'rename one, or leave the table out: exclude = ["{table}"] under [source]',
        )
    reserved = [name for name in names if name.lower().startswith(RESERVED_PREFIX)]
    if reserved:
        raise BadSchema(
            f'table "{table}" has a column "{reserved[0]}": names that start with "{RESERVED_PREFIX}" are reserved',
            f'leave the table out: exclude = ["{table}"] under [source]',
        )
    unknown = [column for column in schema.columns if not is_type(column.type)]
    if unknown:
        raise BadSchema(f'table "{table}", column "{unknown[0].name}": type "{unknown[0].type}" is unknown')
    if not schema.key or not set(schema.key) <= set(names) or len(set(schema.key)) != len(schema.key):
        raise BadSchema(f'table "{table}": its key {list(schema.key)} is not made of its columns')


def differences(ours: TableSchema, theirs: TableSchema) -> list[str]:
    """In words, how two schemas differ where that matters to rows: columns, types, key. Empty where they agree."""
    mine = {column.name: column.type for column in ours.columns}
    other = {column.name: column.type for column in theirs.columns}
    words = [f'column "{name}" was dropped' for name in mine if name not in other]
    words += [f'column "{name}" was added' for name in other if name not in mine]
    words += [
        f'column "{name}" is {other[name]}, was {mine[name]}'
        for name in mine
        if name in other and other[name] != mine[name]
    ]
    if ours.key != theirs.key:
        words.append(f"the key is {_names(theirs.key)}, was {_names(ours.key)}")
    return words


def constraint_differences(ours: TableSchema, theirs: TableSchema) -> list[str]:
    """In words, how two schemas differ where that matters to what a database accepts, and in the order of columns."""
    mine, other = _constraints(ours), _constraints(theirs)
    words = [f"{words} was dropped" for words in mine if words not in other]
    words += [f"{words} was added" for words in other if words not in mine]
    both = [name for name in theirs.names if name in ours.names]
    if both != [name for name in ours.names if name in theirs.names]:
        words.append(f"the order of columns is {_names(theirs.names)}, was {_names(ours.names)}")
    return words


def _constraints(schema: TableSchema) -> list[str]:
    found = [
        f'the foreign key {_names(key.columns)} to "{key.table}" {_names(key.parent)}' for key in schema.foreign_keys
    ]
    found += [f"the constraint unique {_names(unique)}" for unique in schema.uniques]
    return found + [f"the check {check}" for check in schema.checks]


def folded(name: str) -> str:
    """A name as SQLite and DuckDB compare names: without regard to the case of ASCII letters."""
    return name.translate(_LOWER)


def _names(names: Sequence[str]) -> str:
    return "(" + ", ".join(names) + ")"
