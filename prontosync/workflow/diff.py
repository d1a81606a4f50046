"""Diff: the rows and schemas in which two states differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from prontosync.errors import NotFound, UsageError
from prontosync.history.diff import SchemaChange, TableDiff, TreeDiff
from prontosync.model.changes import CHANGE
from prontosync.model.ids import object_id
from prontosync.model.keys import parse_key
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, Value, canonical, restored
from prontosync.query.chunks import csv_chunks
from prontosync.query.columns import stored_as_text
from prontosync.tables.compare import Delta, Deltas
from prontosync.workflow.session import Session
from prontosync.workflow.states import State

BATCH_ROWS = 1_000
_BATCH_BYTES = 16 << 20
_NAME_BYTES = 200


class UnknownRow(NotFound):
    id = "unknown-key"


class OneTable(UsageError):
    id = "one-table"


@dataclass(frozen=True)
class RowChange:
    """One row that differs. ``kind`` is insert, update or delete; ``old`` or ``new`` is None where it was not there."""

    kind: str
    key: Row
    old: Row | None
    new: Row | None


class Diff:
    """From one state to another. ``tables`` limits it; ``key``, as people write it, to one row of the one table."""

    def __init__(
        self, session: Session, old: State, new: State, tables: Sequence[str] = (), key: str | None = None
    ) -> None:
        if key is not None and len(tables) != 1:
            raise OneTable("a key needs the one table that it is of", "add --table TABLE")
        self._session, self._key, self._tables = session, key, tables
        self._trees = TreeDiff(session.engine, old.store, old.tree, new.store, new.tree, tables, session.progress)

    def schema_changes(self, *, all_of_it: bool = False) -> list[SchemaChange]:
        return self._trees.schema_changes(all_of_it=all_of_it)

    def tables(self) -> Iterator[TableDiff]:
        """Tables with rows that differ, in name order. Raises UnknownRow where neither state has the row asked for."""
        if self._key is None:
            yield from self._trees.tables()
            return
        text, table = self._key, self._tables[0]
        found = self._trees.row(table, lambda schema: _parsed(text, table, schema))
        if found is None:
            raise UnknownRow(f'no row of table "{table}" has the key {text}, in neither state')
        if found.deltas:
            yield found

    def csv(self, diff: TableDiff) -> Iterator[bytes]:
        """One table's changes as CSV: ``change``, and each column as ``old.…`` and ``new.…``."""
        schema = diff.deltas.schema
        parts, names = [CHANGE], ["change"]
        for i, column in enumerate(schema.columns):
            for side, word in (("o", "old"), ("n", "new")):
                parts.append(f"{stored_as_text(f'{side}{i}', column.type)} AS {side}{i}")
                names.append(f"{word}.{column.name}")
        query = f"SELECT {', '.join(parts)} FROM _ps_d"
        engine = self._session.engine
        return csv_chunks(
            names, (batch for d in diff.deltas for batch in engine.reader(query, BATCH_ROWS, _ps_d=d.table))
        )


@dataclass(frozen=True)
class ChangedColumns:
    """Some rows that differ, column by column: of each row its kind, and of each column of the schema its old and its
    new values. The side that lacks a row has None everywhere."""

    kinds: Sequence[str]
    old: Sequence[Sequence[Value]]
    new: Sequence[Sequence[Value]]

    def first(self, rows: int) -> ChangedColumns:
        return ChangedColumns(
            self.kinds[:rows], [column[:rows] for column in self.old], [column[:rows] for column in self.new]
        )


def changed_columns(deltas: Iterable[Delta]) -> Iterator[ChangedColumns]:
    """The rows of all deltas in turn, for printing: 1,000 at a time, of large rows fewer."""
    for delta in deltas:
        table, columns = delta.table, range(len(delta.schema.columns))
        each = max(1, table.nbytes // max(1, table.num_rows))
        rows = max(1, min(BATCH_ROWS, _BATCH_BYTES // each))
        for start in range(0, table.num_rows, rows):
            part = table.slice(start, rows)
            yield ChangedColumns(
                part.column(CHANGE).to_pylist(),
                [part.column(f"o{i}").to_pylist() for i in columns],
                [part.column(f"n{i}").to_pylist() for i in columns],
            )


def row_changes(deltas: Deltas) -> Iterator[RowChange]:
    """The same row by row."""
    key = [deltas.schema.names.index(name) for name in deltas.schema.key]
    for part in changed_columns(deltas):
        for kind, old, new in zip(part.kinds, zip(*part.old, strict=True), zip(*part.new, strict=True), strict=True):
            gone, came = kind == "delete", kind == "insert"
            row = old if gone else new
            yield RowChange(kind, tuple(row[i] for i in key), None if came else old, None if gone else new)


def file_name(table: str, ending: str) -> str:
    """A file name for a table of any name: what is unusual in it is written as ``%XX``."""
    from urllib.parse import quote

    name = quote(table, safe=" ()+,=@")
    if name.startswith((".", "-", " ")):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > _NAME_BYTES:
        name = f"{name[:_NAME_BYTES]}-{object_id(table.encode())[:12]}"
    return PurePosixPath(name + ending).name


def _parsed(text: str, table: str, schema: TableSchema) -> Row:
    return tuple(restored(canonical(value)) for value in parse_key(text, table, schema))
