from __future__ import annotations

from pathlib import Path

import pytest

from prontosync.model.schema import Column, ForeignKey
from prontosync.sources.contract import SourceMissing, SourceUnfit, TableOptions
from prontosync.sources.locate import locate
from tests.sources.shop import ask, make, read, rebuilt, source, stored


def test_keys_foreign_keys_and_uniques(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE Parent (a TEXT, b INTEGER, code TEXT UNIQUE, PRIMARY KEY (b, a)) WITHOUT ROWID",
        "CREATE TABLE child (id INTEGER PRIMARY KEY, x TEXT, y INT, up INT REFERENCES child, d, e,"
        " c TEXT COLLATE NOCASE UNIQUE,"
        " FOREIGN KEY (y, x) REFERENCES parent, FOREIGN KEY (x) REFERENCES PARENT (CODE))",
        "CREATE UNIQUE INDEX de ON child (d, e)",
        "CREATE UNIQUE INDEX part ON child (d) WHERE e > 0",
        "CREATE UNIQUE INDEX expr ON child (d + e)",
    )
    with source(path).read() as state:
        parent, child = state.describe("Parent").schema, state.describe("child").schema
    assert parent.key == ("b", "a")
    assert parent.uniques == (("code",),)
    assert child.foreign_keys == (
        ForeignKey(("up",), "child", ("id",)),
        ForeignKey(("y", "x"), "Parent", ("b", "a")),
        ForeignKey(("x",), "Parent", ("code",)),
    )
    assert child.uniques == (("d", "e"),)


def test_generated_columns_are_read_and_never_written(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, v INTEGER AS (a * 2) VIRTUAL, s TEXT AS ('x' || a) STORED)",
        "INSERT INTO t (id, a) VALUES (1, 5)",
    )
    table, rows = read(source(path))["t"]
    assert table.ddl.generated == ("v", "s")
    assert rows.to_pylist() == [{"id": 1, "a": 5, "v": 10, "s": "x5"}]
    copy = rebuilt(path, tmp_path / "copy.db")
    assert stored(copy, "t", ["a", "v", "s"]) == stored(path, "t", ["a", "v", "s"])


def test_strict_tables(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT",
        "INSERT INTO t VALUES (1, 1, 1, '1', x'01', 1), (2, NULL, NULL, NULL, NULL, '1')",
    )
    table, _ = read(source(path))["t"]
    assert [c.type for c in table.schema.columns] == ["int64", "int64", "float64", "text", "bytes", "any"]
    copy = rebuilt(path, tmp_path / "copy.db")
    assert stored(copy, "t", ["i", "r", "t", "b", "a"]) == stored(path, "t", ["i", "r", "t", "b", "a"])


def test_tables_that_are_none_of_the_shop(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "CREATE VIEW v AS SELECT * FROM t",
        "CREATE VIRTUAL TABLE words USING fts5(body)",
        "CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)",
        "CREATE TABLE _prontosync_other (id INTEGER PRIMARY KEY)",
        "ANALYZE",
    )
    with source(path).read() as state:
        assert state.tables == ("t",)
        assert [(one.name, one.hint) for one in state.left_out] == [("boxes", None), ("words", None)]
        assert state.database.statements == ("CREATE VIEW v AS SELECT * FROM t",)


@pytest.mark.parametrize(("name", "header"), [("t", "[table.t]"), ("order lines", '[table."order lines"]')])
def test_a_table_without_a_key_says_what_to_configure(tmp_path: Path, name: str, header: str) -> None:
    path = make(tmp_path / "till.db", f'CREATE TABLE "{name}" (a TEXT, b)', f"INSERT INTO \"{name}\" VALUES ('x', 1)")
    with source(path).read() as state:
        assert state.tables == ()
        assert state.left_out[0].hint == f'{header}\nkey = ["…"]'
    table, _ = read(source(path, options={name: TableOptions(key=("a",))}))[name]
    assert table.schema.key == ("a",)
    with pytest.raises(SourceUnfit, match='has no column "nope"'):
        read(source(path, options={name: TableOptions(key=("nope",))}))


def test_skipped_columns_are_neither_read_nor_written(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, secret TEXT DEFAULT 'none')",
        "INSERT INTO t VALUES (1, 1, 's')",
    )
    options = {"t": TableOptions(skip=("secret",))}
    table, _ = read(source(path, options=options))["t"]
    assert table.schema.columns == (Column("id", "int64"), Column("a", "any"))
    copy = rebuilt(path, tmp_path / "copy.db", options=options)
    assert ask(copy, "SELECT * FROM t") == [(1, 1, "none")]
    with pytest.raises(SourceUnfit, match="part of its key"):
        read(source(path, options={"t": TableOptions(skip=("id",))}))


def test_reserved_column_names_leave_the_table_out(tmp_path: Path) -> None:
    path = make(tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, _PS_x)")
    with source(path).read() as state:
        assert state.tables == ()
        assert "reserved" in state.left_out[0].reason


@pytest.mark.parametrize(
    ("definition", "ordered"),
    [
        ("(k INTEGER PRIMARY KEY, v)", True),
        ("(k INTEGER PRIMARY KEY DESC, v)", False),
        ("(k INT PRIMARY KEY, v)", False),
        ("(k TEXT PRIMARY KEY, v) WITHOUT ROWID", True),
        ("(k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID", False),
        ("(k TEXT, v, PRIMARY KEY (k DESC)) WITHOUT ROWID", False),
        ("(k PRIMARY KEY, v) WITHOUT ROWID", False),
    ],
)
def test_rows_in_key_order_are_told(tmp_path: Path, definition: str, ordered: bool) -> None:
    path = make(tmp_path / "till.db", f"CREATE TABLE t {definition}", "CREATE INDEX vk ON t (v, k)")
    make(path, "INSERT INTO t VALUES (3, 1), (1, 3), (2, 2)")
    with source(path).read() as state:
        found, keys = state.scan("t", lambda s: (s.ordered, [k for b in s.batches for k in b.column(0).to_pylist()]))
    assert found is ordered
    assert not ordered or keys == sorted(keys)


def test_a_column_added_later_reads_its_default(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 7",
        "ALTER TABLE t ADD COLUMN d DECIMAL(9,2) DEFAULT 0.5",
    )
    copy = rebuilt(path, tmp_path / "copy.db")
    assert stored(copy, "t", ["c", "d"]) == stored(path, "t", ["c", "d"]) != []


def test_addresses(tmp_path: Path) -> None:
    path = make(tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    for url in ("till.db", str(path), "sqlite:///till.db", f"sqlite:///{path}"):
        with locate(url, base=tmp_path, temp=tmp_path / "private").read() as state:
            assert state.tables == ("t",)
    for url in ("postgresql://localhost/shop", "mysql://x/y", "sqlite://host/x", "sqlite:///"):
        with pytest.raises(SourceUnfit):
            locate(url, base=tmp_path, temp=tmp_path)


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be taken for one" * 100)
    (tmp_path / "folder.db").mkdir()
    for name in ("text.db", "folder.db"):
        with pytest.raises(SourceUnfit), source(tmp_path / name).read():
            pass
    for use in (source(tmp_path / "none.db").read, source(tmp_path / "none.db").state_row):
        with pytest.raises(SourceMissing):
            use().__enter__()
    assert not (tmp_path / "none.db").exists()


def test_emptiness_and_building(tmp_path: Path) -> None:
    path = make(tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    assert not source(path).is_empty()
    assert source(tmp_path / "none.db").is_empty()
    (tmp_path / "zero.db").touch()
    assert source(tmp_path / "zero.db").is_empty()
    rebuilt(path, tmp_path / "zero.db")
    assert ask(tmp_path / "zero.db", "SELECT * FROM t") == [(1,)]
    with pytest.raises(SourceUnfit, match="not empty"):
        rebuilt(path, tmp_path / "zero.db")
    (tmp_path / "dead.db-journal").write_bytes(b"left over")
    with pytest.raises(SourceUnfit, match="left of an older database"):
        rebuilt(path, tmp_path / "dead.db")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["dead.db-journal", "till.db", "zero.db"]
