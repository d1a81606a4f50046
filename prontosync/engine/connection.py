"""One locked-down DuckDB connection: no extensions, no files but those allowed, no settings changed afterwards."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prontosync.errors import NoSpace, UsageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

DEFAULT_MEMORY = "1GB"
STREAMING_MEMORY = "120MB"
"""For sorts of any size, which spill what does not fit: a process that sorts 20 M rows stays at 372 MB resident."""


class QueryError(UsageError):
    """A query that DuckDB does not accept, or that the lock-down refuses."""

    id = "query"


class EngineFull(NoSpace):
    """The sort or join did not fit in memory and the temporary folder."""

    id = "engine-full"


class Engine:
    """A connection for one command and its threads. ``readable`` folders may be read by ``read_parquet``; nothing may
    be written.

    ``memory`` bounds DuckDB's buffers; what does not fit is spilled to ``spill`` (None: never).
    """

    def __init__(
        self, readable: Sequence[Path] = (), spill: Path | None = None, memory: str = DEFAULT_MEMORY, threads: int = 2
    ) -> None:
        self._settings = (readable, spill, memory, threads)
        self._names = itertools.count()
        self._lock = threading.RLock()
        self.sorting = threading.Lock()
        """Two streamed sorts at a time would starve each other: held by the one that is at it."""

    @property
    def _con(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            return self._opened

    @cached_property
    def _opened(self) -> duckdb.DuckDBPyConnection:
        """Made at first use: with the library's import it costs 70 ms, and many commands need none."""
        import duckdb

        con = duckdb.connect(":memory:")
        _lock_down(con, *self._settings)
        return con

    @property
    def streaming(self) -> Engine:
        """An engine for sorts that stream: held to ``STREAMING_MEMORY``, it spills what does not fit. Joins of many
        wide rows, whose results are in memory anyway, need more than that."""
        with self._lock:
            return self._streaming

    @cached_property
    def _streaming(self) -> Engine:
        readable, spill, _, threads = self._settings
        return Engine(readable, spill, STREAMING_MEMORY, threads)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if "_streaming" in self.__dict__:
            self._streaming.close()
        if "_opened" in self.__dict__:
            self._opened.close()

    def table(self, query: str, params: Sequence[Any] = (), **relations: Any) -> pa.Table:
        """The rows of a query as one Arrow table. ``relations``: Arrow tables or readers, by the name in the query."""
        with self._lock, _translated(), _registered(self._con, relations):
            return _plain(self._con.sql(query, params=list(params) or None)).to_arrow_table()

    def reader(self, query: str, rows: int, **relations: Any) -> Generator[pa.RecordBatch, None, None]:
        """The rows of a query over ``relations`` alone, at most ``rows`` a batch. Other queries may run meanwhile."""
        # An open result owns its connection, hence one of its own; settings and lock-down belong to the database.
        with _translated(), closing(self._con.cursor()) as con, _registered(con, relations):
            stream = _plain(con.sql(query)).to_arrow_reader(rows)
            try:
                while (batch := _next(stream)) is not None:
                    yield batch
            finally:
                stream.close()

    def rows(self, query: str, params: Sequence[Any] = (), **relations: Any) -> list[tuple[Any, ...]]:
        """The rows of a query as Python tuples, for few rows."""
        # Through Arrow, because DuckDB's own conversion of zoned timestamps wants the package pytz.
        table = self.table(query, params, **relations)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def matching(self, relation: pa.Table, condition: str) -> pa.Table:
        """The rows that satisfy an SQL condition. Only a whole expression is taken: what would end it, or add to the
        query around it, is a QueryError."""
        with _translated():
            return self._con.from_arrow(relation).filter(condition).to_arrow_table()

    def check_select(self, query: str) -> None:
        """Raises QueryError unless ``query`` is one statement that only reads: SELECT, VALUES, FROM, SHOW, DESCRIBE."""
        import duckdb

        with _translated():
            statements = self._con.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError("the query is not one SELECT", "ask with a single SELECT; nothing else is run")

    def with_schema(self, query: str, word: str) -> str:
        """The query with a reserved word in double quotes wherever it stands before a dot, as the name of a schema."""
        import duckdb

        text = query.encode()
        with _translated():
            starts = [start for start, kind in duckdb.tokenize(query) if kind == duckdb.token_type.keyword]
        pattern = re.compile(rb"(" + re.escape(word.encode()) + rb")\s*\.(?![0-9])", re.IGNORECASE)
        for match in reversed([found for start in starts if (found := pattern.match(text, start))]):
            text = text[: match.start()] + b'"' + match[1] + b'"' + text[match.end(1) :]
        return text.decode()

    def columns(self, query: str) -> list[tuple[str, str]]:
        """The names and DuckDB types of what a query gives, without running it."""
        with _translated():
            relation = _plain(self._con.sql(query))
            return [(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]

    def execute(self, query: str, params: Sequence[Any] = ()) -> None:
        with _translated():
            self._con.execute(query, list(params) or None)

    def register(self, name: str, relation: Any) -> None:
        """Make an Arrow table visible under a name until the engine is closed."""
        self._con.register(name, relation)

    def fresh_name(self) -> str:
        """A relation name that nothing else uses."""
        return f"_ps_r{next(self._names)}"


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _plain(relation: duckdb.DuckDBPyRelation | None) -> duckdb.DuckDBPyRelation:
    if relation is None:
        raise QueryError("the query gives no rows", "ask with SELECT")
    return relation


@contextmanager
def _registered(con: duckdb.DuckDBPyConnection, relations: dict[str, Any]) -> Iterator[None]:
    for name, relation in relations.items():
        con.register(name, relation)
    try:
        yield
    finally:
        for name in relations:
            con.unregister(name)


def _next(stream: pa.RecordBatchReader) -> pa.RecordBatch | None:
    import pyarrow as pa

    try:
        return stream.read_next_batch()
    except StopIteration:
        return None
    except (OSError, pa.ArrowException) as error:  # how Arrow hands on what DuckDB says after the first batch
        words = _first_line(error)
        raise (EngineFull if words.startswith("Out of Memory") else QueryError)(words) from error


@contextmanager
def _translated() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise EngineFull(f"not enough memory or temporary space: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise QueryError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _lock_down(
    con: duckdb.DuckDBPyConnection, readable: Sequence[Path], spill: Path | None, memory: str, threads: int
) -> None:
    settings: dict[str, Any] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # else a table name would find our own variables
        "memory_limit": memory,
        "threads": threads,
        "TimeZone": "UTC",
        "temp_directory": str(spill) if spill else "",
        "allowed_directories": [str(folder.resolve()) for folder in readable],
    }
    for name, value in settings.items():
        con.execute(f"SET GLOBAL {name} = $1", [value])
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
