"""When notes are not enough, and how the rows that they name are looked up."""

from __future__ import annotations

import datetime
import os
import shutil
import sqlite3
import uuid
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prontosync.sources import capture_read
from prontosync.sources.connection import Connection
from prontosync.sources.contract import ChangedRows, Mark
from prontosync.sources.sqlite import SqliteSource
from tests.sources.shop import ask, files, make, read, source
from tests.sources.till import crash, running
from tests.sources.tracked import Change, Moment, applied, changed, keys, now, since

TABLE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, price DECIMAL(20,2))",
    "INSERT INTO t VALUES (1, 1, 1.5), (2, 2, 2.5), (3, 3, 3)",
)
WRITE = """
till.execute("PRAGMA cache_size = 1")
till.execute("BEGIN IMMEDIATE")
till.execute("UPDATE t SET n = 77")
ready()
sys.stdin.read()
till.execute("COMMIT")
"""


def tracked(folder: Path, *statements: str, journal: str = "wal") -> SqliteSource:
    live = source(make(folder / "till.db", *(statements or TABLE), journal=journal))
    live.track_enable()
    return live


def sure(found: list[Change] | str) -> list[Change]:
    assert not isinstance(found, str), found
    return found


def silently(path: Path, *statements: str) -> None:
    """As by a till whose triggers are switched off."""
    with closing(sqlite3.connect(path, isolation_level=None)) as till:
        version = till.execute("PRAGMA schema_version").fetchone()[0]
        made = till.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in made:
            till.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            till.execute(statement)
        for _, sql in made:
            till.execute(sql)
        till.execute(f"PRAGMA schema_version = {version}")


def test_another_token_or_no_tracking(tmp_path: Path) -> None:
    live = tracked(tmp_path)
    then = now(live)
    assert sure(since(live, then)) == []
    assert "began anew" in str(since(live, replace(then, token="")))
    ask(live.path, "DROP TRIGGER _prontosync_track_1_delete")
    assert "triggers are gone" in str(since(live, then))
    live.track_enable()
    assert "began anew" in str(since(live, then))
    live.track_disable()
    assert since(live, then) == "it is not tracked"


def test_a_restored_copy(tmp_path: Path) -> None:
    live = tracked(tmp_path)
    ask(live.path, "UPDATE t SET n = n + 1")
    shutil.copy(live.path, tmp_path / "copy.db")
    early = now(live)
    ask(live.path, "UPDATE t SET n = n + 1 WHERE id = 1")
    late = now(live)
    shutil.copy(tmp_path / "copy.db", live.path)
    assert "restored" in str(since(live, late))
    ask(live.path, "UPDATE t SET n = 9 WHERE id = 2")
    assert now(live).mark.seq == late.mark.seq
    assert "restored" in str(since(live, late))
    assert applied(early, sure(since(live, early))) == now(live).rows


def test_too_many_keys(tmp_path: Path) -> None:
    live = tracked(tmp_path)
    then = now(live)
    for _ in range(3):
        ask(live.path, "UPDATE t SET n = n + 1 WHERE id < 3")
    assert len(sure(since(live, then, limit=2))) == 2
    assert since(live, then, limit=1) == "more than 1 keys were noted"


def test_another_definition_or_a_value_of_another_type(tmp_path: Path) -> None:
    live = tracked(tmp_path)
    then = now(live)
    other = replace(then.table, ddl=replace_ddl(then))
    assert since(live, replace(then, table=other)) == "its definition is not the one it had"
    # Integers beyond 2^53 need another plan, and are of the same type.
    ask(live.path, "UPDATE t SET price = 90071992547409935 WHERE id = 1")
    assert [c.row["price"] for c in sure(since(live, then))] == [Decimal("90071992547409935.00")]
    ask(live.path, "UPDATE t SET n = 'three' WHERE id = 3")
    assert since(live, then) == 'a value of column "n" does not fit the type it had'
    ask(live.path, "UPDATE t SET n = 3 WHERE id = 3")
    assert len(sure(since(live, then))) == 2
    narrow = source(live.path, options={})
    assert len(sure(since(narrow, then))) == 2


def replace_ddl(then: Moment) -> Any:
    import msgspec

    return msgspec.structs.replace(then.table.ddl, statements=())


def test_rows_that_come_and_go_without_triggers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = tracked(tmp_path)
    then = now(live)
    ask(live.path, "INSERT INTO t VALUES (7, 1, 1)")
    silently(live.path, "INSERT INTO t VALUES (5, 1, 1)")
    assert since(live, then) == "rows came or went without their triggers"
    # Where rows are not counted, a row between others is not seen, one behind all others is.
    monkeypatch.setattr(capture_read, "COUNTED_ANYWAY", -1)
    assert [c.key for c in sure(since(live, then))] == [(7,)]
    silently(live.path, "INSERT INTO t VALUES (8, 1, 1)")
    assert since(live, then) == "a row was inserted without its trigger"
    assert [c.key for c in sure(since(live, then, highest=None))] == [(7,)]
    assert [c.key for c in sure(since(live, then, highest=None, rows=None))] == [(7,)]


def test_an_empty_table_knows_its_highest_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_read, "COUNTED_ANYWAY", -1)
    live = tracked(tmp_path, TABLE[0])
    then = now(live)
    assert sure(since(live, then)) == []
    silently(live.path, "INSERT INTO t VALUES (-8, 1, 1)")
    assert since(live, then) == "a row was inserted without its trigger"


def test_a_row_replaced_through_an_index_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_read, "COUNTED_ANYWAY", -1)
    live = tracked(tmp_path, *TABLE, "CREATE UNIQUE INDEX one ON t (n)")
    then = now(live)
    ask(live.path, "REPLACE INTO t VALUES (9, 3, 3)")
    assert since(live, then) == "rows came or went without their triggers"
    assert "nobody knows" in str(since(live, then, rows=None))


def test_keys_that_nobody_noted(tmp_path: Path) -> None:
    live = tracked(tmp_path)
    then = now(live)
    ask(live.path, "UPDATE t SET n = 0 WHERE id = 2")
    wanted = keys((1,), (2,), (99,), (1,), of=then)
    found = {c.key: (c.present, c.before, c.row["n"]) for c in sure(since(live, then, extra_keys=wanted))}
    assert found == {(1,): (True, None, 1), (2,): (True, True, 0), (99,): (False, None, None)}
    many = keys(*((n,) for n in range(5000)), of=then)
    assert len(sure(since(live, then, extra_keys=many, limit=3))) == 5000


@pytest.mark.parametrize(
    ("declared", "given", "nobody"),
    [
        ("TEXT", "'a\0b'", "x"),
        ("REAL", "'3'", 4.0),
        ("DECIMAL(9,2)", "9.5", Decimal("9.51")),
        ("NUMERIC", "4", 5.5),
        ("DATE", "'2024-02-29'", datetime.date(2024, 3, 1)),
        ("DATETIME", "'2024-02-29T10:00:00'", datetime.datetime(2024, 3, 1)),
        ("TIME", "'10:00:00'", datetime.time(1)),
        ("UUID", "'00000000-0000-0000-0000-00000000000a'", uuid.UUID(int=1).bytes),
        ("BOOLEAN", "1", False),
        ("BLOB", "x'00ff'", b"\0"),
        ("", "1.0", b"i1"),
        ("JSON", "'{}'", "[]"),
    ],
)
def test_keys_of_every_type(tmp_path: Path, declared: str, given: str, nobody: Any) -> None:
    given = given.replace("\0", "' || char(0) || '")
    live = tracked(
        tmp_path,
        f"CREATE TABLE t (k {declared}, b INT, v, PRIMARY KEY (k, b))",
        f"INSERT INTO t VALUES ({given}, 1, 1)",
    )
    then = now(live)
    (key,) = then.rows
    wanted = keys(key, (nobody, 1), of=then)
    assert sorted((c.present, c.before) for c in sure(since(live, then, extra_keys=wanted))) == [
        (False, None),
        (True, None),
    ]
    ask(live.path, "UPDATE t SET v = 2")
    assert applied(then, sure(since(live, then))) == now(live).rows
    assert [c.before for c in sure(since(live, then, extra_keys=keys(key, of=then)))] == [True]
    ask(live.path, "DELETE FROM t")
    assert applied(then, sure(since(live, then, extra_keys=keys(key, of=then)))) == {}


def test_a_database_in_utf_16(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "till.db")) as till:
        till.execute("PRAGMA encoding = 'UTF-16'")
    live = tracked(tmp_path, "CREATE TABLE t (k TEXT PRIMARY KEY, v)", "INSERT INTO t VALUES ('👟', 1)")
    then = now(live)
    ask(live.path, "UPDATE t SET k = 'é' || char(0)")
    assert applied(then, sure(since(live, then))) == now(live).rows


def test_a_key_that_sqlite_cannot_hold(tmp_path: Path) -> None:
    live = tracked(tmp_path, "CREATE TABLE t (k REAL PRIMARY KEY)", "INSERT INTO t VALUES (1.5)")
    then = now(live)
    assert "cannot hold" in str(since(live, then, extra_keys=keys((float("nan"),), of=then)))


@pytest.mark.parametrize(
    ("definition", "search"),
    [
        ("id INTEGER PRIMARY KEY, v", "SEARCH t USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN"),
        ("a INT, id INT, v, PRIMARY KEY (a, id)", "SEARCH t USING INDEX sqlite_autoindex_t_1 (a=? AND id=?) LEFT-JOIN"),
        ("id INTEGER PRIMARY KEY DESC, v", "SEARCH t USING INDEX sqlite_autoindex_t_1 (id=?) LEFT-JOIN"),
        ("id TEXT COLLATE NOCASE PRIMARY KEY, v", "SEARCH t USING INDEX sqlite_autoindex_t_1 (id=?) LEFT-JOIN"),
        ("id TEXT, v, PRIMARY KEY (id COLLATE RTRIM)", "SEARCH t USING INDEX sqlite_autoindex_t_1 (id=?) LEFT-JOIN"),
        ("id ANY PRIMARY KEY, v ANY) WITHOUT ROWID, STRICT --", "SEARCH t USING PRIMARY KEY (id=?) LEFT-JOIN"),
        ("id TEXT PRIMARY KEY, v) WITHOUT ROWID --", "SEARCH t USING PRIMARY KEY (id=?) LEFT-JOIN"),
    ],
)
def test_rows_are_found_by_the_primary_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, definition: str, search: str
) -> None:
    live = tracked(
        tmp_path, f"CREATE TABLE t ({definition}\n)" if "--" not in definition else f"CREATE TABLE t ({definition}"
    )
    then = now(live)
    asked: list[tuple[Connection, str]] = []
    stream = Connection.stream

    def noted(connection: Connection, sql: str, batch_rows: int) -> Any:
        asked.append((connection, sql))
        return stream(connection, sql, batch_rows)

    def explain(found: ChangedRows) -> list[str]:
        assert sum(batch.num_rows for batch in found.batches) == 1
        connection, sql = asked[-1]
        return [row["detail"] for row in connection.rows(f"EXPLAIN QUERY PLAN {sql}")]

    key, value = ("a, id", "1, 1") if definition.startswith("a ") else ("id", "1")
    ask(live.path, f"INSERT INTO t ({key}) VALUES ({value})")
    monkeypatch.setattr(Connection, "stream", noted)
    with live.read() as state:
        steps = state.changed("t", then.mark, then.token, then.table, explain, rows=0)
    assert steps is not None
    assert any(step.startswith(search) for step in steps), steps
    assert not any(step.startswith("SCAN t") for step in steps), steps


def test_the_live_file_is_left_alone(tmp_path: Path) -> None:
    live = tracked(tmp_path)
    then = now(live)
    ask(live.path, "UPDATE t SET n = 5")
    before = files(tmp_path)
    with live.read() as state:
        assert len(sure(changed(state, then))) == 3
        assert state._connection.value("PRAGMA query_only") == 1
        # What fails in the midst leaves nothing behind either.
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                state.changed("t", then.mark, then.token, then.table, lambda _: 1 // 0, rows=3)
        assert len(sure(changed(state, then))) == 3
        assert state.changed("t", then.mark, then.token, then.table, lambda _: "not looked at", rows=3)
        assert len(sure(changed(state, then))) == 3
    assert files(tmp_path) == before


@pytest.mark.parametrize("journal", ["delete", "persist", "truncate", "wal"])
def test_a_brief_reading_is_in_place(tmp_path: Path, journal: str) -> None:
    live = tracked(tmp_path, journal=journal)
    then = now(live)
    ask(live.path, "UPDATE t SET n = 5 WHERE id = 1")
    before, names = files(tmp_path), sorted(os.listdir(tmp_path))
    shutil.rmtree(tmp_path / "private", ignore_errors=True)
    with live.read(brief=True) as state:
        assert state.holds_till == (journal != "wal")
        assert [c.key for c in sure(changed(state, then))] == [(1,)]
        with closing(sqlite_elsewhere(live.path, "UPDATE t SET n = 6")) as words:
            assert words.read() == ("locked" if state.holds_till else "done")
    assert (state.held_seconds > 0) == state.holds_till
    assert not (tmp_path / "private").exists()
    if journal != "wal":
        assert files(tmp_path) == before
        assert sorted({*os.listdir(tmp_path), "private"}) == names


def test_a_brief_reading_beside_a_till_that_writes(tmp_path: Path) -> None:
    live = tracked(tmp_path, journal="delete")
    then = now(live)
    with running(live.path, WRITE), live.read(brief=True) as state:
        assert (tmp_path / "till.db-journal").exists()
        assert state.holds_till
        assert sure(changed(state, then)) == []


def test_a_brief_reading_after_a_crash_reads_a_copy(tmp_path: Path) -> None:
    live = source(
        make(tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "INSERT INTO t VALUES (1, 'x')")
    )
    live.track_enable()
    then = now(live)
    crash(live.path)
    assert set(files(tmp_path)) == {"till.db", "till.db-journal"}
    with live.read(brief=True) as state:
        assert not state.holds_till
        assert [c.key for c in sure(changed(state, then))] == [(2,)]


def test_a_copy_is_read_by_notes_as_well(tmp_path: Path) -> None:
    live = tracked(tmp_path, journal="delete")
    then = now(live)
    assert then.mark == Mark(0, 0)
    ask(live.path, "DELETE FROM t WHERE id = 2")
    assert applied(then, sure(since(live, then))) == now(live).rows
    assert sorted(read(live)["t"][1].column("id").to_pylist()) == [1, 3]


def sqlite_elsewhere(path: Path, sql: str) -> Any:
    """Another process that does not wait for locks."""
    import subprocess
    import sys

    code = (
        "import sqlite3, sys\ntill = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)\n"
        "try: till.execute(sys.argv[2]); print('done', end='')\n"
        "except sqlite3.OperationalError: print('locked', end='')"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path), sql], stdout=subprocess.PIPE, text=True)
    process.wait(30)
    assert process.stdout is not None
    return process.stdout
