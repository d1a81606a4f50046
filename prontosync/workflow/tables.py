"""The tables of a revision: what they are, the files that hold them, and their rows as a file of another format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prontosync.engine.arrow import arrow_schema
from prontosync.errors import UsageError
from prontosync.model.progress import Progress, by_table, told_as
from prontosync.model.values import row_to_json
from prontosync.query.chunks import csv_chunks, parquet_chunks
from prontosync.query.columns import stored_as_text
from prontosync.query.views import state_paths, state_sql
from prontosync.tables.reader import StoredTable
from prontosync.workflow.session import Session
from prontosync.workflow.states import State

BATCH_ROWS = 10_000
FORMATS = (".csv", ".parquet", ".jsonl")


class UnknownFormat(UsageError):
    id = "unknown-format"


@dataclass(frozen=True)
class TableSummary:
    """``columns`` are pairs of name and logical type."""

    table: str
    rows: int
    digest: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TableFiles:
    """The files of a table's state, absolute, and the query that reads its rows from them with any DuckDB."""

    segments: tuple[Path, ...]
    patches: tuple[Path, ...]
    sql: str


def list_tables(session: Session, state: State) -> Iterator[TableSummary]:
    """In name order; a digest that the state lacks is computed."""
    for name in by_table(sorted(state.tree.tables), "computing the digest of", session.progress):
        table = state.table(session, name)
        columns = tuple((column.name, column.type) for column in table.schema.columns)
        yield TableSummary(name, table.state.rows, table.digest(), table.schema.key, columns)


def table_files(session: Session, state: State, name: str) -> TableFiles:
    """Raises NoSuchTable, MissingObject, DamagedObject: every file is verified."""
    table = state.table(session, name)
    segments, patches = state_paths(table, state.store)
    return TableFiles(tuple(segments), tuple(patches), state_sql(table, segments, patches))


def export_format(path: str) -> str:
    """The format that a file's ending asks for. Raises UnknownFormat."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise UnknownFormat(f'"{path}" does not end with a format', f"end it with {', '.join(FORMATS)}")
    return ending


def csv_of(session: Session, table: StoredTable) -> Iterator[bytes]:
    """All rows as CSV, in key order."""
    arrow = table.arrow
    schema = table.schema
    parts = ", ".join(f"{stored_as_text(f'c{i}', c.type)} AS c{i}" for i, c in enumerate(schema.columns))

    def batches() -> Iterator[Any]:
        for batch in _told(table, session.progress):
            rows = batch.rename_columns([f"c{i}" for i in range(len(arrow))])
            yield from session.engine.reader(f"SELECT {parts} FROM _ps_b", BATCH_ROWS, _ps_b=rows)

    return csv_chunks(schema.names, batches())


def parquet_of(session: Session, table: StoredTable) -> Iterator[bytes]:
    """All rows as one Parquet file, in key order, in the table's own types."""
    return parquet_chunks(arrow_schema(table.schema), _told(table, session.progress))


def json_rows(session: Session, table: StoredTable) -> Iterator[dict[str, Any]]:
    """All rows as the contract's JSON, in key order."""
    types = {column.name: column.type for column in table.schema.columns}
    for batch in _told(table, session.progress):
        for start in range(0, batch.num_rows, BATCH_ROWS):
            for row in batch.slice(start, BATCH_ROWS).to_pylist():
                yield row_to_json(row, types)


def _told(table: StoredTable, progress: Progress) -> Iterator[Any]:
    return told_as(table.batches(), f'exporting "{table.name}"', table.state.rows, progress)
