"""What a definition says of rows that are not written yet: what the database itself would, and without harm."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.engine.arrow import arrow_schema
from prontosync.model.schema import Column, Ddl, TableSchema
from prontosync.sources.contract import RowChanges, SourceTable
from prontosync.sources.trial import SqliteTrial, Verdict

Rows = Sequence[tuple[Any, ...]]
COLUMNS = (Column("id", "int64"), Column("qty", "int64"), Column("sku", "text"), Column("note", "text"))
CHECKS = ("qty >= 0", "qty IS NULL OR qty < 10", "sku <> note", "length(sku) = 2", "sku GLOB '[a-c]*' OR qty = 1")
VALUES = (None, -1, 0, 1, 5, 10), (None, "aa", "bb", "c", "zz"), (None, "aa", "bb", "")


def table(statement: str, columns: Sequence[Column] = COLUMNS, **more: Any) -> SourceTable:
    schema = TableSchema(tuple(columns), ("id",))
    return SourceTable("t", schema, Ddl("sqlite", (statement,), {c.name: "" for c in columns}, **more))


def changes(of: SourceTable, inserts: Rows = (), updates: Sequence[tuple[Any, Any]] = ()) -> RowChanges:
    def rows(values: Rows) -> pa.Table:
        columns = list(zip(*values, strict=True)) or [()] * len(of.schema.columns)
        arrow = arrow_schema(of.schema)
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, arrow, strict=True)], schema=arrow)

    return RowChanges(of, rows([]), rows(inserts), rows([old for old, _ in updates]), rows([new for _, new in updates]))


def refused(of: SourceTable, inserts: Rows = (), updates: Sequence[tuple[Any, Any]] = ()) -> Verdict:
    return SqliteTrial().refused(changes(of, inserts, updates))


@st.composite
def definitions(draw: st.DrawFn) -> str:
    nulls = [draw(st.sampled_from(["", " NOT NULL", " NOT NULL ON CONFLICT REPLACE DEFAULT 'x'"])) for _ in range(3)]
    nulls[0] = nulls[0].replace("'x'", "1")
    kinds = [draw(st.sampled_from(["", " UNIQUE"])) for _ in range(3)]
    columns = [
        f"{n} {t}{a}{b}"
        for n, t, a, b in zip(("qty", "sku", "note"), ("INT", "TEXT", "TEXT"), nulls, kinds, strict=True)
    ]
    checks = [f"CHECK ({check})" for check in draw(st.sets(st.sampled_from(CHECKS), max_size=3))]
    rowid = draw(st.sampled_from(["", " WITHOUT ROWID", " STRICT"]))
    return f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join([*columns, *checks])}){rowid}"


row_values = st.tuples(*map(st.sampled_from, VALUES))


@settings(max_examples=150, deadline=None)
@given(definitions(), st.lists(row_values, max_size=5), st.lists(st.tuples(row_values, row_values), max_size=4))
def test_it_is_refused_what_the_database_would_refuse(
    statement: str, inserts: list[Any], updates: list[tuple[Any, Any]]
) -> None:
    came = [(n, *values) for n, values in enumerate(inserts)]
    changed = [((n, *old), (n, *new)) for n, (old, new) in enumerate(updates, 100) if old != new]
    verdict = refused(table(statement), came, changed)
    assert verdict.untested is None
    assert verdict.inserts.keys() == {n for n, row in enumerate(came) if not _accepts(statement, None, row)}
    for n, (old, new) in enumerate(changed):
        expected = _accepts(statement, old, new)
        if expected is not None:
            assert (n in verdict.updates) is not expected


def _accepts(statement: str, old: Any, new: Any) -> bool | None:
    """Whether SQLite takes one row alone; None where the old row cannot have been there."""
    database = sqlite3.connect(":memory:")
    try:
        statement = statement.replace(" ON CONFLICT REPLACE DEFAULT 'x'", "").replace(
            " ON CONFLICT REPLACE DEFAULT 1", ""
        )
        database.execute(statement)
        if old is not None:
            database.execute("PRAGMA ignore_check_constraints = ON")
            try:
                database.execute("INSERT INTO t VALUES (?, ?, ?, ?)", old)
            except sqlite3.IntegrityError:
                return None
            database.execute("PRAGMA ignore_check_constraints = OFF")
        try:
            if old is None:
                database.execute("INSERT INTO t VALUES (?, ?, ?, ?)", new)
            else:
                names = [c.name for c, a, b in zip(COLUMNS, old, new, strict=True) if a != b]
                values = [b for a, b in zip(old, new, strict=True) if a != b]
                database.execute(f"UPDATE t SET {', '.join(f'{name} = ?' for name in names)}", values)
        except sqlite3.IntegrityError:
            return False
        return True
    finally:
        database.close()


def test_the_words_are_the_databases() -> None:
    of = table(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT CONSTRAINT stock CHECK (qty >= 0), sku TEXT NOT NULL, note)"
    )
    verdict = refused(of, [(1, -1, "a", None), (2, 1, "a", None), (3, 1, None, None)])
    assert verdict.inserts == {0: "CHECK constraint failed: stock", 2: "NOT NULL constraint failed: t.sku"}


def test_a_condition_that_was_broken_before_refuses_only_what_changes_its_columns() -> None:
    of = table("CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT CHECK (qty >= 0), sku, note CHECK (note <> 'x'))")
    old = (1, -1, "a", None)
    verdict = refused(
        of,
        [],
        [(old, (1, -1, "b", None)), (old, (1, -2, "a", None)), (old, (1, -1, "a", "x")), (old, (1, 3, "a", None))],
    )
    assert verdict.updates == {1: "CHECK constraint failed: qty >= 0", 2: "CHECK constraint failed: note <> 'x'"}


def test_rows_are_not_in_each_others_way() -> None:
    of = table("CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT CHECK (qty > 0), sku TEXT UNIQUE COLLATE NOCASE, note)")
    verdict = refused(
        of, [(1, 1, "a", None), (2, 1, "A", None), (3, 1, "b", None)], [((4, 1, "b", None), (4, 2, "a", None))]
    )
    assert verdict == Verdict()


def test_generated_columns_count() -> None:
    columns = (*COLUMNS, Column("total", "int64"))
    statement = "CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT, sku, note, total INT AS (qty * 2) CHECK (total < 10))"
    of = table(statement, columns, generated=("total",))
    old = (3, 1, None, None, 2)
    verdict = refused(of, [(1, 4, None, None, 8), (2, 5, None, None, 0)], [(old, (3, 6, None, None, 2))])
    assert (verdict.inserts.keys(), verdict.updates.keys()) == ({1}, {0})


def test_values_come_in_the_storage_class_they_have_in_the_database() -> None:
    columns = (Column("id", "int64"), Column("price", "decimal(9,2)"), Column("day", "date"), Column("at", "timestamp"))
    statement = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, price DECIMAL(9,2) CHECK (typeof(price) IN ('integer', 'real')),"
        " day DATE CHECK (day GLOB '????-??-??'), at DATETIME CHECK (length(at) = 19))"
    )
    declared = {"id": "INTEGER", "price": "DECIMAL(9,2)", "day": "DATE", "at": "DATETIME"}
    schema = TableSchema(columns, ("id",))
    of = SourceTable("t", schema, Ddl("sqlite", (statement,), declared))
    rows = pa.table(
        [[1], [Decimal("1.50")], [datetime.date(2026, 1, 2)], [datetime.datetime(2026, 1, 2, 3)]],
        schema=arrow_schema(schema),
    )
    none = rows.slice(0, 0)
    assert SqliteTrial().refused(RowChanges(of, none, rows, none, none)) == Verdict()


def test_a_type_that_a_strict_table_refuses_is_one_rows_matter() -> None:
    columns = (Column("id", "int64"), Column("v", "any"))
    of = table("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER) STRICT", columns)
    verdict = refused(of, [(n, b"tx" if n in (3, 40) else b"i1") for n in range(50)])
    assert verdict.inserts.keys() == {3, 40}
    assert "INTEGER" in verdict.inserts[3]


def test_a_value_that_sqlite_cannot_hold_is_one_rows_matter() -> None:
    columns = (Column("id", "int64"), Column("v", "float64"))
    of = table("CREATE TABLE t (id INTEGER PRIMARY KEY, v REAL CHECK (v < 9))", columns)
    nan = float("nan")
    rows = [(n, nan if n == 7 else float(n)) for n in range(12)]
    updates = [((n, 1.0), (n, nan if n == 22 else 2.0)) for n in range(20, 25)]
    verdict = refused(of, rows, updates)
    assert (verdict.inserts.keys(), verdict.updates.keys()) == ({7, 9, 10, 11}, {2})
    assert "not a number" in verdict.inserts[7]


def test_a_function_that_fails_on_a_value_is_one_rows_matter() -> None:
    of = table("CREATE TABLE t (id INTEGER PRIMARY KEY, qty, sku, note CHECK (json_extract(note, '$.a') > 0))")
    verdict = refused(of, [(1, 1, "a", '{"a": 1}'), (2, 1, "a", "{"), (3, 1, "a", '{"a": 0}')])
    assert verdict.inserts.keys() == {1, 2}
    assert verdict.inserts[1] == "malformed JSON"


def test_nothing_is_tried_where_nothing_can_be_refused() -> None:
    trial = SqliteTrial()
    assert not trial.concerns(table("CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT, sku TEXT, note TEXT)"))
    assert trial.concerns(table("CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT not null, sku, note)"))
    assert trial.concerns(table("CREATE TABLE t (id INTEGER PRIMARY KEY, qty INT check(qty), sku, note)"))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (till_knows(qty)), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (qty REGEXP 'a'), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty COLLATE shoes UNIQUE CHECK (qty > 0), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (length(hex(zeroblob(900000000))) > 0), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (replace(sku, 'a', 'aaaa') <> ''), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty AS (printf('%900000000d', id)) CHECK (qty > ''), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (load_extension('x')), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (qty > 0), sku, note, bomb DEFAULT (zeroblob(900000000)))",
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK ({' AND '.join(['qty > 0'] * 9000)}), sku, note)",
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK ({'(' * 5000}qty{')' * 5000}), sku, note)",
        "CREATE TABLE t AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT sum(x) AS id FROM c",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (qty > 0), sku, note); ATTACH '/tmp/x' AS y",
        "CREATE TABLE u (id INTEGER PRIMARY KEY, qty CHECK (qty > 0), sku, note)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (qty > 0), sku, note, _ps_number)",
        "CREATE VIRTUAL TABLE t USING fts5(id, qty, sku, note)",
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END",
        "ATTACH DATABASE '/tmp/victim' AS t",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (qty >",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, qty CHECK (qty > 0), sku, note\0)",
    ],
)
def test_a_definition_that_cannot_be_tried_tests_nothing_and_says_why(statement: str) -> None:
    verdict = refused(table(statement), [(1, -1, "a", None)])
    assert not verdict.inserts
    assert verdict.untested


def test_another_dialect_tests_nothing_and_says_so() -> None:
    of = SourceTable("t", TableSchema(COLUMNS, ("id",)), Ddl("postgresql", ("CREATE TABLE t (id int CHECK (id > 0))",)))
    assert SqliteTrial().concerns(of)
    assert "postgresql" in (refused(of, [(-1, 1, "a", None)]).untested or "")
