"""What a table is: which schemas are sound, and how two differ."""

from __future__ import annotations

import pytest

from prontosync.model.schema import (
    BadSchema,
    Column,
    TableSchema,
    check_schema,
    decimal_parts,
    differences,
    is_type,
)

GOOD = TableSchema((Column("id", "int64"), Column("price", "decimal(10,2)")), ("id",))


def with_columns(*columns: tuple[str, str], key: tuple[str, ...] = ("id",)) -> TableSchema:
    return TableSchema(tuple(Column(*c) for c in columns), key)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("decimal(1,0)", (1, 0)),
        ("decimal(38,38)", (38, 38)),
        ("decimal(10,2)", (10, 2)),
        ("decimal(39,0)", None),
        ("decimal(0,0)", None),
        ("decimal(2,3)", None),
        ("decimal(10, 2)", None),
        ("decimal(010,2)", None),
        ("decimal(10,02)", None),
        ("decimal(10)", None),
        ("decimal(1٠,2)", None),
        ("decimal", None),
        ("int64", None),
    ],
)
def test_decimals(text: str, parts: tuple[int, int] | None) -> None:
    assert decimal_parts(text) == parts


@pytest.mark.parametrize("text", ["int32", "", "INT64", "text ", "varchar"])
def test_the_list_of_types_is_closed(text: str) -> None:
    assert not is_type(text)
    with pytest.raises(BadSchema, match=r'column "x"'):
        check_schema("t", with_columns(("id", "int64"), ("x", text)))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (with_columns(("id", "int64"), ("id", "text")), "two columns of one name"),
        (with_columns(("id", "int64"), ("Name", "text"), ("name", "text")), 'columns "Name" and "name"'),
        (with_columns(("id", "int64"), ("_ps_x", "text")), '"_ps_x"'),
        (with_columns(("id", "int64"), ("_PS_x", "text")), '"_PS_x"'),
        (with_columns(("id", "int64"), key=()), "key"),
        (with_columns(("id", "int64"), key=("x",)), "key"),
        (with_columns(("id", "int64"), key=("id", "id")), "key"),
        (with_columns(), "key"),
    ],
)
def test_schemas_that_are_not_sound(schema: TableSchema, words: str) -> None:
    with pytest.raises(BadSchema) as caught:
        check_schema("stock", schema)
    assert words in caught.value.message
    assert 'table "stock"' in caught.value.message
    assert caught.value.exit == 18


def test_names_that_are_no_twins() -> None:
    check_schema("t", with_columns(("id", "int64"), ("É", "text"), ("é", "text"), ("a.b", "text"), ("", "text")))


def test_columns_by_name() -> None:
    assert GOOD.type_of("price") == "decimal(10,2)"
    assert (GOOD.names, GOOD.values) == (("id", "price"), ("price",))
    with pytest.raises(KeyError):
        GOOD.type_of("nothing")


def test_differences_in_words() -> None:
    assert differences(GOOD, GOOD) == []
    assert differences(GOOD, with_columns(("price", "decimal(10,2)"), ("id", "int64"))) == []
    other = with_columns(("id", "text"), ("size", "int64"), key=("id", "size"))
    assert differences(GOOD, other) == [
        'column "price" was dropped',
        'column "size" was added',
        'column "id" is text, was int64',
        "the key is (id, size), was (id)",
    ]
