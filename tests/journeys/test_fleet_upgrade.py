"""A fleet upgraded one place after the other, over weeks, selling and syncing all the time: nobody is ever blocked, no
row and no value is lost, and in the end all agree."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fixtures.program import run_program

STORES = ("001", "002", "003", "004")
PLACES = ("office", *STORES)
VERSION_1 = (
    "CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER)",
    "CREATE TABLE customer (id TEXT PRIMARY KEY, name TEXT, code INTEGER, fax TEXT)",
    "CREATE TABLE tariff (product_id INTEGER PRIMARY KEY, zone TEXT NOT NULL, amount INTEGER)",
    "CREATE TABLE ticket (id INTEGER PRIMARY KEY, product_id INTEGER REFERENCES product, pairs INTEGER)",
)
START = (
    "INSERT INTO product VALUES (1, 'boot', 100), (2, 'clog', 200), (3, 'pump', 300)",
    "INSERT INTO customer VALUES ('A', 'Ana', 7, '1'), ('B', 'Bea', NULL, NULL)",
    "INSERT INTO tariff VALUES (1, 'north', 1), (2, 'south', 2)",
)
VERSION_2 = (
    "ALTER TABLE product ADD COLUMN ean TEXT",
    "ALTER TABLE product ADD COLUMN least INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE product RENAME COLUMN name TO title",
    "CREATE TABLE customer_2 (id TEXT PRIMARY KEY, name TEXT, code TEXT)",
    "INSERT INTO customer_2 SELECT id, name, code FROM customer",
    "DROP TABLE customer",
    "ALTER TABLE customer_2 RENAME TO customer",
    "CREATE TABLE tariff_2 (product_id INTEGER, zone TEXT, amount INTEGER, PRIMARY KEY (product_id, zone))",
    "INSERT INTO tariff_2 SELECT * FROM tariff",
    "DROP TABLE tariff",
    "ALTER TABLE tariff_2 RENAME TO tariff",
    "CREATE TABLE promo (id INTEGER PRIMARY KEY, text TEXT)",
)


@dataclass
class Fleet:
    """The places' folders below ``top``; ``customers`` and ``sold`` are what was entered, by hand."""

    top: Path
    customers: dict[str, tuple[str, str]] = field(default_factory=dict)
    tariffs: set[tuple[int, str, int]] = field(default_factory=set)
    sold: dict[str, int] = field(default_factory=dict)
    upgraded: set[str] = field(default_factory=set)

    def run(self, place: str, *words: str) -> str:
        done = run_program(*words, cwd=self.top / place)
        assert done.returncode == 0, f"{place}: {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def sql(self, place: str, *statements: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.top / place / "pos.db")) as db, db:
            return [row for statement in statements for row in db.execute(statement).fetchall()]

    def start(self) -> None:
        run_program("init", "--bare", "hub", cwd=self.top)
        for place in PLACES:
            (self.top / place).mkdir()
            self.sql(place, *VERSION_1, *START)
            branch = "main" if place == "office" else f"stores/{place}"
            self.run(place, "init", "--source", "pos.db", "--store", place, "--branch", branch)
            self.run(place, "remote", "add", "hub", "../hub")
            if place != "office":
                self.run(place, "config", "set", "store.upstream", "hub/main")
            self.run(place, "config", "set", "table.ticket.flow", "own")
            self.run(place, "config", "set", "table.product.renamed.name", "title")

    def upgrade(self, place: str) -> None:
        self.sql(place, *VERSION_2)
        self.upgraded.add(place)

    def sell(self, place: str, week: int) -> None:
        """A new customer, a ticket, and a tariff that no other place makes."""
        number = 100 * (PLACES.index(place) + 1) + week
        code = f"'K-{number}'" if place in self.upgraded else str(number)
        fax = "" if place in self.upgraded else ", NULL"
        self.sql(
            place,
            f"INSERT INTO customer VALUES ('C{number}', 'new {number}', {code}{fax})",
            f"INSERT INTO ticket (product_id, pairs) VALUES (1, {week})",
            f"INSERT INTO tariff VALUES ({number}, 'z{number}', {number})",
        )
        self.customers[f"C{number}"] = (f"new {number}", code.strip("'"))
        self.tariffs.add((number, f"z{number}", number))
        self.sold[place] = self.sold.get(place, 0) + week

    def sync(self) -> None:
        """Every store, then head office, which merges them all, then every store."""
        for store in STORES:
            self.run(store, "sync")
        self.run("office", "sync")
        for store in STORES:
            self.run("office", "merge", f"hub/stores/{store}")
        self.run("office", "push")
        for store in STORES:
            self.run(store, "sync")


def test_a_fleet_is_upgraded_one_place_after_the_other(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.start()
    fleet.sync()
    for week, place in enumerate(PLACES, 1):
        fleet.upgrade(place)
        if place == "office":
            fleet.sql("office", "UPDATE product SET ean = 'E' || id", "INSERT INTO promo VALUES (1, 'two for one')")
            fleet.sql("office", "UPDATE product SET least = 5 WHERE id = 2")
        fleet.sql("office", f"UPDATE product SET price = {100 + week} WHERE id = 1")
        fleet.sql(STORES[-1], f"UPDATE product SET price = {200 + week} WHERE id = 2")
        for seller in PLACES:
            fleet.sell(seller, week)
        fleet.sync()
        status = json.loads(fleet.run(STORES[-1], "status", "--json"))
        assert status["conflicts"] == 0
        assert [one["table"] for one in status["unmerged"]] == (["tariff"] if place != STORES[-1] else [])
    fleet.run("office", "config", "set", "table.customer.dropped", '["fax"]')
    fleet.run("office", "rules", "commit")
    fleet.sync()
    fleet.sync()
    _check(fleet)


def _check(fleet: Fleet) -> None:
    weeks = len(PLACES)
    for place in PLACES:
        assert fleet.sql(place, "SELECT id, title, price, ean, least FROM product ORDER BY id") == [
            (1, "boot", 100 + weeks, "E1", 0),
            (2, "clog", 200 + weeks, "E2", 5),
            (3, "pump", 300, "E3", 0),
        ]
        found = {key: (name, code) for key, name, code in fleet.sql(place, "SELECT id, name, code FROM customer")}
        assert found == {"A": ("Ana", "7"), "B": ("Bea", None), **fleet.customers}
        tariffs = {(1, "north", 1), (2, "south", 2), *fleet.tariffs}
        assert set(fleet.sql(place, "SELECT product_id, zone, amount FROM tariff")) == tariffs
        assert fleet.sql(place, "SELECT * FROM promo") == [(1, "two for one")]
        assert fleet.sql(place, "SELECT sum(pairs) FROM ticket") == [(fleet.sold[place],)]
        assert fleet.sql(place, "PRAGMA integrity_check") == [("ok",)]
        listed = json.loads(fleet.run(place, "ls-tables", "--json"))
        columns = {table["table"]: [column["name"] for column in table["columns"]] for table in listed}
        assert "fax" not in columns["customer"]
        assert json.loads(fleet.run(place, "status", "--json"))["unmerged"] == []
    digests = [
        {t["table"]: (t["rows"], t["digest"]) for t in json.loads(fleet.run(p, "ls-tables", "--json"))} for p in PLACES
    ]
    for one in digests:
        one.pop("ticket")
        assert one == digests[0]
