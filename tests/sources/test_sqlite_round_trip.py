from __future__ import annotations

import datetime
import itertools
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.sources import scan
from prontosync.sources.contract import SourceUnfit
from prontosync.sources.statements import quoted
from tests.sources.shop import ask, make, read, rebuilt, source, stored, whole

DECLARED = [
    "", "INTEGER", "INT", "BIGINT", "BOOLEAN", "bool", "REAL", "DOUBLE PRECISION", "DECIMAL(10,2)", "NUMERIC(38,9)",
    "DECIMAL(3)", "NUMERIC", "decimal", "DATE", "DATETIME", "TIMESTAMP", "TIME", "JSON", "UUID", "TEXT", "VARCHAR(20)",
    "NVARCHAR(160)", "BLOB", "STRING", "FLOATING POINT", "MONEY",
]  # fmt: skip


def _stamps(separator: str) -> st.SearchStrategy[str]:
    return st.datetimes(min_value=datetime.datetime(1, 1, 1)).map(lambda t: t.isoformat(separator))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1]),
    "small": st.integers(-3, 3),
    "real": st.floats(allow_nan=False) | st.sampled_from([-0.0, 3.0, float("inf"), 1e15, 1e18, 2.0**52, 5e-324]),
    "price": st.decimals(-99999, 99999, places=2).map(float),
    "text": st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["7", "1e3", "a\0b", "", "0x10", " 12 "]),
    "blob": st.binary(max_size=6) | st.just(b"2020-01-01"),
    "date": st.dates().map(str) | st.sampled_from(["2020-02-30", "2020-1-1", "0000-01-01"]),
    "stamp": _stamps(" ") | _stamps("T"),
    "padded": st.datetimes().map(lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f")),
    "time": st.times().map(str) | st.just("24:00:00"),
    "uuid": st.uuids().map(str) | st.uuids().map(lambda u: str(u).upper()),
    "json": st.sampled_from(["{}", "[1, 2]", "7", "null"]),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    declared = draw(st.lists(st.sampled_from(DECLARED), min_size=1, max_size=5))
    rows = draw(st.integers(0, 6))
    values = []
    for _ in declared:
        kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=2))
        value = st.one_of(st.none(), *(VALUES[kind] for kind in kinds))
        values.append(draw(st.lists(value, min_size=rows, max_size=rows)))
    return declared, values


@given(columns(), st.booleans())
@settings(max_examples=60)
def test_every_value_comes_back_in_its_storage_class(drawn: tuple[list[str], list[list[Any]]], without: bool) -> None:
    declared, values = drawn
    names = [f"c{n}" for n in range(len(declared))]
    fields = ", ".join(f"{name} {kind}" for name, kind in zip(names, declared, strict=True))
    rows = [
        (f"INSERT INTO t VALUES (?{', ?' * len(names)})", (n, *row)) for n, row in enumerate(zip(*values, strict=True))
    ]
    with TemporaryDirectory() as folder:
        table = f"CREATE TABLE t (id INTEGER PRIMARY KEY, {fields}){' WITHOUT ROWID' if without else ''}"
        path = make(Path(folder, "till.db"), table, rows=rows)
        copy = rebuilt(path, Path(folder, "copy.db"))
        assert stored(copy, "t", names, "id") == stored(path, "t", names, "id")
        assert ask(copy, "SELECT sql FROM sqlite_schema") == ask(path, "SELECT sql FROM sqlite_schema")
        again = read(source(copy))["t"]
        first = read(source(path))["t"]
        assert (again[0], again[1].to_pylist()) == (first[0], first[1].to_pylist())


@pytest.mark.parametrize(
    ("declared", "values", "logical"),
    [
        ("INTEGER", [1, -(2**63), None], "int64"),
        ("INTEGER", [1, 1.5], "any"),
        ("BOOLEAN", [0, 1, None], "bool"),
        ("BOOLEAN", [0, 2], "int64"),
        ("BOOLEAN", ["yes", 1], "any"),
        ("DOUBLE", [1, 2.5, float("inf")], "float64"),
        ("DECIMAL(10,2)", [100, 99.5, -0.01, None], "decimal(10,2)"),
        ("DECIMAL(19,0)", [2**63 - 1, 2**53 + 1], "decimal(19,0)"),
        ("DECIMAL(38,2)", [2**63 - 1, 0.25], "decimal(38,2)"),
        ("DECIMAL(4,2)", [100, 99.5], "float64"),
        ("DECIMAL(10,2)", [0.005], "float64"),
        ("DECIMAL(10,2)", [2**53 + 1, 0.001], "any"),
        ("DECIMAL(40,2)", [1], "float64"),
        ("DECIMAL(10,2)", ["n/a", 1], "any"),
        ("NUMERIC", [1, 2.5, 2**53], "any"),
        ("NUMERIC", [1, 2.5, 2**53 - 1], "float64"),
        ("DATE", ["2020-02-29", None], "date"),
        ("DATE", ["2020-02-30"], "text"),
        ("DATE", ["2020-02-29", 7], "any"),
        ("DATE", ["2020-02-29", b"2020-02-29"], "any"),
        ("UUID", [str(uuid.UUID(int=5))], "uuid"),
        ("UUID", [str(uuid.UUID(int=10)).upper()], "text"),
        ("UUID", [str(uuid.UUID(int=5)) + "\0x"], "text"),
        ("JSON", ['{"a": 1}', "[]"], "json"),
        ("JSON", ["7"], "any"),
        ("TEXT", ["7", "ü"], "text"),
        ("TEXT", ["7", b"7"], "any"),
        ("BLOB", [b"\xff", None], "bytes"),
        ("BLOB", [b"x", "x"], "any"),
        ("BLOB", [b"x", 1], "any"),
        ("", [1, "1", 1.0, b"1", None], "any"),
        ("TIME", ["12:00:00", "12:00:00.500000"], "time"),
        ("TIME", ["12:00"], "text"),
        ("DATETIME", ["2020-01-01 00:00:00+00:00"], "text"),
        ("DATETIME", ["2020-01-01 00:00:00", "infinity"], "text"),
        ("DATETIME", ["2020-01-01T00:00:00Z"], "text"),
        ("DATETIME", [1577836800], "any"),
    ],
)
@pytest.mark.parametrize("position", ["first", "late"])
def test_the_first_plan_that_fits_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: str, values: list[Any], logical: str, position: str
) -> None:
    monkeypatch.setattr(scan, "MAX_BATCH_ROWS", 64)
    monkeypatch.setattr(scan, "PEEK_ROWS", 16)
    rows = [("INSERT INTO t (c) VALUES (?)", (value,)) for value in values]
    path = make(tmp_path / "till.db", f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})", rows=rows)
    if position == "late":
        _put_last(path)
    table, found = read(source(path))["t"]
    assert table.schema.type_of("c") == logical
    assert found.num_rows == len(values) + (300 if position == "late" else 0)
    copy = rebuilt(path, tmp_path / "copy.db")
    assert stored(copy, "t", ["id", "c"]) == stored(path, "t", ["id", "c"])


def _put_last(path: Path) -> None:
    """NULLs before the values, more than a batch of them."""
    make(
        path,
        "UPDATE t SET id = id + 100000",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
        " INSERT INTO t SELECT i, NULL FROM n",
    )


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2020-01-01 00:00:00", "2020-01-01 00:00:00.000001"], "YYYY-MM-DD HH:MM:SS[.ffffff]"),
        (["2020-01-01 00:00:00.000000", "2020-01-01 00:00:00.000001"], "YYYY-MM-DD HH:MM:SS.ffffff"),
        (["2020-01-01T00:00:00", "2020-01-01T00:00:00.500000"], "YYYY-MM-DDTHH:MM:SS[.ffffff]"),
        (["2020-01-01T00:00:00.000000", None], "YYYY-MM-DDTHH:MM:SS.ffffff"),
        ([], "YYYY-MM-DD HH:MM:SS[.ffffff]"),
    ],
)
def test_the_text_form_of_timestamps_is_noted(tmp_path: Path, values: list[str | None], form: str) -> None:
    rows = [("INSERT INTO t (c) VALUES (?)", (value,)) for value in values]
    path = make(tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, c DATETIME)", rows=rows)
    table, _ = read(source(path))["t"]
    assert (table.schema.type_of("c"), table.ddl.forms) == ("timestamp", {"c": form})


def test_mixed_text_forms_make_it_text(tmp_path: Path) -> None:
    rows = [("INSERT INTO t (c) VALUES (?)", (v,)) for v in ("2020-01-01 00:00:00", "2020-01-01T00:00:00")]
    path = make(tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, c DATETIME)", rows=rows)
    assert read(source(path))["t"][0].schema.type_of("c") == "text"


def test_a_late_misfit_restarts_and_an_earlier_schema_saves_that(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c INTEGER, d DATE)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70000)"
        " INSERT INTO t SELECT i, i, '2020-01-01' FROM n",
        "UPDATE t SET c = 'x', d = 'someday' WHERE id = 69999",
    )
    calls = []

    def consume(found: Any) -> Any:
        calls.append(found.table.schema)
        return found.table.schema, whole(found).num_rows

    with source(path).read() as state:
        schema, rows = state.scan("t", consume)
        assert (schema.type_of("c"), schema.type_of("d"), rows) == ("any", "text", 70000)
        assert len(calls) > 1
        calls.clear()
        assert state.scan("t", consume, schema) == (schema, 70000)
        assert len(calls) == 1
    make(path, "UPDATE t SET c = 1, d = '2020-01-01' WHERE id = 69999")
    with source(path).read() as state:
        narrow, _ = state.scan("t", consume, schema)
        assert (narrow.type_of("c"), narrow.type_of("d")) == ("int64", "date")


def test_a_misfit_that_a_consumer_wraps_still_restarts(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c INTEGER)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70000)"
        " INSERT INTO t SELECT i, i FROM n",
        "UPDATE t SET c = 'x' WHERE id = 69999",
    )

    def consume(found: Any) -> str:
        try:
            whole(found)
        except Exception as error:
            raise RuntimeError("something of another library") from error
        return str(found.table.schema.type_of("c"))

    with source(path).read() as state:
        assert state.scan("t", consume) == "any"


def test_what_a_consumer_raises_passes(tmp_path: Path) -> None:
    path = make(tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    with source(path).read() as state, pytest.raises(ZeroDivisionError):
        state.scan("t", lambda found: [1 // 0 for _ in found.batches])


def test_text_that_is_not_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)",
        "INSERT INTO t VALUES (1, 'good'), (2, CAST(x'ff41' AS TEXT))",
    )
    table, rows = read(source(path))["t"]
    assert table.schema.type_of("c") == "any"
    assert rows.column("c").to_pylist() == [b"tgood", b"t\xffA"]
    copy = rebuilt(path, tmp_path / "copy.db")
    assert stored(copy, "t", ["c"]) == stored(path, "t", ["c"])


def test_a_large_blob_and_a_large_text(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB, c)",
        "INSERT INTO t VALUES (1, randomblob(50000000), 7), (2, x'', 'x')",
    )
    copy = rebuilt(path, tmp_path / "copy.db")
    assert stored(copy, "t", ["b", "c"], "id") == stored(path, "t", ["b", "c"], "id")


def test_a_thousand_columns(tmp_path: Path) -> None:
    kinds = itertools.cycle(["INTEGER", "TEXT", "DECIMAL(9,2)", "DATETIME", ""])
    fields = ", ".join(f"c{n} {kind}" for n, kind in zip(range(1000), kinds, strict=False))
    path = make(
        tmp_path / "till.db", f"CREATE TABLE t (id INTEGER PRIMARY KEY, {fields})", "INSERT INTO t (id) VALUES (1)"
    )
    make(path, "UPDATE t SET c999 = x'00', c998 = '2020-01-01 00:00:00', c997 = 1.25")
    copy = rebuilt(path, tmp_path / "copy.db")
    names = ["c997", "c998", "c999"]
    assert stored(copy, "t", names) == stored(path, "t", names)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_settings_sequences_views_and_triggers_come_back(tmp_path: Path, encoding: str) -> None:
    path = make(tmp_path / "till.db", f"PRAGMA encoding = '{encoding}'")
    make(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, c, n TEXT, d DATE)",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, t)",
        "CREATE INDEX by_n ON t (n)",
        "CREATE VIEW v AS SELECT * FROM t",
        "CREATE TRIGGER noted AFTER INSERT ON t BEGIN INSERT INTO log (t) VALUES (new.id); END",
        "CREATE TRIGGER through INSTEAD OF INSERT ON v BEGIN INSERT INTO t (n) VALUES (new.n); END",
        "INSERT INTO t (c, n, d) VALUES ('ü', 'é', '2020-01-01'), (x'00', '', NULL)",
        "UPDATE sqlite_sequence SET seq = 50",
        "PRAGMA user_version = 7",
        "PRAGMA application_id = -5",
        journal="wal",
    )
    copy = rebuilt(path, tmp_path / "copy.db")
    schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    assert ask(copy, schema) == ask(path, schema)
    for name in ("user_version", "application_id", "encoding", "journal_mode", "auto_vacuum", "page_size"):
        assert ask(copy, f"PRAGMA {name}") == ask(path, f"PRAGMA {name}")
    assert ask(copy, "SELECT * FROM sqlite_sequence") == [("t", 50)]
    assert ask(copy, "SELECT * FROM log ORDER BY id") == [(1, 1), (2, 2)]
    assert stored(copy, "t", ["id", "c", "n", "d"]) == stored(path, "t", ["id", "c", "n", "d"])


NAMES = [
    "select", 'qu"ote', "a;--b", "new\nline", "shoe 👟", "../x", "-dash", "*?[a]", "CON", "", " ", "Größe", "a'b",
    "a{0}b", "%s", "table.x", "rowid",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_may_be_anything(tmp_path: Path, name: str) -> None:
    path = make(
        tmp_path / "till.db",
        f"CREATE TABLE {quoted(name)} ({quoted(name)} TEXT, {quoted(name + '2')} DECIMAL(9,2), b,"
        f" PRIMARY KEY ({quoted(name)}))",
        f"CREATE INDEX {quoted(name + ' index')} ON {quoted(name)} (b)",
        rows=[(f"INSERT INTO {quoted(name)} VALUES (?, ?, ?)", ("k", 1.5, b"x"))],
    )
    table, rows = read(source(path))[name]
    assert (table.name, table.schema.key, rows.num_rows) == (name, (name,), 1)
    copy = rebuilt(path, tmp_path / "copy.db")
    assert stored(copy, name, [name, name + "2", "b"]) == stored(path, name, [name, name + "2", "b"])
    assert ask(copy, "SELECT sql FROM sqlite_schema") == ask(path, "SELECT sql FROM sqlite_schema")


@pytest.mark.parametrize("table", ["order", 'x"; DROP TABLE y; --', "*"])
def test_globs_and_names_are_taken_in_their_own_case(tmp_path: Path, table: str) -> None:
    path = make(
        tmp_path / "till.db",
        f"CREATE TABLE {quoted(table)} (id INTEGER PRIMARY KEY)",
        "CREATE TABLE B (id INTEGER PRIMARY KEY)",
    )
    assert "B" not in read(source(path, exclude=("b*", "B")))
    assert "B" in read(source(path, exclude=("b*",)))
    assert set(read(source(path, tables=("[A-Z]",)))) == {"B"}


def test_values_that_sqlite_cannot_hold_are_refused_by_name(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, c REAL)", "INSERT INTO t VALUES (1, 1.5)"
    )
    table, rows = read(source(path))["t"]
    odd = rows.set_column(1, "c", pa.array([float("nan")]))
    with pytest.raises(SourceUnfit, match=r'table "t", row \(id=1\), column "c"'):
        source(tmp_path / "copy.db").build([(table, iter(odd.to_batches()))], _database(path))
    assert not (tmp_path / "copy.db").exists()


def _database(path: Path) -> Any:
    with source(path).read() as state:
        return state.database
