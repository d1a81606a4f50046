"""Tables of revisions as views over Parquet files, each file verified before a query may read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prontosync.disk.objects import ObjectStore
from prontosync.engine.arrow import duckdb_type
from prontosync.engine.connection import Engine, QueryError, literal, quoted
from prontosync.history.commits import Tree
from prontosync.model.changes import CANDIDATE_COLUMNS, CHANGE, PRESENT, UPSERT
from prontosync.model.ids import ObjectName
from prontosync.model.schema import Column
from prontosync.query.columns import shown_columns
from prontosync.tables.reader import StoredTable

MAIN, CONFLICTS, ALL = "main", "conflicts", "all"
TAKEN = (MAIN, CONFLICTS, ALL, "information_schema", "pg_catalog", "temp", "system")
"""Names of schemas that an attached revision cannot have."""


class FileStore(ObjectStore, Protocol):
    """A store whose objects are files."""

    def verified_path(self, name: ObjectName) -> Path:
        """The object's path, after its bytes were found to be right. Raises MissingObject or DamagedObject."""
        ...


@dataclass(frozen=True)
class Views:
    """Makes views in an engine. ``query`` is what will be asked: only tables that it names are verified and read."""

    engine: Engine
    query: str

    def attach(self, schema: str, tree: Tree, store: FileStore) -> None:
        """One view a table, in a schema of its own."""
        if schema != MAIN:
            self.engine.execute(f"CREATE SCHEMA {quoted(schema)}")
        for name in sorted(tree.tables):
            self._view(schema, StoredTable(store, self.engine, name, tree.tables[name]), store)

    def conflicts(self, tree: Tree, store: FileStore) -> None:
        """The open conflicts: ``conflicts.TABLE``, a row a candidate."""
        self.engine.execute(f"CREATE SCHEMA {CONFLICTS}")
        for name, identity in sorted(tree.conflicts.items()):
            schema = StoredTable(store, self.engine, name, tree.tables[name]).schema
            extra = [Column(column, "bool" if column == PRESENT else "text") for column in CANDIDATE_COLUMNS]
            path = store.verified_path(ObjectName(identity, "parquet"))
            shown = ", ".join([shown_columns(schema), *CANDIDATE_COLUMNS])
            self.create(CONFLICTS, name, f"SELECT {shown} FROM ({_files([*schema.columns, *extra], [path])})")

    def _view(self, schema: str, table: StoredTable, store: FileStore) -> None:
        if self.named(table.name):
            self.create(schema, table.name, state_sql(table, *state_paths(table, store)))
            return
        # A query that finds its tables at run time must not take an unread one for an empty one.
        fault = literal(f'write the table\'s name in the query: "{table.name}"')
        self.create(schema, table.name, f"{empty(table.schema.columns, shown=True)} WHERE error({fault})")

    def create(self, schema: str, name: str, sql: str) -> None:
        """A view of what ``sql`` gives. Raises QueryError."""
        try:
            self.engine.execute(f"CREATE VIEW {quoted(schema)}.{quoted(name)} AS {sql}")
        except QueryError as error:
            raise QueryError(f'table "{name}" cannot be queried: {error.message}') from error

    def named(self, table: str) -> bool:
        """Whether the query may be about a table of this name."""
        return table.replace('"', '""').lower() in self.query.lower()


def state_paths(table: StoredTable, store: FileStore) -> tuple[list[Path], list[Path]]:
    """The verified files of a table state: segments, and patches in their order."""
    segments = [store.verified_path(segment.name) for segment in table.segments]
    return segments, [store.verified_path(ObjectName(patch, "parquet")) for patch in table.state.patches]


def state_sql(table: StoredTable, segments: Sequence[Path], patches: Sequence[Path]) -> str:
    """The SELECT that gives a table state's rows, for any DuckDB: the segments, with the patches laid over them."""
    schema = table.schema
    rows = _files(schema.columns, segments)
    if not patches:
        return f"SELECT {shown_columns(schema)} FROM ({rows})"
    columns = ", ".join(quoted(name) for name in schema.names)
    on = " AND ".join(f"{{}}.{quoted(name)} = p.{quoted(name)}" for name in schema.key)
    marked = [*schema.columns, Column(CHANGE, "text")]
    numbered = [
        f"SELECT *, {number} AS _ps_number FROM ({_files(marked, [patch])})" for number, patch in enumerate(patches)
    ]
    newest = numbered[0]
    if len(patches) > 1:
        # Not "the first row of each key", of which DuckDB makes an aggregate that turns -0.0 into 0.0.
        every = " UNION ALL ".join(numbered)
        newest = (
            f"WITH _ps_all AS ({every}) SELECT * FROM _ps_all a "
            f"ANTI JOIN _ps_all p ON {on.format(*['a'] * len(schema.key))} AND p._ps_number > a._ps_number"
        )
    return (
        f"WITH _ps_patch AS ({newest}) "
        f"SELECT {shown_columns(schema)} FROM (SELECT {columns} FROM ({rows}) s "
        f"ANTI JOIN _ps_patch p ON {on.format(*['s'] * len(schema.key))} "
        f"UNION ALL SELECT {columns} FROM _ps_patch WHERE {CHANGE} = '{UPSERT}')"
    )


def _files(columns: Sequence[Column], paths: Sequence[Path]) -> str:
    """The rows of files in the columns' types; a column that a file lacks is NULL."""
    if not paths:
        return empty(columns)
    names = ", ".join(quoted(column.name) for column in columns)
    listed = ", ".join(literal(str(path)) for path in paths)
    return (
        f"SELECT {names} FROM ({empty(columns)} "
        f"UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name = true))"
    )


def empty(columns: Sequence[Column], shown: bool = False) -> str:
    """No rows, in the types of columns, as they are stored or as they are shown; ``shown`` goes on with WHERE."""
    kinds = {"uuid": "UUID", "any": "VARCHAR"} if shown else {}
    typed = (f"NULL::{kinds.get(c.type, duckdb_type(c.type))} AS {quoted(c.name)}" for c in columns)
    return f"SELECT {', '.join(typed)}" + ("" if shown else " WHERE false")
