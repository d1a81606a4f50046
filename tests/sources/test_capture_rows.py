"""What notes say is what happened, whatever a till does to its rows."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.sources import capture_read
from tests.sources.shop import make, source
from tests.sources.tracked import applied, changed, moment, now

SOME = [1, 2, 3, 1.0, 2.5, "1", "a", "A", "a\0b", b"a", "é\U0001f45f"]
TEXTS = ["a", "A", "b", "a ", "a\0b", "é"]


@dataclass(frozen=True)
class Shape:
    """``columns`` have small sets of values, so that rows are often in each other's way; ``sure``: never in doubt."""

    statements: tuple[str, ...]
    columns: dict[str, list[Any]]
    sure: bool = True


SHAPES = {
    "rowid": Shape(
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v)",),
        {"id": [-1, 1, 2, 3, 9, None, "2"], "u": [*TEXTS, None], "v": SOME, "rowid": [1, 2, 3]},
    ),
    "autoincrement": Shape(
        ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v)",), {"id": [1, 2, 3, None], "v": SOME}
    ),
    "nocase": Shape(("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)",), {"k": TEXTS, "v": SOME}),
    "without rowid": Shape(
        ("CREATE TABLE t (a INT, v, b TEXT COLLATE RTRIM, PRIMARY KEY (b DESC, a)) WITHOUT ROWID",),
        {"a": [1, 2, "2"], "b": ["a", "a ", "b"], "v": SOME},
    ),
    "untyped": Shape(
        ("CREATE TABLE t (k PRIMARY KEY, u UNIQUE, v)",), {"k": SOME, "u": [1, 2, None], "v": SOME, "rowid": [1, 2, 3]}
    ),
    "strict": Shape(("CREATE TABLE t (k ANY PRIMARY KEY, v ANY) STRICT",), {"k": SOME, "v": SOME}),
    "descending": Shape(
        ("CREATE TABLE t (id INTEGER PRIMARY KEY DESC, x, y TEXT, v, UNIQUE (x, y COLLATE NOCASE), UNIQUE (y, v))",),
        {"id": [1, 2, 3, "3"], "x": [1, 2], "y": ["a", "A", "b"], "v": [1, 2]},
    ),
    "collated": Shape(("CREATE TABLE t (k TEXT, v, PRIMARY KEY (k COLLATE NOCASE))",), {"k": TEXTS, "v": SOME}),
    "numbers": Shape(("CREATE TABLE t (r REAL PRIMARY KEY, v)",), {"r": [1, 2.5, "3", 1e300], "v": SOME}),
    "blobs": Shape(("CREATE TABLE t (b BLOB PRIMARY KEY, v) WITHOUT ROWID",), {"b": [b"", b"\0", b"a"], "v": SOME}),
    "prices": Shape(("CREATE TABLE t (p DECIMAL(9,2) PRIMARY KEY, v)",), {"p": [1, 9.5, "9.50", 100], "v": SOME}),
    "indexed": Shape(
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a, v)", "CREATE UNIQUE INDEX part ON t (a) WHERE a > 1"),
        {"id": [1, 2, 3, None], "a": [1, 2, 3], "v": [1, 2]},
        sure=False,
    ),
    "defaults": Shape(
        ("CREATE TABLE t (k TEXT NOT NULL DEFAULT 'a' PRIMARY KEY, g AS (v % 2) UNIQUE, v)",),
        {"k": ["a", "b", None], "v": [1, 2, 3, 4]},
        sure=False,
    ),
    "odd": Shape(("CREATE TABLE t (k PRIMARY KEY, v)",), {"k": [0, 0.0, -0.0, None, 1], "v": SOME}, sure=False),
    "cascade": Shape(
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, up REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, v)",),
        {"id": [1, 2, 3, 4], "up": [1, 2, 3, None], "v": SOME},
    ),
    "triggers": Shape(
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
            "CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE t SET v = 1 WHERE id = NEW.id; END",
            "CREATE TRIGGER b AFTER UPDATE ON t WHEN NEW.v = 2 BEGIN DELETE FROM t WHERE id = NEW.id; END",
            "CREATE TRIGGER c BEFORE INSERT ON t BEGIN DELETE FROM t WHERE id = NEW.id + 1; END",
        ),
        {"id": [1, 2, 3, None], "v": [1, 2, 3]},
    ),
}

Statement = tuple[str, tuple[Any, ...]]
CONTROL = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s", "PRAGMA recursive_triggers = ON"]


@st.composite
def _insert(draw: st.DrawFn, shape: Shape) -> Statement:
    names = [name for name in shape.columns if name != "rowid" or draw(st.booleans())]
    rows = draw(st.integers(1, 2))
    values = [draw(st.sampled_from(shape.columns[name])) for _ in range(rows) for name in names]
    row = f"({', '.join('?' * len(names))})"
    verb = draw(st.sampled_from(["INSERT", "REPLACE", "INSERT OR IGNORE", "INSERT OR FAIL", "INSERT OR ROLLBACK"]))
    sql = f"{verb} INTO t ({', '.join(names)}) VALUES {', '.join([row] * rows)}"
    if verb == "INSERT" and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(shape.columns)))
        sql += f" ON CONFLICT DO UPDATE SET {name} = ?"
        values.append(draw(st.sampled_from(shape.columns[name])))
    return sql, tuple(values)


@st.composite
def _update(draw: st.DrawFn, shape: Shape) -> Statement:
    verb = draw(st.sampled_from(["UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE"]))
    name, where = draw(st.sampled_from(sorted(shape.columns))), draw(st.sampled_from(sorted(shape.columns)))
    value, wanted = draw(st.sampled_from(shape.columns[name])), draw(st.sampled_from(shape.columns[where]))
    return f"{verb} t SET {name} = ? WHERE {where} {draw(st.sampled_from(['=', '>=']))} ?", (value, wanted)


@st.composite
def _delete(draw: st.DrawFn, shape: Shape) -> Statement:
    name = draw(st.sampled_from(sorted(shape.columns)))
    return f"DELETE FROM t WHERE {name} = ?", (draw(st.sampled_from(shape.columns[name])),)


def _some(shape: Shape) -> st.SearchStrategy[list[Statement]]:
    control = st.sampled_from(CONTROL).map(lambda sql: (sql, ()))
    insert = _insert(shape)
    return st.lists(st.one_of(insert, control, insert, _update(shape), _delete(shape)), min_size=1, max_size=10)


STATEMENTS = {name: _some(shape) for name, shape in SHAPES.items()}


def till(path: Path, done: list[Statement]) -> None:
    """Whatever fails, a till goes on."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        for sql, values in done:
            try:
                connection.execute(sql, values)
            except sqlite3.Error:
                continue
        if connection.in_transaction:
            connection.execute("COMMIT")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An empty database of each shape, with its tables tracked."""
    folder = tmp_path_factory.mktemp("tracked")
    paths = {
        name: make(folder / f"{n}.db", *shape.statements, journal="wal")
        for n, (name, shape) in enumerate(SHAPES.items())
    }
    for path in paths.values():
        assert all(one.reason is None for one in source(path).track_enable())
    return paths


@pytest.mark.parametrize("name", SHAPES)
@given(data=st.data())
@settings(max_examples=15)
def test_the_rows_at_the_mark_and_the_changes_since_are_the_live_rows(
    tracked: dict[str, Path], name: str, data: st.DataObject
) -> None:
    shape = SHAPES[name]
    with TemporaryDirectory() as folder:
        path = Path(shutil.copy(tracked[name], Path(folder, "till.db")))
        live = source(path)
        till(path, data.draw(STATEMENTS[name]))
        then = now(live)
        till(path, data.draw(STATEMENTS[name]))
        with live.read() as state:
            changes, after = changed(state, then), moment(state)
        if isinstance(changes, str):
            assert not shape.sure or then.table != after.table, changes
        else:
            assert applied(then, changes) == after.rows


SILENT = [
    ("CREATE TABLE t (k INTEGER PRIMARY KEY, v)", "REPLACE INTO t VALUES (1, 9)"),
    ("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v)", "REPLACE INTO t VALUES ('1', 9)"),
    ("CREATE TABLE t (k INTEGER PRIMARY KEY, v UNIQUE)", "REPLACE INTO t (v) VALUES (2)"),
    ("CREATE TABLE t (k INTEGER PRIMARY KEY, v UNIQUE) WITHOUT ROWID", "REPLACE INTO t VALUES (9, 2)"),
    ("CREATE TABLE t (k INTEGER PRIMARY KEY, v)", "UPDATE OR REPLACE t SET k = 2 WHERE k = 1"),
    ("CREATE TABLE t (k INTEGER PRIMARY KEY, v)", "UPDATE OR REPLACE t SET oid = 2 WHERE k = 1"),
    ("CREATE TABLE t (k INTEGER PRIMARY KEY, v UNIQUE)", "UPDATE OR REPLACE t SET v = 2 WHERE k = 1"),
    ("CREATE TABLE t (k INT PRIMARY KEY, v)", "UPDATE OR REPLACE t SET rowid = 2 WHERE k = 1"),
    ("CREATE TABLE t (k INT PRIMARY KEY, v)", "REPLACE INTO t (rowid, k) VALUES (3, 9)"),
    ("CREATE TABLE t (k INT PRIMARY KEY ON CONFLICT REPLACE, v)", "UPDATE t SET k = 3 WHERE k = 2"),
    ("CREATE TABLE t (k INT PRIMARY KEY, v UNIQUE ON CONFLICT REPLACE)", "INSERT INTO t VALUES (9, 1)"),
    ("CREATE TABLE t (k PRIMARY KEY, v)", "UPDATE t SET k = 1.0 WHERE k = 1"),
    ("CREATE TABLE t (k PRIMARY KEY, v)", "REPLACE INTO t VALUES (2.0, 9)"),
    ("CREATE TABLE t (k TEXT PRIMARY KEY, v, UNIQUE (v, k))", "UPDATE OR REPLACE t SET k = '2' WHERE v = 1"),
    (
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE)",
        "UPDATE t SET k = 7 WHERE k = 1",
    ),
]


@pytest.mark.parametrize(("table", "statement"), SILENT)
def test_rows_that_go_without_a_trigger_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, statement: str
) -> None:
    monkeypatch.setattr(capture_read, "COUNTED_ANYWAY", -1)
    path = make(tmp_path / "till.db", table, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    live = source(path)
    live.track_enable()
    then = now(live)
    till(path, [(statement, ())])
    with live.read() as state:
        changes, after = changed(state, then), moment(state)
    assert not isinstance(changes, str)
    assert applied(then, changes) == after.rows != then.rows


def test_a_trigger_that_brings_a_row_back(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v)",
        "CREATE TABLE child (k INTEGER PRIMARY KEY, up REFERENCES t ON DELETE CASCADE)",
        "CREATE TRIGGER back AFTER DELETE ON child BEGIN INSERT INTO t VALUES (OLD.up, 'again'); END",
        "INSERT INTO t VALUES (1, 'once')",
        "INSERT INTO child VALUES (1, 1)",
    )
    live = source(path)
    live.track_enable()
    then = now(live)
    till(path, [("DELETE FROM t", ())])
    with live.read() as state:
        changes = changed(state, then)
    assert not isinstance(changes, str)
    assert [(one.key, one.present, one.before) for one in changes] == [((1,), True, True)]


def test_a_default_that_replaces_a_row_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_read, "COUNTED_ANYWAY", -1)
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (k TEXT NOT NULL DEFAULT 'a' PRIMARY KEY, v)",
        "INSERT INTO t VALUES ('a', 1), ('b', 2)",
    )
    live = source(path)
    live.track_enable()
    then = now(live)
    till(path, [("REPLACE INTO t VALUES (NULL, 9)", ())])
    with live.read() as state:
        assert state.tracking["t"].counted
        assert isinstance(changed(state, then), str)
