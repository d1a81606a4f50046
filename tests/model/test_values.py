"""Values: their order, their JSON, and the texts that people write."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.engine.connection import Engine
from prontosync.errors import ProntoError
from prontosync.model.keys import BadKey, key_argument, key_to_json, key_to_text, parse_key
from prontosync.model.schema import Column, TableSchema
from prontosync.model.values import canonical, from_json, from_text, orderable, same, to_json, to_text
from tests.fixtures.rows import TYPES, as_table, identity, random_row, random_value, schemas

seeds = st.integers(0, 2**32)


def exactly(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


@settings(max_examples=300)
@given(logical=st.sampled_from(TYPES), seed=seeds)
def test_json_there_and_back(logical: str, seed: int) -> None:
    value = random_value(logical, random.Random(seed))
    if logical == "any" and value in {b"t\xff", b"rnan"}:
        return  # shown as base64 and as NaN: a blob and a text when read back
    written = json.loads(json.dumps(to_json(value, logical), allow_nan=False))
    assert exactly(from_json(written, logical), value)


@settings(max_examples=300)
@given(logical=st.sampled_from([t for t in TYPES if t != "any"]), seed=seeds)
def test_text_there_and_back(logical: str, seed: int) -> None:
    value = random_value(logical, random.Random(seed), nullable=False)
    assert exactly(from_text(to_text(value, logical), logical), value)


@settings(max_examples=200)
@given(logical=st.sampled_from(TYPES), text=st.text(max_size=12))
def test_any_text_is_a_value_or_a_value_error(logical: str, text: str) -> None:
    try:
        value = from_text(text, logical)
    except ValueError:
        return
    assert value is not None


@settings(max_examples=200)
@given(
    logical=st.sampled_from(TYPES),
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers()),
)
def test_any_json_is_a_value_or_a_value_error(logical: str, value: Any) -> None:
    try:
        from_json(value, logical)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("text", "logical"),
    [
        ("9223372036854775808", "int64"),
        ("1.5", "int64"),
        ("1.005", "decimal(9,2)"),
        ("100", "decimal(2,0)"),
        ("NaN", "decimal(9,2)"),
        ("Infinity", "decimal(9,2)"),
        ("2026-02-30", "date"),
        ("2026-01-01T00:00:00Z", "timestamp"),
        ("2026-01-01T00:00:00", "timestamptz"),
        ("maybe", "bool"),
        ("0xgg", "bytes"),
        ("not-a-uuid", "uuid"),
    ],
)
def test_texts_that_are_no_values(text: str, logical: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        from_text(text, logical)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@settings(max_examples=60)
@given(logical=st.sampled_from(TYPES), seed=seeds)
def test_order_and_equality_are_those_of_the_engine(engine: Engine, logical: str, seed: int) -> None:
    rng = random.Random(seed)
    schema = TableSchema((Column("n", "int64"), Column("v", logical)), ("n",))
    values = [random_value(logical, rng) for _ in range(20)]
    rows = as_table(schema, enumerate(values))
    order = [n for (n,) in engine.rows("SELECT n FROM _r ORDER BY v ASC NULLS LAST, n", _r=rows)]
    assert order == sorted(range(20), key=lambda n: (orderable(values[n]), n))
    pairs = engine.rows("SELECT a.n, b.n, a.v IS NOT DISTINCT FROM b.v FROM _r a, _r b", _r=rows)
    for a, b, equal in pairs:
        assert same(values[a], values[b]) is equal
        assert (canonical(values[a]) == canonical(values[b])) is equal


@settings(max_examples=100)
@given(schema=schemas(), seed=seeds)
def test_keys_there_and_back(schema: TableSchema, seed: int) -> None:
    rng = random.Random(seed)
    row = random_row(schema, rng)
    key = tuple(row[schema.names.index(name)] for name in schema.key)
    if any(value in {b"t\xff", b"rnan"} for value in key if isinstance(value, bytes)):
        return
    assert key_to_text(key, schema)
    for text in (json.dumps(key_to_json(key, schema)), key_argument(key, schema)):
        again = parse_key(text, "t", schema)
        assert identity(schema, as_row(schema, again)) == identity(schema, row)


def as_row(schema: TableSchema, key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(key[schema.key.index(name)] if name in schema.key else None for name in schema.names)


@settings(max_examples=200)
@given(
    schema=schemas(), text=st.text(max_size=20) | st.sampled_from(["{", "[]", "{}", '{"id": 1}', "1,2", "id=1", "="])
)
def test_any_text_is_a_key_or_our_error(schema: TableSchema, text: str) -> None:
    try:
        parse_key(text, "t", schema)
    except ProntoError as error:
        refusal: ProntoError | None = error
    else:
        refusal = None
    assert refusal is None or isinstance(refusal, BadKey)
