"""One open SQLite file, through ADBC: statements, bound rows, streams; foreign errors become ours here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import adbc_driver_manager as adbc
import adbc_driver_sqlite
import pyarrow as pa

from prontosync.errors import NoSpace, ProntoError
from prontosync.sources.contract import SourceBusy, SourceMissing, SourceUnfit
from prontosync.sources.door import door

Mode = Literal["ro", "rw", "rwc"]
FOREIGN = (adbc.Error, OSError, pa.ArrowException, UnicodeDecodeError)
_WORDS = re.compile(
    r"(?:^[A-Z_]+: )?(?:\[SQLite\] )?(?:[Ff]ailed to (?:execute|prepare|step) query: )?(.*?)(?:\nquery: .*)?$",
    re.DOTALL,
)
_BUSY = ("is locked", "database is busy", "locking protocol")
_NO_DATABASE = ("file is not a database", "malformed", "unsupported file format")


class SourceFull(NoSpace):
    """No space for the live database or its temporary files."""

    id = "source-full"


class ConstraintFailed(Exception):
    """SQLite refused a statement for the sake of a constraint or a trigger's RAISE. Never leaves this room."""


class Connection:
    """Autocommit: transactions are plain SQL. One thread at a time."""

    def __init__(self, path: Path, database: adbc.AdbcDatabase, connection: adbc.AdbcConnection) -> None:
        self.path = path
        self._database, self._connection = database, connection

    def run(self, sql: str) -> None:
        """Execute one statement and drop what it returns. Raises ConstraintFailed, Source…"""
        with self._statement(sql) as statement:
            statement.execute_update()

    def bind(self, sql: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Execute one statement once for each row of ``batches``, whose columns are its parameters in turn.

        What the iteration raises passes as it is.
        """
        failure: list[Exception] = []

        def caught() -> Iterator[pa.RecordBatch]:
            # Arrow's stream turns what an iterator raises into an error of its own.
            try:
                yield from batches
            except Exception as error:
                failure.append(error)
                raise

        try:
            with self._statement(sql) as statement:
                statement.bind_stream(pa.RecordBatchReader.from_batches(schema, caught()))
                statement.execute_update()
        except Exception:
            if failure:
                raise failure[0] from None
            raise

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The whole of a small result. Only for columns of one storage class each."""
        with self._statement(sql) as statement:
            reader = _reader(statement)
            try:
                return reader.read_all().to_pylist()  # type: ignore[no-any-return]
            finally:
                reader.close()

    def value(self, sql: str) -> Any:
        """The only value of the first row, or None where there is no row."""
        found = self.rows(sql)
        return next(iter(found[0].values())) if found else None

    @contextmanager
    def stream(self, sql: str, batch_rows: int) -> Iterator[pa.RecordBatchReader]:
        """A result in batches; the first one fixes the types. Errors of ADBC and Arrow pass untranslated."""
        statement = adbc.AdbcStatement(self._connection)
        try:
            statement.set_options(**{"adbc.sqlite.query.batch_rows": str(batch_rows)})
            statement.set_sql_query(sql)
            reader = _reader(statement)
            try:
                yield reader
            finally:
                reader.close()
        finally:
            statement.close()

    @contextmanager
    def _statement(self, sql: str) -> Iterator[adbc.AdbcStatement]:
        statement = adbc.AdbcStatement(self._connection)
        try:
            statement.set_sql_query(sql)
            yield statement
        except FOREIGN as error:
            raise translated(error, self.path) from error
        finally:
            statement.close()

    def close(self) -> None:
        self._connection.close()
        self._database.close()


@contextmanager
def connected(path: Path, mode: Mode, busy_seconds: float) -> Iterator[Connection]:
    """Open a file that exists (``rwc``: that is ours and empty), and close it whatever happens.

    Raises SourceMissing, SourceUnfit.
    """
    try:
        entry = door(path, "adbc")
        with entry:
            connection = _open(path, mode)
            try:
                connection.run(f"PRAGMA busy_timeout = {round(busy_seconds * 1000)}")
                yield connection
            finally:
                connection.close()
    except FileNotFoundError as error:
        raise missing(path) from error


@contextmanager
def in_memory() -> Iterator[Connection]:
    """A database of our own, empty, that is nowhere but in memory and that no other connection sees."""
    connection = _opened(Path(":memory:"), ":memory:")
    try:
        connection.run("PRAGMA temp_store = MEMORY")
        yield connection
    finally:
        connection.close()


def missing(path: Path) -> SourceMissing:
    return SourceMissing(f'there is no database "{path}"', 'check "url" under [source]')


def translated(error: Exception, path: Path) -> Exception:
    """What a foreign error means: one of ours, or ConstraintFailed."""
    if isinstance(error, ProntoError | ConstraintFailed):
        return error
    words = said(error)
    if "constraint failed" in words or "FOREIGN KEY" in words or isinstance(error, adbc.IntegrityError):
        return ConstraintFailed(words)
    if any(sign in words for sign in _BUSY):
        return SourceBusy(f'database "{path}" stayed locked by another program', "try again in a quiet minute")
    if "database or disk is full" in words:
        return SourceFull(f'no space to write database "{path}"', "free some space there and run it again")
    if any(sign in words for sign in _NO_DATABASE):
        return SourceUnfit(f'"{path}" is not an SQLite database: {words}', 'check "url" under [source]')
    if isinstance(error, UnicodeDecodeError):
        return SourceUnfit(f'database "{path}": a name or definition in it is not valid UTF-8')
    if "readonly database" in words or "unable to open database file" in words:
        return SourceUnfit(f'database "{path}" cannot be opened: {words}', f'check the permissions of "{path.parent}"')
    return SourceUnfit(f'database "{path}": {words}')


def said(error: Exception) -> str:
    """SQLite's own words in an error of ADBC."""
    found = _WORDS.search(str(error))
    return found[1].strip() if found else str(error)


def _open(path: Path, mode: Mode) -> Connection:
    return _opened(path, f"file:{quote(str(path.absolute()))}?mode={mode}")


def _opened(path: Path, uri: str) -> Connection:
    try:
        database = adbc.AdbcDatabase(driver=adbc_driver_sqlite._driver_path(), uri=uri)
        try:
            return Connection(path, database, adbc.AdbcConnection(database))
        except adbc.Error:
            database.close()
            raise
    except adbc.Error as error:
        raise SourceUnfit(
            f'database "{path}" cannot be opened', f'check that it is a file, and the permissions of "{path.parent}"'
        ) from error


def _reader(statement: adbc.AdbcStatement) -> pa.RecordBatchReader:
    handle, _ = statement.execute_query()
    return pa.RecordBatchReader.from_stream(handle)
