"""Two tills that give one key to two customers: head office gives one of them another, and whatever refers to it
follows, everywhere."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from prontosync.history.conflicts import conflicts_of, hint
from prontosync.workflow.takeback import undo
from tests.fixtures.places import Chain, Place, rest

Make = Callable[..., Chain]
CUSTOMERS = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE)"
TICKETS = "CREATE TABLE tickets (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id), bought_by TEXT)"
VISITS = (
    "CREATE TABLE visits (store TEXT, n INTEGER, customer INTEGER REFERENCES customers (id), name TEXT,"
    " PRIMARY KEY (store, n))"
)
CARDS = "CREATE TABLE cards (customer INTEGER PRIMARY KEY REFERENCES customers (id), name TEXT)"
STAMPS = (
    "CREATE TABLE stamps (customer INTEGER REFERENCES cards (customer), n INTEGER, name TEXT,"
    " PRIMARY KEY (customer, n))"
)
FIRST = "INSERT INTO customers VALUES (500, 'Zoe', 'zoe@')"
SHOP = (CUSTOMERS, TICKETS, VISITS, CARDS, STAMPS, FIRST)


def run(place: Place, *statements: str) -> None:
    """As a till does that keeps its foreign keys."""
    with closing(sqlite3.connect(place.database)) as db, db:
        db.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            db.execute(statement)


def shop(chain: Make, rule: str = "store", number: int = 2) -> Chain:
    office, stores = chain(number, *SHOP)
    office.set("table.customers.renumber", rule)
    for place in (office, *stores):
        place.set("table.tickets.flow", "own")
    return office, stores


def customer(place: Place, number: int, name: str) -> None:
    """A customer with a ticket and a visit."""
    store = place.name
    run(
        place,
        f"INSERT INTO customers VALUES ({number}, '{name}', '{name}@')",
        f"INSERT INTO tickets SELECT coalesce(max(id), 0) + 1, {number}, '{name}' FROM tickets",
        f"INSERT INTO visits SELECT '{store}', count(*), {number}, '{name}' FROM visits WHERE store = '{store}'",
    )


def sell(place: Place, number: int, name: str) -> None:
    run(place, f"INSERT INTO tickets SELECT coalesce(max(id), 0) + 1, {number}, '{name}' FROM tickets")


def sold(place: Place) -> set[tuple[object, ...]]:
    """Of each ticket the customer it was sold to, and whom it refers to."""
    return set(place.sql("SELECT t.id, bought_by, c.name FROM tickets t LEFT JOIN customers c ON c.id = t.customer"))


def right(place: Place) -> None:
    for table, name in (("tickets", "bought_by"), ("visits", "name"), ("cards", "name")):
        wrong = place.sql(
            f"SELECT t.{name}, c.name FROM {table} t LEFT JOIN customers c ON c.id = t.customer"
            f" WHERE t.{name} IS NOT c.name"
        )
        assert wrong == [], (place.name, table)
    assert place.sql("PRAGMA foreign_key_check") == []
    assert place.sql("PRAGMA integrity_check") == [("ok",)]


def names(place: Place) -> dict[int, str]:
    return dict(place.sql("SELECT id, name FROM customers"))


@pytest.mark.parametrize("rule", ["store", "main"])
def test_two_customers_under_one_number_are_two_customers(chain: Make, rule: str) -> None:
    office, (one, two) = shop(chain, rule)
    customer(one, 501, "Ana")
    customer(two, 501, "Luis")
    rest([one, two, office])
    expected = {500: "Zoe", 501: "Ana", -1000001: "Luis"}
    if rule == "main":
        expected = {500: "Zoe", 501: "Luis", -1000001: "Ana"}
    for place in (one, two):
        assert names(place) == expected
        right(place)
        assert not place.disputes("customers")
    assert office.rows("customers") == one.rows("customers") == two.rows("customers")
    assert office.rows("visits") == one.rows("visits") == two.rows("visits")
    assert office.verified().sound


@pytest.mark.parametrize("rule", ["store", "main"])
def test_sales_go_on_while_head_office_decides(chain: Make, rule: str) -> None:
    office, (one, two) = shop(chain, rule)
    customer(one, 501, "Ana")
    customer(two, 501, "Luis")
    for place in (one, two, office):
        place.sync()
    for place, name in ((one, "Ana"), (two, "Luis")):
        sell(place, 501, name)
        customer(place, 502, f"{name} II")
    office.sync()
    rest([two, one, office])
    right(one)
    right(two)
    assert set(names(one).values()) == {"Zoe", "Ana", "Luis", "Ana II", "Luis II"}
    assert names(one) == names(two)
    assert len(sold(one)) == len(sold(two)) == 3


@pytest.mark.parametrize("rule", ["store", "main"])
def test_a_store_may_have_met_the_other_row_before(chain: Make, rule: str) -> None:
    office, (one, two) = shop(chain, rule)
    customer(one, 501, "Ana")
    for place in (one, office):
        place.sync()
    customer(two, 501, "Luis")
    two.sync()
    assert len(two.disputes("customers")) == 1
    assert names(two) == {500: "Zoe", 501: "Luis"}
    sell(two, 501, "Luis")
    run(two, "UPDATE customers SET email = 'l@' WHERE id = 501")
    run(one, "UPDATE customers SET email = 'a@' WHERE id = 501")
    rest([one, two, office])
    for place in (one, two):
        right(place)
        assert not place.disputes("customers")
        assert set(place.sql("SELECT name, email FROM customers")) == {("Zoe", "zoe@"), ("Ana", "a@"), ("Luis", "l@")}
    assert names(one) == names(two)


def test_cards_whose_key_is_the_customer_follow_with_all_they_have(chain: Make) -> None:
    office, (one, two) = shop(chain)
    for place, name in ((one, "Ana"), (two, "Luis")):
        customer(place, 501, name)
        run(
            place,
            f"INSERT INTO cards VALUES (501, '{name}')",
            f"INSERT INTO stamps VALUES (501, 1, '{name}'), (501, 2, '{name}')",
        )
    rest([one, two, office])
    for place in (one, two):
        right(place)
        assert place.live("cards") == [(-1000001, "Luis"), (501, "Ana")]
        assert len(place.live("stamps")) == 4
        assert not place.disputes("cards")
        assert not place.disputes("stamps")


def test_cards_follow_where_the_store_met_the_others_before(chain: Make) -> None:
    office, (one, two) = shop(chain)
    customer(one, 501, "Ana")
    run(one, "INSERT INTO cards VALUES (501, 'Ana')", "INSERT INTO stamps VALUES (501, 1, 'Ana'), (501, 2, 'Ana')")
    rest([one, office])
    customer(two, 501, "Luis")
    run(two, "INSERT INTO cards VALUES (501, 'Luis')", "INSERT INTO stamps VALUES (501, 2, 'Luis'), (501, 3, 'Luis')")
    two.sync()
    assert len(two.disputes("cards")) == len(two.disputes("stamps")) == 1
    rest([one, two, office])
    for place in (one, two):
        right(place)
        assert place.live("cards") == [(-1000001, "Luis"), (501, "Ana")]
        assert set(place.live("stamps")) == {
            (501, 1, "Ana"),
            (501, 2, "Ana"),
            (-1000001, 2, "Luis"),
            (-1000001, 3, "Luis"),
        }
        assert not place.disputes("stamps")


def test_the_moved_row_may_be_edited_or_deleted_meanwhile(chain: Make) -> None:
    office, (one, two) = shop(chain)
    for place, name in ((one, "Ana"), (two, "Luis")):
        customer(place, 501, name)
        run(place, f"INSERT INTO customers VALUES (502, '{name} II', NULL), (503, '{name} III', NULL)")
    for place in (one, two, office):
        place.sync()
    run(two, "UPDATE customers SET email = 'new@' WHERE id = 501", "DELETE FROM customers WHERE id = 502")
    rest([two, one, office])
    assert names(one) == names(two)
    assert sorted(names(one).values()) == ["Ana", "Ana II", "Ana III", "Luis", "Luis III", "Zoe"]
    assert one.sql("SELECT email FROM customers WHERE name = 'Luis'") == [("new@",)]
    right(two)


def test_undo_at_the_store_keeps_its_own_customer(chain: Make) -> None:
    office, (one, two) = shop(chain)
    customer(one, 501, "Ana")
    customer(two, 501, "Luis")
    for place in (one, two, office, two):
        place.sync()
    sell(two, 501, "Ana")
    with two.session() as session:
        undo(session)
    assert "Luis" in names(two).values()
    right(two)


def test_three_places_take_it_in_any_order(chain: Make) -> None:
    office, (one, two, three) = shop(chain, "store", 3)
    for place, name in ((one, "Ana"), (two, "Luis"), (three, "Mia")):
        customer(place, 501, name)
    for place in (three, office, one, office, two):
        place.sync()
    sell(two, 501, "Luis")
    rest([one, two, three, office])
    for place in (one, two, three):
        right(place)
        assert not place.disputes("customers")
    assert names(one) == names(two) == names(three)
    assert sorted(names(one).values()) == ["Ana", "Luis", "Mia", "Zoe"]


@pytest.mark.parametrize("rule", ["store", "main"])
def test_a_row_that_a_third_store_has_in_dispute_is_not_the_one_that_moved(chain: Make, rule: str) -> None:
    office, (one, two, three) = shop(chain, rule, 3)
    customer(one, 501, "Ana")
    customer(two, 501, "Luis")
    customer(three, 501, "Mia")
    for place in (three, office, one, two):
        place.sync()
    sell(two, 501, "Luis")
    assert len(one.disputes("customers")) == len(two.disputes("customers")) == 1
    rest([one, two, three, office])
    for place in (one, two, three):
        right(place)
        assert sorted(names(place).values()) == ["Ana", "Luis", "Mia", "Zoe"]
        assert not place.disputes("customers")


def test_text_keys_and_composite_keys(chain: Make) -> None:
    office, (one, two) = chain(
        2,
        "CREATE TABLE club (code TEXT PRIMARY KEY, name TEXT)",
        "CREATE TABLE member (club TEXT REFERENCES club (code), n INTEGER, name TEXT, mate INTEGER,"
        " PRIMARY KEY (club, n), FOREIGN KEY (club, mate) REFERENCES member (club, n))",
        "INSERT INTO club VALUES ('run', 'runners')",
    )
    for name in ("club", "member"):
        office.set(f"table.{name}.renumber", "store")
    run(one, "INSERT INTO club VALUES ('hike', 'one')", "INSERT INTO member VALUES ('hike', 1, 'Ana', NULL)")
    run(one, "INSERT INTO member VALUES ('run', 1, 'Bea', 1), ('run', 2, 'Cid', 1)")
    run(two, "INSERT INTO club VALUES ('hike', 'two')", "INSERT INTO member VALUES ('hike', 1, 'Luis', 1)")
    run(two, "INSERT INTO member VALUES ('run', 1, 'Mia', 1), ('run', 2, 'Noe', 1), ('run', 3, 'Oto', 2)")
    rest([one, two, office])
    for place in (one, two):
        assert place.live("club") == [("hike", "one"), ("hike~two", "two"), ("run", "runners")]
        assert set(place.live("member")) == {
            ("hike", 1, "Ana", None),
            ("hike~two", 1, "Luis", 1),
            ("run", 1, "Bea", 1),
            ("run", 2, "Cid", 1),
            ("run", -1000001, "Mia", -1000001),
            ("run", -1000002, "Noe", -1000001),
            ("run", 3, "Oto", -1000002),
        }
        assert not place.disputes("member")


class Day:
    """A random day: stores make customers as tills number them, sell to whom they know, and sync when they can."""

    def __init__(self, seed: int, office: Place, stores: list[Place]) -> None:
        self.random, self.office, self.stores = random.Random(seed), office, stores
        self.made: list[str] = []

    def event(self) -> None:
        place = self.random.choice(self.stores)
        known = place.sql("SELECT id, name FROM customers ORDER BY id")
        number, name = self.random.choice(known)
        kind = self.random.choice(["customer", "customer", "sell", "visit", "edit", "sync", "sync", "office"])
        if kind == "customer":
            self.made.append(f"{place.name}{len(self.made)}")
            customer(place, max(number for number, _ in known) + 1, self.made[-1])
        elif kind == "sell":
            sell(place, number, name)
        elif kind == "visit":
            run(
                place,
                f"INSERT INTO visits SELECT '{place.name}', count(*), {number}, '{name}' FROM visits"
                f" WHERE store = '{place.name}'",
            )
        elif kind == "edit":
            mine = f"name LIKE '{place.name}%'"
            run(place, f"UPDATE customers SET email = name || '{len(self.made)}' WHERE id = {number} AND {mine}")
        elif kind == "sync":
            assert place.sync().error is None
        else:
            self.office.sync()


@pytest.mark.parametrize("rule", ["store", "main"])
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_the_order_every_ticket_is_that_of_its_customer(chain: Make, rule: str, seed: int) -> None:
    office, stores = shop(chain, rule, 3)
    day = Day(seed, office, stores)
    for _ in range(30):
        day.event()
    rest([*stores, office])
    for place in stores:
        right(place)
        assert sorted(names(place).values()) == sorted(["Zoe", *day.made])
        for table in ("customers", "visits"):
            assert place.rows(table) == office.rows(table) == sorted(place.live(table), key=repr)
            assert not place.disputes(table)


def test_without_the_rule_the_conflict_names_it(chain: Make) -> None:
    office, (one, two) = chain(2, CUSTOMERS, FIRST)
    run(one, "INSERT INTO customers VALUES (501, 'Ana', NULL)")
    run(two, "INSERT INTO customers VALUES (501, 'Luis', NULL)")
    rest([one, two, office])
    (conflict,) = conflicts_of("customers", two.disputes("customers"))
    assert 'renumber = "store" under [table.customers]' in str(hint(conflict))


def test_what_cannot_get_another_key_stays_in_dispute(chain: Make) -> None:
    office, (one, two) = chain(
        2,
        "CREATE TABLE day (day DATE PRIMARY KEY, note TEXT)",
        "CREATE TABLE box (id INTEGER PRIMARY KEY CHECK (id > 0), note TEXT)",
        "INSERT INTO box VALUES (1, 'a')",
        "INSERT INTO day VALUES ('2026-01-01', 'a')",
    )
    for table in ("day", "box"):
        office.set(f"table.{table}.renumber", "store")
    for place in (one, two):
        run(
            place,
            f"INSERT INTO day VALUES ('2026-01-02', '{place.name}')",
            f"INSERT INTO box VALUES (2, '{place.name}')",
        )
    rest([one, two, office])
    for table in ("day", "box"):
        assert len(two.disputes(table)) == 1
    assert one.live("box") == [(1, "a"), (2, "one")]


def test_a_number_is_never_given_out_twice(chain: Make) -> None:
    office, (one, two) = shop(chain)
    customer(one, 501, "Ana")
    run(two, "INSERT INTO customers VALUES (501, 'Luis', NULL)")
    rest([one, two, office])
    run(two, "DELETE FROM customers WHERE id = -1000001")
    customer(one, 502, "Bea")
    run(two, "INSERT INTO customers VALUES (502, 'Mia', NULL)")
    rest([one, two, office])
    assert names(one) == {500: "Zoe", 501: "Ana", 502: "Bea", -1000002: "Mia"}


def test_a_sale_during_the_sync_is_written_by_the_next_try(chain: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    office, (one, two) = shop(chain)
    customer(one, 501, "Ana")
    customer(two, 501, "Luis")
    for place in (one, two, office):
        place.sync()
    with two.session() as session:
        source = session.need_source()
        apply, late = source.apply, ["UPDATE customers SET email = 'late@' WHERE id = 501"]

        def busy(*args: Any, **options: Any) -> Any:
            if late:
                sell(two, 501, "Luis")
                run(two, late.pop())
            return apply(*args, **options)

        monkeypatch.setattr(source, "apply", busy)
        from prontosync.workflow.pull import sync

        result = sync(session)
    assert result.error is None
    assert not late
    right(two)
    assert names(two) == {500: "Zoe", 501: "Ana", -1000001: "Luis"}
    assert result.outcome is not None
    assert [(k.table, k.old, k.new, k.branch) for k in result.outcome.next.renumbered] == [
        ("customers", "501", "-1000001", "stores/two")
    ]
    assert two.sql("SELECT email FROM customers WHERE name = 'Luis'") == [("late@",)]
    rest([one, two, office])
    assert one.rows("customers") == two.rows("customers") == office.rows("customers")
