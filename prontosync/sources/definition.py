"""Whether a table's definition, which may come from anywhere, can be made and tried here without harm.

It is parsed once in a database in memory where nothing is allowed but to make that one table, and where only functions
are known whose results are no longer than what they are given.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache

from prontosync.model.schema import Ddl
from prontosync.sources.statements import quoted

DIALECT = "sqlite"
MAX_BYTES = 64 << 10
"""Of a definition that is tried: a longer expression would be worked through for every row."""
_CONDITIONS = re.compile(r"\b(?:CHECK|NULL|STRICT)\b", re.IGNORECASE)
_BEYOND_NULLS = re.compile(r"\b(?:CHECK|STRICT)\b", re.IGNORECASE)
_DENIED = 1
_CATALOG = frozenset(["sqlite_master", "sqlite_sequence"])
_FUNCTIONS = frozenset([
    "abs", "ceil", "ceiling", "coalesce", "date", "datetime", "floor", "glob", "ifnull", "iif", "if", "instr",
    "json_array_length", "json_extract", "json_type", "json_valid", "julianday", "length", "like", "likelihood",
    "likely", "lower", "ltrim", "max", "min", "mod", "nullif", "octet_length", "round", "rtrim", "sign", "sqrt",
    "strftime", "substr", "substring", "time", "trim", "trunc", "typeof", "unhex", "unicode", "unixepoch",
    "unlikely", "upper", "->", "->>",
])  # fmt: skip
"""No replace, printf or hex: nested, they make a gigabyte of a few bytes."""
_GENERATED = (2, 3)


@dataclass(frozen=True)
class Definition:
    """A table's own statement. ``not_null`` are columns that refuse NULL; ``nulls_only`` tells that nothing else is
    refused; ``columns`` are those that may be written."""

    table: str
    statement: str
    columns: tuple[str, ...]
    not_null: tuple[str, ...]
    nulls_only: bool


def has_conditions(ddl: Ddl) -> bool:
    """Whether a definition may refuse a row for what it holds; told by its words, so it may be a false alarm."""
    return ddl.dialect != DIALECT or any(_CONDITIONS.search(text) for text in ddl.statements[:1])


def definition_of(table: str, ddl: Ddl) -> Definition | str:
    """The definition, or why it cannot be tried here."""
    if ddl.dialect != DIALECT:
        return f'its definition is not one of SQLite but of "{ddl.dialect}"'
    if not ddl.statements:
        return "it has no definition"
    return _parsed(table, ddl.statements[0])


@lru_cache(maxsize=256)
def _parsed(table: str, statement: str) -> Definition | str:
    if not statement.startswith("CREATE TABLE "):
        return "its definition is not that of a plain table"
    if len(statement.encode()) > MAX_BYTES:
        return f"its definition is longer than {MAX_BYTES} bytes"
    with closing(sqlite3.connect(":memory:")) as database:
        database.set_authorizer(_only_this_table(table))
        try:
            database.execute(statement)
            database.set_authorizer(None)
            made = database.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,))
            if made.fetchall() != [(statement,)]:
                return "its definition does not make the table that it is for"
            columns = database.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            return f"its definition cannot be tried here: {error}"
    return _described(table, statement, columns)


def _described(
    table: str, statement: str, columns: list[tuple[int, str, str, int, str | None, int, int]]
) -> Definition:
    not_null = tuple(name for _, name, _, refuses, _, _, _ in columns if refuses)
    generated = {name for _, name, _, _, _, _, hidden in columns if hidden in _GENERATED}
    nulls_only = not _BEYOND_NULLS.search(statement) and not generated & set(not_null)
    written = tuple(name for _, name, *_ in columns if name not in generated)
    return Definition(table, statement, written, not_null, nulls_only)


def _only_this_table(table: str) -> Callable[..., int]:
    def allowed(action: int, first: str | None, second: str | None, database: str | None, _: str | None) -> int:
        if database not in ("main", None):
            return _DENIED
        fine = {
            sqlite3.SQLITE_CREATE_TABLE: first in (table, "sqlite_sequence"),
            sqlite3.SQLITE_CREATE_INDEX: second == table,
            sqlite3.SQLITE_INSERT: first in _CATALOG,
            sqlite3.SQLITE_UPDATE: first in _CATALOG,
            sqlite3.SQLITE_READ: first == table or first in _CATALOG,
            sqlite3.SQLITE_FUNCTION: second is not None and second.lower() in _FUNCTIONS,
        }
        return sqlite3.SQLITE_OK if fine.get(action) else _DENIED

    return allowed
