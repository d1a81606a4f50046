"""What an SQLite database holds: tables with columns, keys, constraints and definitions, as its own schema tells."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from prontosync.sources.connection import Connection
from prontosync.sources.statements import quoted

OWN_PREFIX = "_prontosync_"
_GENERATED = (2, 3)
_HIDDEN = 1
_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("user_version", 0),
    ("application_id", 0),
    ("encoding", "UTF-8"),
    ("auto_vacuum", 0),
    ("page_size", 4096),
    ("journal_mode", "delete"),
)


@dataclass(frozen=True)
class LiveColumn:
    """``key`` is the position in the primary key from 1, or 0. ``default`` tells whether there is one but NULL,
    ``given`` is its SQL."""

    name: str
    declared: str
    not_null: bool
    key: int
    generated: bool
    default: bool = False
    given: str = ""


@dataclass(frozen=True)
class LiveIndex:
    """``exact`` tells a unique index over plain columns, all rows and binary text; ``primary`` the primary key's own
    index; ``ascending`` that its order is that of binary values; ``constraint`` that the table's own definition made
    it. ``collations`` stand column by column."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    exact: bool
    primary: bool
    ascending: bool
    constraint: bool = False
    collations: tuple[str, ...] = ()


@dataclass(frozen=True)
class LiveForeignKey:
    """``parent`` names columns of ``table``, empty where that table is not there."""

    child: str
    columns: tuple[str, ...]
    table: str
    parent: tuple[str, ...]
    on_update: str
    on_delete: str


@dataclass(frozen=True)
class LiveTable:
    """``rowid`` is a name that means the rowid, or None where there is none (or columns hide it)."""

    name: str
    columns: tuple[LiveColumn, ...]
    strict: bool
    without_rowid: bool
    statements: tuple[str, ...]
    indexes: tuple[LiveIndex, ...] = ()
    foreign_keys: tuple[LiveForeignKey, ...] = ()
    primary: tuple[str, ...] = ()

    @property
    def as_stored(self) -> str:
        """SQL behind the table's name that makes SQLite read rows as they lie, not by an index that covers them."""
        if not self.without_rowid:
            return "NOT INDEXED"
        # There the rows lie in the primary key's index, and NOT INDEXED still allows a covering one.
        return f"INDEXED BY {quoted(next(index.name for index in self.indexes if index.primary))}"

    @property
    def stored_in_key_order(self) -> bool:
        """Whether the rows lie in the order of the primary key's values, as SQLite compares them."""
        return self.without_rowid and any(index.primary and index.ascending for index in self.indexes)

    @property
    def rowid(self) -> str | None:
        taken = {column.name.lower() for column in self.columns}
        free = [name for name in ("rowid", "_rowid_", "oid") if name not in taken]
        return free[0] if free and not self.without_rowid else None

    @property
    def rowid_key(self) -> str | None:
        """The column that is the rowid, if there is one."""
        if self.without_rowid or len(self.primary) != 1:
            return None
        column = next(c for c in self.columns if c.name == self.primary[0])
        # "INTEGER PRIMARY KEY DESC" is not the rowid and has an index of its own, but nobody can tell by the columns.
        has_index = any(index.primary for index in self.indexes)
        return column.name if column.declared.upper() == "INTEGER" and not has_index else None


@dataclass(frozen=True)
class Catalog:
    tables: dict[str, LiveTable]
    virtual: tuple[str, ...]
    views: tuple[str, ...]
    """Definitions of views, then of their triggers."""
    settings: dict[str, str] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)


def read_catalog(connection: Connection) -> Catalog:
    """The whole catalog, in the connection's transaction."""
    kinds = {
        row["name"]: row
        for row in connection.rows("SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main'")
    }
    masters = connection.rows(
        "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
    )
    ordinary = [
        row["name"]
        for row in masters
        if row["type"] == "table" and kinds.get(row["name"], {}).get("type") == "table" and not _internal(row["name"])
    ]
    columns, indexes = _columns(connection), _indexes(connection)
    primaries = {name: _primary(columns[name]) for name in ordinary}
    foreign = _foreign_keys(connection, primaries, columns)
    tables = {
        name: LiveTable(
            name,
            columns[name],
            bool(kinds[name]["strict"]),
            bool(kinds[name]["wr"]),
            _statements(masters, name),
            tuple(indexes[name]),
            tuple(foreign[name]),
            primaries[name],
        )
        for name in ordinary
    }
    virtual = tuple(sorted(row["name"] for row in masters if kinds.get(row["name"], {}).get("type") == "virtual"))
    return Catalog(tables, virtual, _views(masters), _settings(connection), _sequences(connection, tables))


def has_tables(connection: Connection) -> bool:
    """Whether there is anything but what SQLite and this program keep for themselves."""
    names = connection.rows("SELECT name FROM main.sqlite_schema")
    return any(not _internal(row["name"]) and not row["name"].startswith("sqlite_") for row in names)


def _internal(name: str) -> bool:
    return name.lower().startswith(("sqlite_", OWN_PREFIX))


def _own_trigger(row: dict[str, Any]) -> bool:
    """Whether a trigger is one of change capture, which is no part of what a table is."""
    return bool(row["type"] == "trigger") and _internal(row["name"])


def _statements(masters: list[dict[str, Any]], table: str) -> tuple[str, ...]:
    mine = [row for row in masters if row["tbl_name"].lower() == table.lower() and not _own_trigger(row)]
    return tuple(row["sql"] for kind in ("table", "index", "trigger") for row in mine if row["type"] == kind)


def _views(masters: list[dict[str, Any]]) -> tuple[str, ...]:
    views = {row["name"].lower() for row in masters if row["type"] == "view"}
    triggers = [
        row["sql"]
        for row in masters
        if row["type"] == "trigger" and row["tbl_name"].lower() in views and not _own_trigger(row)
    ]
    return (*(row["sql"] for row in masters if row["type"] == "view"), *triggers)


def _columns(connection: Connection) -> dict[str, tuple[LiveColumn, ...]]:
    found: dict[str, list[LiveColumn]] = defaultdict(list)
    given = "coalesce(upper(p.dflt_value), 'NULL') <> 'NULL' AS given, p.dflt_value"
    fields = f'p.name, p.type, p."notnull", p.pk, p.hidden, {given}'
    for row in connection.rows(_each("pragma_table_xinfo", fields, "p.cid")):
        if row["hidden"] != _HIDDEN:
            column = LiveColumn(
                row["name"],
                row["type"] or "",
                bool(row["notnull"]),
                row["pk"],
                row["hidden"] in _GENERATED,
                bool(row["given"]),
                (row["dflt_value"] or "") if row["given"] else "",
            )
            found[row["of"]].append(column)
    return defaultdict(tuple, {name: tuple(columns) for name, columns in found.items()})


def _indexes(connection: Connection) -> dict[str, list[LiveIndex]]:
    rows = connection.rows(
        'SELECT t.name AS "of", i.name AS "index", i."unique" AS uniq, i.origin, i.partial, x.seqno, x.cid, x.name,'
        ' x."desc", x.coll, x."key"'
        " FROM pragma_table_list t, pragma_index_list(t.name, 'main') i, pragma_index_xinfo(i.name, 'main') x"
        " WHERE t.schema = 'main' AND t.type = 'table' ORDER BY t.name, i.seq, x.seqno"
    )
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["key"]:
            grouped[row["of"], row["index"]].append(row)
    found: dict[str, list[LiveIndex]] = defaultdict(list)
    for (table, _), parts in grouped.items():
        found[table].append(_index(parts))
    return found


def _index(parts: list[dict[str, Any]]) -> LiveIndex:
    first = parts[0]
    plain = all(part["cid"] >= 0 for part in parts)
    binary = all((part["coll"] or "BINARY").upper() == "BINARY" for part in parts)
    return LiveIndex(
        name=first["index"],
        columns=tuple(part["name"] for part in parts if part["cid"] >= 0),
        unique=bool(first["uniq"]),
        exact=bool(first["uniq"]) and plain and binary and not first["partial"],
        primary=first["origin"] == "pk",
        ascending=binary and not any(part["desc"] for part in parts),
        constraint=first["origin"] in ("pk", "u"),
        collations=tuple((part["coll"] or "BINARY").upper() for part in parts if part["cid"] >= 0),
    )


def _primary(columns: tuple[LiveColumn, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in sorted(columns, key=lambda c: c.key) if column.key)


def _foreign_keys(
    connection: Connection, primaries: dict[str, tuple[str, ...]], columns: dict[str, tuple[LiveColumn, ...]]
) -> dict[str, list[LiveForeignKey]]:
    rows = connection.rows(
        _each(
            "pragma_foreign_key_list",
            'p.id, p.seq, p."table", p."from", p."to", p.on_update, p.on_delete',
            "p.id, p.seq",
        )
    )
    grouped: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row["of"], row["id"]].append(row)
    actual = {name.lower(): name for name in primaries}
    found: dict[str, list[LiveForeignKey]] = defaultdict(list)
    for (child, _), parts in sorted(grouped.items(), reverse=True):
        table = actual.get(parts[0]["table"].lower(), parts[0]["table"])
        names = {column.name.lower(): column.name for column in columns[table]}
        parent = tuple(names.get((part["to"] or "").lower(), part["to"] or "") for part in parts)
        if not all(parent):
            parent = primaries.get(table, ())
        here = {column.name.lower(): column.name for column in columns[child]}
        mine = tuple(here[part["from"].lower()] for part in parts)
        key = LiveForeignKey(
            child, mine, table, parent if table in primaries else (), parts[0]["on_update"], parts[0]["on_delete"]
        )
        found[child].append(key)
    return found


def _each(pragma: str, fields: str, order: str) -> str:
    return (
        f"SELECT t.name AS \"of\", {fields} FROM pragma_table_list t, {pragma}(t.name, 'main') p"
        f" WHERE t.schema = 'main' AND t.type = 'table' ORDER BY t.name, {order}"
    )


def _settings(connection: Connection) -> dict[str, str]:
    found = {name: connection.value(f"PRAGMA main.{name}") for name, _ in _DEFAULTS}
    settings = {name: str(found[name]) for name, default in _DEFAULTS if found[name] != default}
    # Only WAL is kept in the file; the other modes are a connection's own.
    if settings.get("journal_mode", "wal") != "wal":
        del settings["journal_mode"]
    return settings


def _sequences(connection: Connection, tables: dict[str, LiveTable]) -> dict[str, int]:
    """Counters that stand above the highest rowid, which rows alone would not bring back."""
    if not connection.rows("SELECT name FROM main.sqlite_schema WHERE name = 'sqlite_sequence'"):
        return {}
    ahead = {}
    for row in connection.rows("SELECT name, CAST(seq AS INTEGER) AS seq FROM main.sqlite_sequence WHERE seq > 0"):
        table = tables.get(row["name"])
        if table is not None and table.rowid:
            highest = connection.value(f"SELECT coalesce(max({table.rowid}), 0) FROM main.{quoted(table.name)}")
            if row["seq"] > highest:
                ahead[table.name] = row["seq"]
    return ahead
