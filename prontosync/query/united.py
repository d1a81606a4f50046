"""One table of many stores as one view: what their states hold, with the store's name beside each row.

All files are scanned once and joined with a list of which file belongs to which store: stores share segments, and a
view made of hundreds of views would take longer to plan than to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prontosync.engine.connection import literal, quoted
from prontosync.model.changes import CHANGE, UPSERT
from prontosync.model.ids import ObjectName
from prontosync.model.schema import MAX_PRECISION, Column, TableSchema, decimal_parts, folded
from prontosync.query.columns import shown, stored_as_text
from prontosync.query.views import ALL, FileStore, Views, empty
from prontosync.tables.reader import StoredTable

STORE = "_ps_store"
_FILE, _PART, _NUMBER = "_ps_file", "_ps_part", "_ps_number"
_INT_DIGITS = 19


@dataclass(frozen=True)
class Part:
    """One store's table; ``store`` is what ``_ps_store`` says of its rows."""

    store: str
    table: StoredTable


@dataclass
class United:
    """Makes the views ``all.TABLE``. A file that several stores have is verified once."""

    views: Views
    store: FileStore
    _verified: dict[ObjectName, Path] = field(default_factory=dict)

    def attach(self, tables: Mapping[str, Sequence[Part]]) -> None:
        """One view a table; ``tables`` has the stores that have it. Names that differ by case only are one table."""
        self.views.engine.execute(f"CREATE SCHEMA {quoted(ALL)}")
        by_name: dict[str, tuple[str, list[Part]]] = {}
        for name, parts in sorted(tables.items()):
            by_name.setdefault(folded(name), (name, []))[1].extend(parts)
        for name, found in by_name.values():
            self._view(name, found)

    def _view(self, name: str, parts: Sequence[Part]) -> None:
        if not self.views.named(name):
            fault = literal(f'write the table\'s name in the query: "{name}"')
            self.views.create(ALL, name, f"SELECT NULL::VARCHAR AS {STORE} WHERE error({fault})")
            return
        groups: dict[tuple[tuple[Column, ...], tuple[str, ...]], list[Part]] = {}
        for part in parts:
            schema = part.table.schema
            groups.setdefault((schema.columns, schema.key), []).append(part)
        columns = united_columns([some[0].table.schema for some in groups.values()])
        selects = [self._group(name, number, some, columns) for number, some in enumerate(groups.values())]
        self.views.create(ALL, name, " UNION ALL ".join(selects))

    def _group(self, name: str, number: int, parts: Sequence[Part], columns: Sequence[UnitedColumn]) -> str:
        """The rows of stores whose tables have the same columns and key."""
        schema = parts[0].table.schema
        segments = self._listed(f"{name} {number} segments", self._segments(parts))
        patches = self._listed(f"{name} {number} patches", self._patches(parts))
        rows = _rows(schema.columns, segments)
        if patches.files:
            rows = _laid_over(schema, rows, patches)
        return f"SELECT {', '.join([STORE, *(column.of(schema) for column in columns)])} FROM ({rows})"

    def _segments(self, parts: Sequence[Part]) -> Iterable[tuple[ObjectName, int, str, int]]:
        for number, part in enumerate(parts):
            yield from ((segment.name, number, part.store, 0) for segment in part.table.segments)

    def _patches(self, parts: Sequence[Part]) -> Iterable[tuple[ObjectName, int, str, int]]:
        for number, part in enumerate(parts):
            for order, patch in enumerate(part.table.state.patches):
                yield ObjectName(patch, "parquet"), number, part.store, order

    def _listed(self, name: str, listed: Iterable[tuple[ObjectName, int, str, int]]) -> _Listed:
        """Verified files, and a relation that tells whose they are."""
        entries = [(str(self._path(file)), part, store, order) for file, part, store, order in listed]
        if not entries:
            return _Listed((), "", False)
        relation = quoted(f"_ps_{name}")
        rows = ", ".join(f"({literal(path)}, {part}, {literal(s)}, {order})" for path, part, s, order in entries)
        self.views.engine.execute(
            f"CREATE TABLE {quoted(ALL)}.{relation} AS "
            f"SELECT * FROM (VALUES {rows}) f({_FILE}, {_PART}, {STORE}, {_NUMBER})"
        )
        several = any(order for *_, order in entries)
        return _Listed(tuple(dict.fromkeys(path for path, *_ in entries)), f"{quoted(ALL)}.{relation}", several)

    def _path(self, name: ObjectName) -> Path:
        if name not in self._verified:
            self._verified[name] = self.store.verified_path(name)
        return self._verified[name]


@dataclass(frozen=True)
class _Listed:
    """``relation`` has a row for each file of each store; ``several``: some store has more than one, in an order."""

    files: tuple[str, ...]
    relation: str
    several: bool


@dataclass(frozen=True)
class UnitedColumn:
    """A column of the union: its name, and the DuckDB type that the stores' values are brought to (None: they are of
    one type, and stay as they are; "text": as in CSV)."""

    name: str
    type: str | None

    def of(self, schema: TableSchema) -> str:
        """The column of a table that has it, or NULL."""
        own = next((column for column in schema.columns if folded(column.name) == folded(self.name)), None)
        if own is None:
            return f"NULL AS {quoted(self.name)}"
        if self.type is None:
            return shown(own.name, own.type, self.name)
        value = quoted(own.name)
        if self.type == "text":
            return f"CAST({stored_as_text(value, own.type)} AS VARCHAR) AS {quoted(self.name)}"
        return f"CAST({value} AS {self.type}) AS {quoted(self.name)}"


def united_columns(schemas: Sequence[TableSchema]) -> list[UnitedColumn]:
    """The columns of all schemas, in the order in which they come; names that differ by case only are one column."""
    found: dict[str, tuple[str, list[str]]] = {}
    for schema in schemas:
        for column in schema.columns:
            found.setdefault(folded(column.name), (column.name, []))[1].append(column.type)
    return [UnitedColumn(name, common_type(types)) for name, types in found.values()]


def common_type(logical: Sequence[str]) -> str | None:
    """What holds the values of several types: None where they are one, numbers where all are, else "text"."""
    kinds = set(logical)
    if len(kinds) == 1:
        return None
    if kinds == {"date", "timestamp"}:
        return "TIMESTAMP"
    parts = [(_INT_DIGITS, 0) if kind == "int64" else decimal_parts(kind) for kind in kinds]
    exact = [part for part in parts if part is not None]
    scale = max((s for _, s in exact), default=0)
    whole = max((p - s for p, s in exact), default=0)
    if len(exact) == len(kinds) and whole + scale <= MAX_PRECISION:
        return f"DECIMAL({whole + scale},{scale})"
    if all(part is not None or kind == "float64" for kind, part in zip(kinds, parts, strict=True)):
        return "DOUBLE"
    return "text"


def _rows(columns: Sequence[Column], listed: _Listed) -> str:
    """The rows of files with ``_ps_part``, ``_ps_store`` and ``_ps_number``; a column that a file lacks is NULL."""
    names = ", ".join(quoted(column.name) for column in columns)
    none = f"SELECT *, 0::INTEGER AS {_PART}, NULL::VARCHAR AS {STORE}, 0::INTEGER AS {_NUMBER} FROM ({empty(columns)})"
    if not listed.files:
        return none
    files = ", ".join(map(literal, listed.files))
    return (
        f"SELECT {names}, {_PART}, {STORE}, {_NUMBER} FROM ("
        f"SELECT *, NULL::VARCHAR AS {_FILE} FROM ({empty(columns)}) UNION ALL BY NAME "
        f"SELECT * FROM read_parquet([{files}], union_by_name = true, filename = '{_FILE}')) "
        f"JOIN {listed.relation} USING ({_FILE})"
    )


def _laid_over(schema: TableSchema, rows: str, patches: _Listed) -> str:
    """The rows of segments with each store's patches laid over them."""
    same = " AND ".join(f"{{}}.{name} = p.{name}" for name in [_PART, *map(quoted, schema.key)])
    columns = ", ".join([*map(quoted, schema.names), STORE])
    every = _rows([*schema.columns, Column(CHANGE, "text")], patches)
    newest = "SELECT * FROM _ps_every"
    if patches.several:
        # An anti join, for the reason given in ``views.state_sql``.
        on = f"{same.format(*['a'] * (len(schema.key) + 1))} AND p.{_NUMBER} > a.{_NUMBER}"
        newest = f"SELECT * FROM _ps_every a ANTI JOIN _ps_every p ON {on}"
    return (
        f"WITH _ps_every AS ({every}), _ps_patch AS ({newest}) SELECT {columns} FROM ({rows}) s "
        f"ANTI JOIN _ps_patch p ON {same.format(*['s'] * (len(schema.key) + 1))} "
        f"UNION ALL SELECT {columns} FROM _ps_patch WHERE {CHANGE} = '{UPSERT}'"
    )
