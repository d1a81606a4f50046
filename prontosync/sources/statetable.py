"""``_prontosync_state``: the one row in the live database that tells which commit it holds."""

from __future__ import annotations

import pyarrow as pa

from prontosync.sources.connection import Connection
from prontosync.sources.contract import SourceUnfit, StateRow

_NAME = '"_prontosync_state"'


def read_state_row(connection: Connection) -> StateRow | None:
    """The row, or None where no apply ever was. Raises SourceUnfit where the table is not ours."""
    if not connection.rows("SELECT name FROM main.sqlite_schema WHERE name = '_prontosync_state'"):
        return None
    columns = {row["name"] for row in connection.rows("SELECT name FROM pragma_table_info('_prontosync_state')")}
    if not columns >= {"id", "repository", "branch", "commit_id", "counter"}:
        raise SourceUnfit(
            f'table {_NAME} of database "{connection.path}" is not the one that this program makes', "rename that table"
        )
    found = connection.rows(f"SELECT repository, branch, commit_id, counter FROM main.{_NAME} WHERE id = 1")
    if not found:
        return None
    row = found[0]
    return StateRow(row["repository"], row["branch"], row["commit_id"], row["counter"])


def write_state_row(connection: Connection, row: StateRow) -> None:
    """Note ``row``, in the transaction that is open."""
    connection.run(
        f"CREATE TABLE IF NOT EXISTS main.{_NAME} (id INTEGER PRIMARY KEY CHECK (id = 1), repository TEXT NOT NULL,"
        " branch TEXT NOT NULL, commit_id TEXT NOT NULL, counter INTEGER NOT NULL)"
    )
    values = pa.record_batch({"r": [row.repository], "b": [row.branch], "c": [row.commit], "n": [row.counter]})
    connection.bind(
        f"INSERT INTO main.{_NAME} (id, repository, branch, commit_id, counter) VALUES (1, ?1, ?2, ?3, ?4)"
        " ON CONFLICT (id) DO UPDATE SET repository = excluded.repository, branch = excluded.branch,"
        " commit_id = excluded.commit_id, counter = excluded.counter",
        values.schema,
        [values],
    )
