"""The engine: what it lets in, what it never lets out, and what becomes of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prontosync.engine.arrow import arrow_type, duckdb_type
from prontosync.engine.connection import Engine, EngineFull, QueryError, literal, quoted
from prontosync.model.schema import Column, TableSchema
from prontosync.tables.order import as_rows
from tests.fixtures.rows import TYPES, random_rows, same_values

ONE = pa.table({"x": [1, 2, 3]})
NASTY = ('a"b', "select", "; DROP TABLE x --", "'", "\n", "👟", "", " ", "a.b")


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.parquet"
    pq.write_table(ONE, path)
    return path


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_parquet('{path}')",
        "SELECT * FROM '{path}'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{path}'",
        "COPY (SELECT 1) TO '{path}.new' (FORMAT parquet)",
        "ATTACH '{path}.db'",
        "EXPORT DATABASE '{path}.dir'",
        "INSTALL sqlite",
        "LOAD sqlite",
        "LOAD '{path}'",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET memory_limit = '10GB'",
        "SET threads = 1",
        "RESET memory_limit",
        "SELECT * FROM 'https://example.com/x.parquet'",
    ],
)
def test_it_is_locked_down(engine: Engine, secret: Path, query: str) -> None:
    before = set(secret.parent.iterdir())
    with pytest.raises(QueryError):
        engine.execute(query.format(path=secret))
    assert set(secret.parent.iterdir()) == before


def test_allowed_folders_can_be_read_and_nothing_beside_them(secret: Path) -> None:
    folder = secret.parent / "objects"
    folder.mkdir()
    pq.write_table(ONE, folder / "x.parquet")
    with Engine(readable=[folder]) as engine:
        assert engine.rows(f"SELECT sum(x) FROM read_parquet('{folder}/x.parquet')") == [(6,)]
        with pytest.raises(QueryError):
            engine.rows(f"SELECT * FROM read_parquet('{folder}/../secret.parquet')")
        with pytest.raises(QueryError):
            engine.execute(f"COPY (SELECT 1) TO '{secret.parent}/y.parquet'")


def test_our_own_variables_are_no_tables(engine: Engine) -> None:
    hidden = pa.table({"x": [1]})
    with pytest.raises(QueryError):
        engine.table("SELECT * FROM hidden")
    assert hidden.num_rows == 1


def test_relations_are_there_for_one_query(engine: Engine) -> None:
    assert engine.table("SELECT * FROM _r", _r=ONE).equals(ONE)
    with pytest.raises(QueryError):
        engine.table("SELECT * FROM _r")
    assert engine.rows("SELECT $1 + $2", [1, 2]) == [(3,)]


def test_queries_run_while_a_reader_is_open(engine: Engine) -> None:
    many = pa.table({"x": range(10_000)})
    reader = engine.reader("SELECT * FROM _r ORDER BY x DESC", 100, _r=many)
    first = next(reader)
    assert first.num_rows <= 100
    assert engine.rows("SELECT count(*) FROM _r", _r=ONE) == [(3,)]
    assert first.num_rows + sum(b.num_rows for b in reader) == 10_000


def test_a_reader_may_be_left_in_the_middle(engine: Engine) -> None:
    for _ in range(3):
        reader = engine.reader("SELECT * FROM _r ORDER BY x", 100, _r=pa.table({"x": range(100_000)}))
        next(reader)
        reader.close()
    assert engine.rows("SELECT 1") == [(1,)]


def test_a_reader_is_locked_down_too(engine: Engine) -> None:
    with pytest.raises(QueryError):
        next(engine.reader("SELECT * FROM read_text('/etc/passwd')", 10))


def test_zones_do_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/Lima")
    with Engine() as engine:
        zone = "SELECT current_setting('TimeZone') AS zone"
        assert engine.rows(zone) == [("UTC",)]
        assert next(engine.reader(zone, 10)).to_pylist() == [{"zone": "UTC"}]


@pytest.mark.parametrize("query", ["SELEC 1", "SELECT * FROM nowhere", "SELECT 1/'x'", "SELECT error('boom')", "SET x"])
def test_errors_are_ours(engine: Engine, query: str) -> None:
    with pytest.raises(QueryError) as caught:
        engine.table(query)
    assert caught.value.exit == 2
    assert "\n" not in caught.value.message


def test_no_room_to_sort() -> None:
    big = pa.table({"x": pa.array(range(2_000_000)), "y": ["some text that takes room"] * 2_000_000})
    with Engine(memory="10MB", threads=1) as engine, pytest.raises(EngineFull) as caught:
        list(engine.reader("SELECT * FROM _r ORDER BY y, x DESC", 1_000, _r=big))
    assert caught.value.exit == 16


@pytest.mark.parametrize("name", NASTY)
def test_any_name_can_be_quoted(engine: Engine, name: str) -> None:
    if name:
        assert engine.rows(f"SELECT {quoted(name)} FROM _r", _r=pa.table({name: [7]})) == [(7,)]
    assert engine.rows(f"SELECT {literal(name)}") == [(name,)]


@pytest.mark.parametrize(
    "condition",
    ["true) OR (true", "true; DROP TABLE x", "x > 1 LIMIT 1", "x > 1 UNION ALL SELECT 9", "true --", "(SELECT 1"],
)
def test_a_condition_is_one_expression(engine: Engine, condition: str) -> None:
    try:
        found = engine.matching(ONE, condition)
    except QueryError:
        return
    assert condition == "true --"
    assert found.equals(ONE)


@pytest.mark.parametrize("query", ["SELECT 1; SELECT 2", "DELETE FROM x", "CREATE TABLE x (y INT)", "COPY x TO 'y'"])
def test_only_one_select_is_taken(engine: Engine, query: str) -> None:
    with pytest.raises(QueryError):
        engine.check_select(query)


@pytest.mark.parametrize("logical", TYPES)
def test_values_of_every_type_pass_unchanged(engine: Engine, logical: str) -> None:
    schema = TableSchema((Column("id", "int64"), Column("v", logical)), ("id",))
    rows = random_rows(schema, 80, seed=5)
    result = engine.table(f"SELECT id, CAST(v AS {duckdb_type(logical)}) AS v FROM _r ORDER BY id", _r=rows)
    back = pa.Table.from_batches([as_rows(b, rows.schema) for b in result.to_batches()], schema=rows.schema)
    assert same_values(back, rows)
    assert back.schema.field("v").type == arrow_type(logical)
