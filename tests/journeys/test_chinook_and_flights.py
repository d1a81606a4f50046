"""Two shops and head office around a real sshd, with the Chinook shop and the flights table in each database.

What every database must hold in the end is worked out by plain SQL on copies of the start.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.data import chinook_database, flights_database
from tests.fixtures.program import run_program
from tests.fixtures.sshd import Sshd

OWN = ("chinook_invoice", "chinook_invoiceline")
SALE = (
    (
        "INSERT INTO chinook_invoice (id, InvoiceDate, billingcity, Total, customer_id) "
        "VALUES ({n}, '2026-11-24 08:00:00', {city}, 1.98, {customer})"
    ),
    "INSERT INTO chinook_invoiceline (id, unit_price, Quantity, invoice_id, track_id) VALUES ({n}0, 0.99, 2, {n}, 17)",
)
ONLY_A = [
    "UPDATE flights SET dep_delay = dep_delay + 5 WHERE line % 1000 = 1 AND line NOT BETWEEN 200000 AND 200099",
    "UPDATE flights SET tailnum = NULL WHERE line % 5000 = 2 AND line NOT BETWEEN 200000 AND 200099",
    "DELETE FROM flights WHERE line BETWEEN 100000 AND 100999",
    "UPDATE chinook_track SET unit_price = 1.29 WHERE genre_id = 3",
    "UPDATE chinook_customer SET email = 'a-' || email WHERE id < 10",
    "INSERT INTO chinook_artist (id, name) VALUES (9001, 'Björk Guðmundsdóttir'), (9002, NULL)",
    "INSERT INTO chinook_album (id, title, artist_id) VALUES (9001, 'Début', 9001)",
]
ONLY_B = [
    "UPDATE flights SET arr_delay = -1 WHERE line % 1000 = 1 AND line NOT BETWEEN 100000 AND 100999",
    "INSERT INTO flights (line, year, carrier) SELECT line + 1000000, 2014, carrier FROM flights WHERE line <= 500",
    "DELETE FROM flights WHERE line BETWEEN 200000 AND 200099",
    "UPDATE chinook_track SET composer = 'anon.' WHERE composer IS NULL",
    "UPDATE chinook_customer SET phone = '+52 55 0000 ' || id WHERE id BETWEEN 20 AND 30",
    "DELETE FROM chinook_playlisttrack WHERE playlist_id = 3 AND id % 3 = 0",
    "INSERT INTO chinook_artist (id, name) VALUES (9003, 'José ''Pepe'' Ñuñez')",
]
COUNTED_A = "UPDATE chinook_track SET bytes = bytes - 1000 WHERE id <= 500"
COUNTED_B = "UPDATE chinook_track SET bytes = bytes - 500 WHERE id BETWEEN 250 AND 800"
DISPUTED_A = [
    "UPDATE chinook_customer SET fax = 'fax from north' WHERE id = 5",
    "UPDATE chinook_genre SET name = 'Rock a' WHERE id = 1",
    "DELETE FROM chinook_playlisttrack WHERE id = 1",
    "INSERT INTO chinook_playlist (id, name) VALUES (500, 'from a')",
]
DISPUTED_B = [
    "UPDATE chinook_customer SET fax = 'fax from south' WHERE id = 5",
    "UPDATE chinook_genre SET name = 'Rock b' WHERE id = 1",
    "UPDATE chinook_playlisttrack SET playlist_id = 2 WHERE id = 1",
    "INSERT INTO chinook_playlist (id, name) VALUES (500, 'from b')",
]
DECIDED = [
    "UPDATE chinook_customer SET fax = 'fax from south' WHERE id = 5",
    "UPDATE chinook_genre SET name = 'Rock a' WHERE id = 1",
    "UPDATE chinook_playlisttrack SET playlist_id = 2 WHERE id = 1",
    "INSERT INTO chinook_playlist (id, name) VALUES (500, 'from a')",
]
PLANTED = {
    ("chinook_customer", 5, "fax"): "south",
    ("chinook_genre", 1, "name"): "north",
    ("chinook_playlisttrack", 1, None): "south",
    ("chinook_playlist", 500, None): "north",
}


class Chain:
    """The folders of the journey, and the program run in them."""

    def __init__(self, top: Path, url: Callable[[str], str], options: list[str]) -> None:
        self.top, self.url, self.options = top, url, options

    def run(self, place: str, *args: str, expect: tuple[int, ...] = (0,)) -> Any:
        """``prontosync -C PLACE ARGS --json``: what it said, decoded."""
        done = run_program("-C", str(self.top / place), *args, "--json", cwd=self.top)
        assert done.returncode in expect, f"{place}: {args}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def start(self) -> None:
        for hub in ("north", "south", "office"):
            self.run(".", "init", "--bare", self.url(hub), *self.options)
        (self.top / "office").mkdir()
        self.run("office", "init")
        for store in ("north", "south"):
            self._start_store(store)
            self.run("office", "remote", "add", store, self.url(store), *self.options)
            self.run("office", "config", "set", f"remote.{store}.push", "false")
        self.run("office", "remote", "add", "hub", self.url("office"), *self.options)
        self._rules("office")

    def _start_store(self, store: str) -> None:
        (self.top / store).mkdir()
        self.run(store, "init", "--source", str(self.top / f"{store}.db"), "--store", f"shop-{store}")
        self.run(store, "remote", "add", "hub", self.url(store), *self.options)
        self.run(store, "remote", "add", "office", self.url("office"), *self.options)
        self.run(store, "config", "set", "remote.office.push", "false")
        self.run(store, "config", "set", "store.upstream", "office/main")
        self._rules(store)

    def _rules(self, place: str) -> None:
        for table in OWN:
            self.run(place, "config", "set", f"table.{table}.flow", "own")
        self.run(place, "config", "set", "table.chinook_track.columns.bytes", "sum")

    def round(self) -> None:
        """Each store syncs, head office merges both and publishes, each store syncs again."""
        for store in ("north", "south"):
            self.run(store, "sync")
        for store in ("north", "south"):
            self.run("office", "pull", store, f"stores/shop-{store}", expect=(0, 1))
        self.run("office", "push", "hub")
        for store in ("north", "south"):
            self.run(store, "sync")

    def heads(self) -> list[str]:
        return [self.run(place, "status")["head"] for place in ("north", "south", "office")]


@pytest.fixture
def chain(tmp_path: Path, sshd: Sshd) -> Chain:
    (tmp_path / "hubs").mkdir()
    options = ["--identity", str(sshd.keys["append-only"]), "--known-hosts", str(sshd.known_hosts)]
    start = tmp_path / "start.db"
    chinook_database(start)
    flights_database(start)
    execute(start, ["CREATE VIEW dear AS SELECT id, name FROM chinook_track WHERE unit_price > 1"])
    for name in ("north", "south", "expected-north", "expected-south", "expected-office"):
        shutil.copy(start, tmp_path / f"{name}.db")
    execute(tmp_path / "north.db", ["PRAGMA journal_mode = WAL"])
    return Chain(tmp_path, lambda name: sshd.url(tmp_path / "hubs" / name), options)


def test_the_whole_cycle(chain: Chain) -> None:
    chain.start()
    chain.round()
    settled = chain.heads()
    chain.round()
    assert chain.heads() == settled, "a round without edits makes no commits"
    edit(chain)
    chain.round()
    check_conflicts(chain)
    decide(chain)
    chain.round()
    expect(chain)
    check_databases(chain)
    check_office(chain)
    check_past(chain, settled[0])
    check_dead_store(chain)
    for place in ("north", "south", "office"):
        assert chain.run(place, "verify")["damaged"] == []


def edit(chain: Chain) -> None:
    sale_a = [text.format(n=70001, city="'Xalapa'", customer=5) for text in SALE]
    sale_b = [text.format(n=70001, city="NULL", customer=6) for text in SALE]
    execute(chain.top / "north.db", [*ONLY_A, COUNTED_A, *DISPUTED_A, *sale_a])
    execute(chain.top / "south.db", [*ONLY_B, COUNTED_B, *DISPUTED_B, *sale_b])


def expect(chain: Chain) -> None:
    """The end, by plain SQL: all undisputed edits of both, both decrements, and what was decided."""
    for place in ("north", "south", "office"):
        database = chain.top / f"expected-{place}.db"
        execute(database, [*ONLY_A, *ONLY_B, COUNTED_A, COUNTED_B, *DECIDED])
    execute(chain.top / "expected-north.db", [text.format(n=70001, city="'Xalapa'", customer=5) for text in SALE])
    execute(chain.top / "expected-south.db", [text.format(n=70001, city="NULL", customer=6) for text in SALE])


def check_conflicts(chain: Chain) -> None:
    """Exactly what was planted is in dispute, in all three places, and each till still has its own value."""
    for place in ("north", "south", "office"):
        found = chain.run(place, "conflicts")
        assert {(c["table"], c["key"]["id"], c["column"]) for c in found} == set(PLANTED), place
        for conflict in found:
            branches = {branch for candidate in conflict["candidates"] for branch in candidate["from"]}
            assert branches == {"stores/shop-north", "stores/shop-south"}, conflict
    for store in ("north", "south"):
        fax = rows(chain.top / f"{store}.db", "SELECT fax FROM chinook_customer WHERE id = 5")
        assert fax == [(f"fax from {store}",)]


def decide(chain: Chain) -> None:
    """Head office decides three, a store one."""
    for (table, key, column), winner in PLANTED.items():
        place = "south" if table == "chinook_customer" else "office"
        where = ["--column", column] if column else []
        chain.run(place, "resolve", table, str(key), *where, "--take", f"stores/shop-{winner}", expect=(0, 1))


def check_databases(chain: Chain) -> None:
    for store in ("north", "south"):
        compare(chain.top / f"{store}.db", chain.top / f"expected-{store}.db", frozenset())
        assert rows(chain.top / f"{store}.db", "PRAGMA integrity_check") == [("ok",)]
        assert rows(chain.top / f"{store}.db", "PRAGMA foreign_key_check") == []
        assert chain.run(store, "conflicts") == []


def check_office(chain: Chain) -> None:
    """Head office's state, restored into a database of its own."""
    target = chain.top / "office.db"
    chain.run("office", "restore", "HEAD", str(target))
    compare(target, chain.top / "expected-office.db", frozenset(OWN))


def check_past(chain: Chain, before: str) -> None:
    """SQL to the past gives the start's answer."""
    question = 'SELECT count(*) AS n, sum("distance") AS d FROM flights WHERE dep_delay > 60'
    then = chain.run("north", "sql", question, "--at", before, "--format", "json")
    ((n, d),) = rows(chain.top / "start.db", question)
    assert [then[0]["n"], then[0]["d"]] == [n, d]


def check_dead_store(chain: Chain) -> None:
    """Store a's disk dies: back from the hub, row for row and definition for definition."""
    lost = chain.top / "north.db"
    schema = definitions(lost)
    shutil.rmtree(chain.top / "north")
    for path in chain.top.glob("north.db*"):
        path.unlink()
    options = chain.options
    chain.run(
        ".",
        "clone",
        chain.url("north"),
        str(chain.top / "north"),
        "--store",
        "shop-north",
        "--source",
        str(lost),
        *options,
    )
    compare(lost, chain.top / "expected-north.db", frozenset())
    assert definitions(lost) == schema
    assert chain.run("north", "snapshot")["commit"] is None


def execute(database: Path, statements: list[str]) -> None:
    with closing(sqlite3.connect(database, timeout=30)) as db, db:
        for statement in statements:
            db.execute(statement)


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchall()


def definitions(database: Path) -> list[tuple[Any, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_prontosync%' ESCAPE '\\' "
    return rows(database, query + "AND sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY type, name")


def compare(found: Path, expected: Path, left_aside: frozenset[str]) -> None:
    """Every table of two databases, values and storage classes, by SQLite itself."""
    assert definitions(found) == definitions(expected)
    with closing(sqlite3.connect(expected)) as db:
        db.execute("ATTACH ? AS found", (str(found),))
        names = [
            n for (n,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        ]
        for name in sorted(set(names) - left_aside):
            columns = [row[1] for row in db.execute(f'PRAGMA table_info("{name}")')]
            typed = ", ".join(f'"{c}", typeof("{c}")' for c in columns)
            for one, other in (("main", "found"), ("found", "main")):
                query = f'SELECT {typed} FROM {one}."{name}" EXCEPT SELECT {typed} FROM {other}."{name}" LIMIT 3'
                assert db.execute(query).fetchall() == [], f"{name}: only in {one}"
