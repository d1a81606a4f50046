"""SQL, the tables of a revision, and their rows in other formats."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.fixtures.store import Store, store_of


def test_any_revision_and_several(store: Store) -> None:
    assert store.json("sql", "SELECT count(*) AS n FROM style") == [{"n": 11}]
    assert store.json("sql", "SELECT count(*) AS n FROM style", "--at", "HEAD~1") == [{"n": 10}]
    assert store.json("sql", "SELECT phone FROM customer ORDER BY 1 LIMIT 1 OFFSET 15", "--at", "LIVE")
    query = "SELECT product_id, p.price - o.price AS more FROM product p JOIN old.product o USING (product_id)"
    answer = store.json("sql", f"{query} WHERE more > 0 ORDER BY 1;", "--attach", "old=HEAD~1", "--attach", "live=LIVE")
    assert answer == [{"product_id": number, "more": "1.00"} for number in (100, 101, 102)]
    live = store.json(
        "sql", "SELECT phone FROM live.customer WHERE customer_id = 'C012-00001'", "--attach", "live=LIVE"
    )
    assert live == [{"phone": "555"}]
    assert {"name": "stock"} in store.json("sql", "SHOW TABLES")


def test_formats(store: Store) -> None:
    query = "SELECT style_id, name, season, list_price, introduced FROM style WHERE style_id IN (4, 99) ORDER BY 1"
    assert store.text("sql", query, "--format", "csv").splitlines() == [
        '"style_id","name","season","list_price","introduced"',
        '4,"Zapatón 4",,599.50,"2025-05-01"',
        '99,"Última",,1.50,"2026-11-23"',
    ]
    assert [json.loads(line)["style_id"] for line in store.text("sql", query, "--format", "jsonl").splitlines()] == [
        4,
        99,
    ]
    assert store.text("sql", query).splitlines()[-1] == "(2 rows)"
    store.run("sql", query, "--format", "parquet", exit=2)
    store.run("sql", query, "--format", "parquet", "-o", "out.parquet")
    assert pq.read_table(store.top / "out.parquet")["name"].to_pylist() == ["Zapatón 4", "Última"]
    empty = "SELECT * FROM style WHERE false"
    assert store.json("sql", empty) == []
    assert store.text("sql", empty, "--format", "csv").count("\n") == 1
    assert store.json(
        "sql", "SELECT 1 AS a, 2 AS a, sum(1) AS s, INTERVAL 1 DAY AS d, [1, 2] AS l, 'x'::BLOB AS b"
    ) == [{"a": 1, "a_1": 2, "s": 1, "d": "1 day", "l": "[1, 2]", "b": "eA=="}]
    assert store.json("sql", "SELECT 'infinity'::TIMESTAMP AS t, 'NaN'::DOUBLE AS n") == [{"t": "infinity", "n": "NaN"}]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELEC 1",
        "SELECT * FROM nope",
        "SELECT nope FROM stock",
        "SELECT 1; SELECT 2",
        "COPY stock TO 'x.csv'",
        "ATTACH 'x.db'",
        "SET threads = 1",
        "PRAGMA version",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE t (a INT)",
        "DROP VIEW stock",
        "DELETE FROM stock",
        "SELECT * FROM read_csv('prontosync.toml')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "SELECT CAST(name AS INTEGER) FROM style",
        "SELECT * FROM query_table('sto' || 'ck')",
        "SELECT error('\x1b[2J')",
    ],
)
def test_queries_that_are_refused(store: Store, query: str) -> None:
    error = store.fails("sql", query, exit=2)
    assert error["error"] == "query"
    assert "\n" not in error["message"]
    assert not (store.top / "x.csv").exists()


def test_bad_attachments(store: Store) -> None:
    for words in ("old", "=HEAD", "old=", "main=HEAD", "conflicts=HEAD", "information_schema=HEAD"):
        store.fails("sql", "SELECT 1", "--attach", words, exit=2)
    store.fails("sql", "SELECT 1", "--attach", "a=HEAD", "--attach", "A=HEAD", exit=2)
    store.fails("sql", "SELECT 1", "--attach", "old=nope", exit=17)
    store.fails("sql", "SELECT 1", "--at", "nope", exit=17)


def test_only_tables_that_a_query_names_are_read(store: Store) -> None:
    """A damaged table keeps nobody from the others, and is never read."""
    (file,) = store.json("ls-files", "HEAD", "stock")["segments"]
    path = Path(file)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-9] + b"x" * 9)
    assert store.json("sql", "SELECT count(*) AS n FROM style") == [{"n": 11}]
    error = store.fails("sql", "SELECT count(*) FROM stock", exit=14)
    assert path.parent.name + path.stem in error["message"]
    store.fails("export", "HEAD", "stock", "-o", "x.csv", exit=14)
    store.fails("ls-files", "HEAD", "stock", exit=14)
    assert not (store.top / "x.csv").exists()


TYPES = """CREATE TABLE thing (
    id INTEGER PRIMARY KEY, flag BOOLEAN, real REAL, price DECIMAL(10,2), words TEXT, raw BLOB, day DATE,
    moment DATETIME, mixed)"""
ROWS = (
    "INSERT INTO thing VALUES (1, 1, 0.1, 9.90, 'añb', x'00ff', '2026-11-24', '2026-11-24 10:00:00', 5)",
    "INSERT INTO thing VALUES (2, 0, -1e300, 0, '', x'', '0001-01-01', '2026-11-24 11:30:00', 'text')",
    "INSERT INTO thing VALUES (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, x'c3')",
    "INSERT INTO thing VALUES (4, NULL, NULL, NULL, 'a\"b,\nc', NULL, NULL, NULL, 1.5)",
)


@pytest.fixture
def things(tmp_path: Path) -> Store:
    store = store_of(tmp_path, TYPES, *ROWS)
    store.run("snapshot")
    return store


def test_every_type_is_readable(things: Store) -> None:
    rows = things.json("sql", "SELECT * FROM thing ORDER BY id")
    assert rows[0] == {
        "id": 1,
        "flag": True,
        "real": 0.1,
        "price": "9.90",
        "words": "añb",
        "raw": "AP8=",
        "day": "2026-11-24",
        "moment": "2026-11-24T10:00:00",
        "mixed": "5",
    }
    assert (rows[1]["moment"], rows[1]["raw"], rows[1]["words"]) == ("2026-11-24T11:30:00", "", "")
    assert [row["mixed"] for row in rows] == ["5", "text", "0xc3", "1.5"]


def test_export(things: Store) -> None:
    things.run("export", "HEAD", "thing", "-o", "thing.csv")
    rows = list(csv.reader((things.top / "thing.csv").read_text().splitlines(keepends=True)))
    assert rows[0] == ["id", "flag", "real", "price", "words", "raw", "day", "moment", "mixed"]
    assert rows[1] == ["1", "true", "0.1", "9.90", "añb", "0x00ff", "2026-11-24", "2026-11-24T10:00:00", "5"]
    assert rows[4][4] == 'a"b,\nc'
    assert (things.top / "thing.csv").read_text().splitlines()[3] == '3,,,,,,,,"0xc3"'
    things.run("export", "LIVE", "thing", "-o", "thing.parquet")
    table = pq.read_table(things.top / "thing.parquet")
    assert table["raw"].to_pylist() == [b"\x00\xff", b"", None, None]
    assert str(table.schema.field("price").type) == "decimal128(10, 2)"
    answer = things.json("export", "HEAD", "thing", "-o", "thing.jsonl")
    assert answer["rows"] == 4
    lines = [json.loads(line) for line in (things.top / "thing.jsonl").read_text().splitlines()]
    assert [line["mixed"] for line in lines] == [5, "text", {"base64": "ww=="}, 1.5]
    things.fails("export", "HEAD", "thing", exit=2)
    things.fails("export", "HEAD", "thing", "-o", "thing.xlsx", exit=2)
    things.fails("export", "HEAD", "nope", "-o", "x.csv", exit=17)
    things.fails("export", "nope", "thing", "-o", "x.csv", exit=17)


def test_ls_tables(store: Store) -> None:
    tables = {one["table"]: one for one in store.json("ls-tables", "HEAD~1")}
    assert tables["stock"]["rows"] == 60
    assert tables["stock"]["key"] == ["store_id", "product_id"]
    assert {"name": "counted_at", "type": "timestamp"} in tables["stock"]["columns"]
    assert len(tables["stock"]["digest"]) == 64
    now = {one["table"]: one["digest"] for one in store.json("ls-tables")}
    assert now["stock"] == tables["stock"]["digest"]
    assert now["style"] != tables["style"]["digest"]
    live = {one["table"]: one["digest"] for one in store.json("ls-tables", "LIVE")}
    assert [name for name in live if live[name] != now[name]] == ["customer"]


def plain(sql: str) -> list[tuple[Any, ...]]:
    """What the plain duckdb program gives."""
    with duckdb.connect() as con:
        return con.sql(sql).fetchall()


def test_ls_files_is_readable_without_us(things: Store) -> None:
    found = things.json("ls-files", "HEAD", "thing")
    assert found["patches"] == []
    assert all(Path(path).is_file() for path in found["segments"])
    rows = plain(f"SELECT id, words, mixed FROM ({found['sql']}) ORDER BY id")
    assert rows == [(1, "añb", "5"), (2, "", "text"), (3, None, "0xc3"), (4, 'a"b,\nc', "1.5")]
    said = things.text("ls-files", "HEAD", "thing")
    assert said.splitlines()[: len(found["segments"])] == found["segments"]
    assert plain(said.split("\n\n", 1)[1].replace("\\n", "\n"))
