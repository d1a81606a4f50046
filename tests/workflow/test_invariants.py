"""Invariants: what a merge breaks anew is a conflict that blocks nothing, is told once, and goes when it is mended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prontosync.history.conflicts import Conflict, conflicts_of
from prontosync.workflow.decide import one_row, take
from prontosync.workflow.invariants import InvariantBroken
from prontosync.workflow.resolve import resolve
from tests.fixtures.places import Chain, Place, rest

Make = Callable[..., Chain]
STOCK = "CREATE TABLE stock (id INTEGER PRIMARY KEY, on_hand INTEGER, model TEXT)"
ROWS = "INSERT INTO stock VALUES (1, 1, 'boot'), (2, 5, 'clog'), (3, -2, 'lost')"
NEGATIVE = "SELECT id, on_hand FROM merged.stock WHERE on_hand < 0"


@pytest.fixture
def shops(chain: Make) -> Chain:
    office, stores = chain(2, STOCK, ROWS)
    office.set("table.stock.columns.on_hand", "sum")
    config = office.top / "prontosync.toml"
    config.write_text(config.read_text() + f'\n[invariant.negative-stock]\ntable = "stock"\nsql = "{NEGATIVE}"\n')
    office.commit_rules()
    rest([*stores, office])
    return office, stores


def marks(place: Place) -> list[Conflict]:
    return list(conflicts_of("stock", place.disputes("stock")))


def sell(place: Place, key: int) -> None:
    place.sql(f"UPDATE stock SET on_hand = on_hand - 1 WHERE id = {key}")


def test_the_last_pair_sold_twice_is_a_conflict_and_both_sales_stay(shops: Chain) -> None:
    office, (one, two) = shops
    sell(one, 1)
    sell(two, 1)
    sell(two, 2)
    rest([one, two, office])
    assert one.live("stock") == two.live("stock") == [(1, -1, "boot"), (2, 4, "clog"), (3, -2, "lost")]
    for place in (office, one, two):
        (conflict,) = marks(place)
        assert (conflict.key, conflict.kind, conflict.detail) == ((1,), "invariant", "negative-stock")
        assert conflict.shown == (1, -1, "boot")


def test_a_conflict_that_somebody_looked_at_is_not_asked_again(shops: Chain) -> None:
    office, (one, two) = shops
    sell(one, 1)
    sell(two, 1)
    rest([one, two, office])
    with office.session() as session:
        conflict = marks(office)[0]
        resolve(session, one_row("stock", "1", None, take(conflict.choices[0].branches[0], "main")))
    rest([office, one, two])
    assert [marks(place) for place in (office, one, two)] == [[], [], []]
    sell(one, 2)
    sell(two, 1)
    rest([one, two, office])
    assert [marks(place) for place in (office, one, two)] == [[], [], []]
    assert one.live("stock") == two.live("stock") == [(1, -2, "boot"), (2, 4, "clog"), (3, -2, "lost")]


def test_a_conflict_goes_when_the_row_is_right_again(shops: Chain) -> None:
    office, (one, two) = shops
    sell(one, 1)
    sell(two, 1)
    rest([one, two, office])
    one.sql("UPDATE stock SET on_hand = on_hand + 3 WHERE id = 1")
    rest([one, two, office])
    assert two.live("stock")[0] == (1, 2, "boot")
    assert [marks(place) for place in (office, one, two)] == [[], [], []]


def test_head_office_may_refuse(shops: Chain) -> None:
    office, (one, two) = shops
    office.set("invariant.negative-stock.refuse", "true")
    office.commit_rules()
    sell(one, 1)
    sell(two, 1)
    one.sync()
    two.sync()
    office.fetch()
    office.merge("hub/stores/one")
    with pytest.raises(InvariantBroken, match='"negative-stock" would be broken in table "stock", rows id=1'):
        office.merge("hub/stores/two")
    assert office.rows("stock")[0] == (1, 0, "boot")


def test_an_invariant_that_cannot_be_asked_blocks_nothing(shops: Chain) -> None:
    office, (one, two) = shops
    office.set("invariant.negative-stock.sql", "SELECT id FROM merged.stock WHERE nothing_of_the_kind")
    office.commit_rules()
    sell(one, 1)
    rest([one, two, office])
    assert two.live("stock")[0] == (1, 0, "boot")
