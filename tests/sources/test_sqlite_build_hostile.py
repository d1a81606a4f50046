"""A snapshot comes from elsewhere: building a database from it runs its definitions, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from prontosync.engine.arrow import arrow_schema
from prontosync.errors import Damaged
from prontosync.model.schema import Column, DatabaseDdl, Ddl, TableSchema
from prontosync.sources.contract import SourceTable
from prontosync.sources.sqlite import SqliteSource

SCHEMA = TableSchema((Column("id", "int64"), Column("v", "text")), ("id",))
TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"


def build(tmp_path: Path, statements: tuple[str, ...], database: tuple[str, ...] = ()) -> Path:
    path = tmp_path / "new.db"
    table = SourceTable("t", SCHEMA, Ddl("sqlite", statements, {"id": "INTEGER", "v": "TEXT"}))
    rows = pa.table([[1, 2], ["a", None]], schema=arrow_schema(SCHEMA))
    SqliteSource(path, temp=tmp_path).build([(table, iter(rows.to_batches()))], DatabaseDdl("sqlite", database))
    return path


def test_what_a_database_keeps_is_built(tmp_path: Path) -> None:
    index = "CREATE INDEX i ON t (v)"
    trigger = "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET v = 'x' WHERE id = new.id; END"
    assert build(tmp_path, (TABLE, index, trigger), ("CREATE VIEW w AS SELECT * FROM t",)).exists()


@pytest.mark.parametrize(
    "statements",
    [
        (TABLE, "ATTACH DATABASE '{victim}' AS v"),
        (TABLE, "INSERT INTO t VALUES (3, 'forged')"),
        (TABLE, "PRAGMA journal_mode = WAL"),
        (TABLE, "CREATE TEMP TABLE x (a)"),
        (TABLE, "CREATE TABLE x AS SELECT 1 AS a"),
        ("CREATE TABLE t AS SELECT 7 AS id, 'forged' AS v",),
        (TABLE, "CREATE INDEX i ON t (v); DROP TABLE t"),
        (TABLE, " create table x (a)"),
        (TABLE, "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v TEXT)"),
    ],
)
def test_everything_else_is_refused_and_leaves_nothing(tmp_path: Path, statements: tuple[str, ...]) -> None:
    victim = tmp_path / "victim.db"
    filled = tuple(statement.replace("{victim}", str(victim)) for statement in statements)
    with pytest.raises(Damaged):
        build(tmp_path, filled)
    assert list(tmp_path.iterdir()) == []


def test_views_are_held_to_the_same(tmp_path: Path) -> None:
    victim = tmp_path / "victim.db"
    with pytest.raises(Damaged):
        build(tmp_path, (TABLE,), (f"ATTACH DATABASE '{victim}' AS v", "CREATE TABLE v.pwned (x)"))
    assert list(tmp_path.iterdir()) == []
