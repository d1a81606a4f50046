"""Rows under other keys: what refers to them follows, and nothing else changes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from prontosync.disk.objects import MemoryObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine
from prontosync.history.commits import Tree
from prontosync.history.disputes import Dispute, Disputes, Origin, read_disputes, rows_by_key, write_disputes
from prontosync.history.renumber import Sharing, Shift, can_follow, renumbered
from prontosync.history.sets import Cells, Rows
from prontosync.model.encoding import MalformedObject
from prontosync.model.renumbering import Move, Renumbering, decode_renumbering, encode_renumbering
from prontosync.model.schema import Column, Ddl, ForeignKey, TableSchema
from prontosync.model.values import Row
from prontosync.tables.layout import Limits
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_rows

PERSON = TableSchema(
    (Column("id", "int64"), Column("name", "text"), Column("boss", "int64")),
    ("id",),
    foreign_keys=(ForeignKey(("boss",), "person", ("id",)),),
)
SALE = TableSchema(
    (Column("n", "int64"), Column("buyer", "int64"), Column("payer", "int64")),
    ("n",),
    foreign_keys=(ForeignKey(("buyer",), "person", ("id",)), ForeignKey(("payer",), "person", ("id",))),
)
SCHEMAS = {"person": PERSON, "sale": SALE}
PEOPLE: list[Row] = [(1, "a", None), (2, "b", 2), (3, "c", 2)]
SALES: list[Row] = [(1, 2, 1), (2, 1, 2), (3, 2, 2), (4, 3, None), (5, None, 2)]
WHOLE = Sharing("stores/012", (), store_moves=True)
MINE, OTHER = Origin("stores/012", "a" * 64, "row", ""), Origin("main", "b" * 64, "row", "")


class Shop:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.store = engine, MemoryObjectStore()

    def tree(self, disputes: dict[str, dict[Row, Dispute]] | None = None, **rows: list[Row]) -> Tree:
        tables = {}
        for name, some in rows.items():
            arrow = arrow_schema(SCHEMAS[name])
            columns = [pa.array(c, f.type) for c, f in zip(zip(*some, strict=True), arrow, strict=True)]
            batches = pa.table(columns, schema=arrow).to_batches()
            ddl, limits = Ddl("sqlite", ("",)), Limits(rows=2, bytes=100)
            stored = store_rows(self.store, self.engine, name, SCHEMAS[name], ddl, batches, True, None, limits)
            tables[name] = stored.state
        conflicts = {}
        for name, found in (disputes or {}).items():
            identity = write_disputes(self.store, Disputes(SCHEMAS[name], found))
            assert identity is not None
            conflicts[name] = identity
        return Tree(tables, conflicts)

    def rows(self, tree: Tree, name: str) -> list[Row]:
        stored = StoredTable(self.store, self.engine, name, tree.tables[name])
        return list(rows_by_key(stored.schema, stored.rows()).values())

    def disputes(self, tree: Tree, name: str) -> dict[Row, Dispute]:
        stored = StoredTable(self.store, self.engine, name, tree.tables[name])
        return read_disputes(stored, tree.conflicts.get(name)).rows

    def moved(self, tree: Tree, *shifts: Shift, sharing: Sharing = WHOLE) -> Tree:
        return renumbered(self.store, self.engine, tree, shifts, sharing)


@pytest.fixture
def shop() -> Shop:
    return Shop(Engine())


def test_every_reference_follows_and_nothing_else(shop: Shop) -> None:
    after = shop.moved(shop.tree(person=PEOPLE, sale=SALES), Shift("person", (2,), (-7,)))
    assert shop.rows(after, "person") == [(-7, "b", -7), (1, "a", None), (3, "c", -7)]
    assert shop.rows(after, "sale") == [(1, -7, 1), (2, 1, -7), (3, -7, -7), (4, 3, None), (5, None, -7)]


def test_rows_may_move_at_once_into_no_key_that_is_taken(shop: Shop) -> None:
    shifts = (Shift("person", (2,), (-7,)), Shift("person", (1,), (-8,)), Shift("person", (3,), (1,)))
    after = shop.moved(shop.tree(person=PEOPLE, sale=SALES), *shifts)
    assert shop.rows(after, "person") == [(-8, "a", None), (-7, "b", -7), (3, "c", -7)]
    assert shop.rows(after, "sale") == [(1, -7, -8), (2, -8, -7), (3, -7, -7), (4, 3, None), (5, None, -7)]


def test_candidates_follow_too(shop: Shop) -> None:
    open_cell = Dispute(Cells((frozenset([4]), frozenset([2, 3]), frozenset([None]))))
    open_cell.add("buyer", 2, MINE)
    open_cell.add("buyer", 3, OTHER)
    gone = Dispute(Rows(frozenset([(5, None, 2), None])))
    sales = [(n, 2 if n == 4 else buyer, payer) for n, buyer, payer in SALES]
    tree = shop.tree({"sale": {(4,): open_cell, (5,): gone}}, person=PEOPLE, sale=sales)
    after = shop.moved(tree, Shift("person", (2,), (-7,)))
    found = shop.disputes(after, "sale")
    assert found[(4,)].state == Cells((frozenset([4]), frozenset([-7, 3]), frozenset([None])))
    assert found[(4,)].origins[("buyer", -7)] == [MINE]
    assert found[(5,)].state == Rows(frozenset([(5, None, -7), None]))
    assert shop.rows(after, "sale")[3:] == [(4, -7, None), (5, None, -7)]


@pytest.mark.parametrize("store_moves", [True, False])
def test_of_two_rows_under_one_key_one_moves_with_its_own(shop: Shop, store_moves: bool) -> None:
    both = Dispute(Rows(frozenset([(2, "b", None), (2, "x", None)])))
    both.add(None, (2, "b", None), OTHER)
    both.add(None, (2, "x", None), MINE)
    people: list[Row] = [(1, "a", None), (2, "b", None), (3, "c", 2)]
    main = shop.tree(person=people, sale=[(1, 2, 1), (3, 1, 2)])
    tree = shop.tree({"person": {(2,): both}}, person=people, sale=SALES)
    sharing = Sharing("stores/012", (main,), store_moves)
    after = shop.moved(tree, Shift("person", (2,), (-7,), shared=True), sharing=sharing)
    assert not shop.disputes(after, "person")
    if store_moves:
        assert shop.rows(after, "person") == [(-7, "x", None), *people]
        assert shop.rows(after, "sale") == [(1, 2, 1), (2, 1, -7), (3, -7, 2), (4, 3, None), (5, None, -7)]
    else:
        assert shop.rows(after, "person") == [(-7, "b", None), (1, "a", None), (2, "x", None), (3, "c", -7)]
        assert shop.rows(after, "sale") == [(1, -7, 1), (2, 1, 2), (3, 2, -7), (4, 3, None), (5, None, 2)]


def test_only_whole_keys_of_the_same_types_can_be_followed() -> None:
    assert can_follow(SCHEMAS, "person", "id")
    text = TableSchema((Column("n", "text"),), ("n",), foreign_keys=(ForeignKey(("n",), "person", ("id",)),))
    assert not can_follow({**SCHEMAS, "text": text}, "person", "id")


def test_the_object_comes_back_and_says_nothing_empty() -> None:
    found = Renumbering((Move("person", "2", "-7", 1),), {"person": -7})
    assert decode_renumbering(encode_renumbering(found)[1]) == found
    for bad in (Renumbering(()), Renumbering((Move("a", "1", "1", 0),)), Renumbering((Move("a", "1", "2", 2),))):
        with pytest.raises(MalformedObject):
            decode_renumbering(encode_renumbering(bad)[1])
