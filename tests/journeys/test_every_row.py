"""A change to every row of a large table: snapshotted, diffed, merged and taken back like any other."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.fixtures.program import run_program


def run(place: Path, *args: str, expect: int = 0) -> str:
    done = run_program("-C", str(place), *args)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(statement)


def value(database: Path, query: str) -> object:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchone()[0]


def test_a_change_to_all_flights_meets_another(flights: Path, tmp_path: Path) -> None:
    one, two, other = tmp_path / "one", tmp_path / "two", tmp_path / "two.db"
    run(tmp_path, "init", "one", "--source", str(flights), "--store", "f1")
    run(tmp_path, "init", "--bare", "hub")
    run(one, "remote", "add", "hub", str(tmp_path / "hub"))
    run(one, "sync")
    run(tmp_path, "clone", "hub", "two", "--store", "f1", "--source", str(other))
    execute(flights, "UPDATE flights SET arr_delay = coalesce(arr_delay, 0) + 1")
    execute(other, "UPDATE flights SET carrier = 'YY' WHERE line = 7")
    run(one, "sync")
    run(two, "sync")
    run(one, "sync")
    for database in (flights, other):
        assert value(database, "SELECT sum(arr_delay) FROM flights") == value(
            flights, "SELECT sum(arr_delay) FROM flights"
        )
        assert value(database, "SELECT carrier FROM flights WHERE line = 7") == "YY"
    stat = json.loads(run(two, "diff", "HEAD~1", "HEAD", "--stat", "--json"))
    assert stat["tables"]["flights"]["updated"] >= 336_776 - 1
