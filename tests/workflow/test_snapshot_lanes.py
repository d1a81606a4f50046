"""Two tables are read at once; where one of them cannot be read, the error is that one's, and nothing is committed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prontosync.engine.connection import Engine
from prontosync.tables.order import BadRows
from tests.fixtures.places import Town, numbered

TABLES = [f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, v INTEGER)" for n in range(5)]
ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)"
BAD = "CREATE TABLE bad (id TEXT PRIMARY KEY, v INTEGER)"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Engine() as engine:
        yield Town(tmp_path, engine)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_many_tables_at_once_are_what_they_are(town: Town, mode: str) -> None:
    place = town.store("one", f"PRAGMA journal_mode = {mode}", ITEM, numbered(1, 40_000), *TABLES)
    place.sql(*(f"INSERT INTO t{n} SELECT id, price * {n} FROM item WHERE id <= {1 + 700 * n}" for n in range(5)))
    place.snapshot()
    assert place.rows() == sorted(place.live(), key=repr)
    for n in range(5):
        assert place.rows(f"t{n}") == sorted(place.live(f"t{n}"), key=repr)
    assert place.verified().sound


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_one_table_that_cannot_be_read_stops_all(town: Town, mode: str) -> None:
    place = town.store("one", f"PRAGMA journal_mode = {mode}", ITEM, BAD, numbered(1, 200_000))
    place.sql("INSERT INTO bad VALUES ('a', 1), (NULL, 2), (NULL, 3)")
    with pytest.raises(BadRows, match="bad"):
        place.snapshot()
    with place.session() as session:
        assert session.head() is None
    with closing(sqlite3.connect(place.database)) as db, db:
        db.execute("DELETE FROM bad WHERE id IS NULL")
    place.snapshot()
    assert place.rows("bad") == [("a", 1)]


WRITER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20) as db:
    n = 0
    print("go", flush=True)
    while True:
        n += 1
        db.execute("BEGIN IMMEDIATE")
        for table in ("a", "b"):
            db.execute(f"UPDATE {table} SET v = ? WHERE id = 1", (n,))
            db.execute(f"INSERT INTO {table} (v) VALUES (?)", (n,))
        db.execute("COMMIT")
"""


def test_both_lanes_see_one_state_while_a_till_writes(town: Town) -> None:
    make = [f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v INTEGER)" for name in "ab"]
    fill = [f"INSERT INTO {name} SELECT id, 0 FROM item" for name in "ab"]
    place = town.store("one", "PRAGMA journal_mode = wal", ITEM, numbered(1, 30_000), *make, *fill)
    till = subprocess.Popen([sys.executable, "-c", WRITER, str(place.database)], stdout=subprocess.PIPE, text=True)
    try:
        assert till.stdout is not None
        assert till.stdout.readline() == "go\n"
        for _ in range(8):
            place.snapshot()
            assert place.rows("a") == place.rows("b")
    finally:
        till.kill()
        till.communicate()
