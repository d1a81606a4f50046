"""Reads every row of a database with ADBC, and forgets it: ``python -m tests.benchmarks.read_all FILE``."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

BATCH = 65_536


def read_all(path: str) -> int:
    """The number of rows."""
    from adbc_driver_sqlite import dbapi

    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")]
    rows = 0
    with dbapi.connect(path) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH)})
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            rows += sum(batch.num_rows for batch in cursor.fetch_record_batch())
    return rows


if __name__ == "__main__":
    print(read_all(sys.argv[1]))
