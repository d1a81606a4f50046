"""Invariants: what a merge breaks anew is a conflict that blocks nothing, is told once, and goes when it is mended."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

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


GUIDE = Path(__file__).parents[2] / "docs" / "merging.md"
SAMPLES = {
    "stock": (
        "CREATE TABLE stock (store_id TEXT, product_id INTEGER, on_hand INTEGER, PRIMARY KEY (store_id, product_id))",
        "INSERT INTO stock VALUES ('012', 1, 1), ('012', 2, 5)",
    ),
    "receipts": (
        "CREATE TABLE receipt (receipt_id TEXT PRIMARY KEY, store_id TEXT, number INTEGER)",
        "INSERT INTO receipt VALUES ('a', '012', 1), ('b', '007', 1)",
    ),
    "cash": (
        "CREATE TABLE cash_day (store_id TEXT, day DATE, total INTEGER, PRIMARY KEY (store_id, day))",
        "CREATE TABLE payment (payment_id TEXT PRIMARY KEY, store_id TEXT, day DATE, amount INTEGER)",
        "INSERT INTO cash_day VALUES ('012', '2026-11-23', 50), ('012', '2026-11-24', 0)",
        "INSERT INTO payment VALUES ('a', '012', '2026-11-23', 50)",
    ),
}


def _sampled(chain: Make, name: str) -> Chain:
    """Stores with the tables of a sample in the guide, and head office with its invariant."""
    found = re.search(rf"<!-- sample: {name} -->\n```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    office, stores = chain(2, *SAMPLES[name])
    if name == "stock":
        office.set("table.stock.columns.on_hand", "sum")
    config = office.top / "prontosync.toml"
    config.write_text(config.read_text() + "\n" + found[1])
    office.commit_rules()
    rest([*stores, office])
    return office, stores


def test_the_guide_s_sample_for_stock(chain: Make) -> None:
    office, (one, two) = _sampled(chain, "stock")
    for place in (one, two):
        place.sql("UPDATE stock SET on_hand = on_hand - 1")
    rest([one, two, office])
    for place in (one, two, office):
        assert [(c.key, c.kind) for c in marks(place)] == [(("012", 1), "invariant")]
    assert one.live("stock") == two.live("stock") == [("012", 1, -1), ("012", 2, 3)]


def test_the_guide_s_sample_for_receipt_numbers(chain: Make) -> None:
    office, (one, two) = _sampled(chain, "receipts")
    one.sql("INSERT INTO receipt VALUES ('c', '012', 2)", "INSERT INTO receipt VALUES ('e', '012', 3)")
    two.sql("INSERT INTO receipt VALUES ('d', '012', 2)", "INSERT INTO receipt VALUES ('f', '007', 3)")
    rest([one, two, office])
    for place in (one, two, office):
        found = list(conflicts_of("receipt", place.disputes("receipt")))
        assert [(c.key, c.kind, c.detail) for c in found] == [
            (("c",), "invariant", "receipt-numbers"),
            (("d",), "invariant", "receipt-numbers"),
        ]
    one.sql("UPDATE receipt SET number = 4 WHERE receipt_id = 'c'")
    rest([one, two, office])
    assert not any(place.disputes("receipt").rows for place in (one, two, office))


def test_the_guide_s_sample_for_cash_totals(chain: Make) -> None:
    office, (one, two) = _sampled(chain, "cash")
    for place, key, total in ((one, "b", 10), (two, "c", 20)):
        place.sql(
            f"INSERT INTO payment VALUES ('{key}', '012', '2026-11-24', {total})",
            f"UPDATE cash_day SET total = {total} WHERE day = '2026-11-24'",
        )
        place.snapshot()
        place.push()
    office.fetch()
    office.merge("hub/stores/one")
    with pytest.raises(InvariantBroken, match='"cash-totals" would be broken in table "cash_day"'):
        office.merge("hub/stores/two")
    two.sql("UPDATE payment SET day = '2026-11-25' WHERE payment_id = 'c'")
    two.sql(
        "UPDATE cash_day SET total = 0 WHERE day = '2026-11-24'",
        "INSERT INTO cash_day VALUES ('012', '2026-11-25', 20)",
    )
    two.snapshot()
    two.push()
    office.fetch()
    office.merge("hub/stores/two")
    assert ("012", "2026-11-25", 20) in two.live("cash_day")
    assert len(office.rows("cash_day")) == 3
