"""The whole cycle of a chain over a real OpenSSH server: every database ends as plain Python says it must."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.data import shoe_store_database
from tests.fixtures.program import run_program
from tests.fixtures.sshd import Sshd

STORES = ("012", "007")
OWN = ("stock", "ticket", "ticket_line")
DOWN = ("style", "product")
KEYS = {"style": 1, "product": 1, "stock": 2, "customer": 1, "ticket": 1, "ticket_line": 2}
Rows = dict[tuple[Any, ...], tuple[Any, ...]]
State = dict[str, Rows]


class World:
    """The places, their databases, and beside each database a plain dict that is changed by hand in the same way."""

    def __init__(self, top: Path, server: Sshd) -> None:
        self.top, self.server = top, server
        self.expected: dict[str, State] = {}

    def run(self, place: str, *words: str, code: int = 0) -> str:
        done = run_program(*words, cwd=self.top / place)
        assert done.returncode == code, f"{place}: {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, place: str, *words: str) -> Any:
        return json.loads(self.run(place, *words, "--json"))

    def start(self) -> None:
        for place in ("office", *STORES):
            (self.top / place).mkdir()
            shoe_store_database(self.database(place), int(place) if place in STORES else 0)
        with closing(sqlite3.connect(self.database("office"))) as db, db:
            for table in ("ticket_line", "ticket", "stock", "customer"):
                db.execute(f"DROP TABLE {table}" if table != "customer" else "DELETE FROM customer")
        self.expected = {place: live(self.database(place)) for place in ("office", *STORES)}
        for hub in ("office", *STORES):
            run_program("init", "--bare", self.url(hub), *self.keys(), cwd=self.top)
        self.run("office", "init", "--source", "pos.db", "--store", "office", "--branch", "main")
        self.run("office", "remote", "add", "hub", self.url("office"), *self.keys())
        for store in STORES:
            self.run(store, "init", "--source", "pos.db", "--store", store)
            self.run(store, "remote", "add", "hub", self.url(store), *self.keys())
            self.run(store, "remote", "add", "office", self.url("office"), "--no-push", *self.keys())
            self.run(store, "config", "set", "store.upstream", "office/main")
            self.run("office", "remote", "add", f"s{store}", self.url(store), "--no-push", *self.keys())
        for place in ("office", *STORES):
            for table in (*OWN, *DOWN):
                self.run(place, "config", "set", f"table.{table}.flow", "own" if table in OWN else "down")

    def url(self, hub: str) -> str:
        return self.server.url(self.top / f"hub-{hub}")

    def keys(self) -> tuple[str, ...]:
        key = self.server.keys["append-only"]
        return "--identity", str(key), "--known-hosts", str(self.server.known_hosts)

    def database(self, place: str) -> Path:
        return self.top / place / "pos.db"

    def edit(self, place: str, table: str, key: tuple[Any, ...], **changes: Any) -> None:
        """In the live database and in the dict."""
        with closing(sqlite3.connect(self.database(place))) as db, db:
            names = columns(db, table)
            row = dict(zip(names, self.expected[place][table][key], strict=True)) | changes
            sets = ", ".join(f"{name} = ?" for name in changes)
            where = " AND ".join(f"{name} = ?" for name in names[: len(key)])
            db.execute(f"UPDATE {table} SET {sets} WHERE {where}", (*changes.values(), *key))
        self.expected[place][table][key] = tuple(row.values())

    def add(self, place: str, table: str, *row: Any) -> None:
        with closing(sqlite3.connect(self.database(place))) as db, db:
            db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        self.expected[place][table][row[: KEYS[table]]] = row

    def remove(self, place: str, table: str, key: Any) -> None:
        with closing(sqlite3.connect(self.database(place))) as db, db:
            db.execute(f"DELETE FROM {table} WHERE {columns(db, table)[0]} = ?", (key,))
        del self.expected[place][table][(key,)]

    def everybody(self) -> None:
        """Stores, head office, stores."""
        for store in STORES:
            self.run(store, "sync")
        self.run("office", "sync")
        for store in STORES:
            done = run_program("merge", f"s{store}/stores/{store}", cwd=self.top / "office")
            assert done.returncode in {0, 1}, done.stderr
        self.run("office", "push")
        for store in STORES:
            self.run(store, "sync")


def columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def live(path: Path) -> State:
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'") if name in KEYS]
        return {
            name: {row[: KEYS[name]]: row for row in db.execute(f"SELECT * FROM {name}").fetchall()} for name in tables
        }


def merged(base: Rows, sides: list[Rows]) -> Rows:
    """Cell by cell what one side changed; the sides of this story never differ on a cell, but for those set by hand."""
    result: Rows = {}
    for key in {key for rows in (base, *sides) for key in rows}:
        rows = [side.get(key) for side in sides]
        was = base.get(key)
        if was is None:
            result[key] = next(row for row in rows if row is not None)
        elif None not in rows:
            cells = zip(was, *rows, strict=True)  # type: ignore[arg-type]
            result[key] = tuple(next((v for v in values if v != b), b) for b, *values in cells)
    return result


@pytest.fixture
def world(tmp_path: Path, sshd: Sshd) -> World:
    made = World(tmp_path, sshd)
    made.start()
    return made


def test_the_whole_cycle(world: World) -> None:
    everyone = {key: row for place in world.expected.values() for key, row in place["customer"].items()}
    world.everybody()
    for state in world.expected.values():
        state["customer"] = dict(everyone)
    _check(world)
    _a_day_without_a_link(world)
    customers = merged(everyone, [state["customer"] for state in world.expected.values()])
    world.everybody()
    [conflict] = world.ask("office", "conflicts")
    assert (conflict["table"], conflict["column"], conflict["key"]) == (
        "customer",
        "phone",
        {"customer_id": "C012-00003"},
    )
    assert {tuple(c["from"]): c["value"] for c in conflict["candidates"]} == {
        ("stores/012",): "from 012",
        ("stores/007",): "from 007",
    }
    for store in STORES:
        assert live(world.database(store))["customer"][("C012-00003",)][2] == f"from {store}"
    world.run("office", "resolve", "customer", "C012-00003", "--column", "phone", "--take", "stores/007")
    world.run("office", "push")
    world.everybody()
    customers[("C012-00003",)] = (*customers[("C012-00003",)][:2], "from 007", *customers[("C012-00003",)][3:])
    for place in world.expected:
        world.expected[place]["customer"] = dict(customers)
        for table in DOWN:
            world.expected[place][table] = dict(world.expected["office"][table])
    _check(world)
    _check_nothing_moves(world)
    _check_a_dead_store_comes_back(world)


def _a_day_without_a_link(world: World) -> None:
    """Sales, catalogue, and customers: different rows, different cells of one row, one cell, a deletion, an insert."""
    for store in STORES:
        for n in range(1, 6):
            ticket, product = f"NEW-{n}", 100 + n
            world.add(store, "ticket", ticket, int(store), f"2026-11-24 1{n}:00:00", None, 449.5)
            world.add(store, "ticket_line", ticket, 1, product, 1, 449.5)
            before = world.expected[store]["stock"].get((int(store), product))
            if before is not None:
                world.edit(store, "stock", (int(store), product), on_hand=before[2] - 1)
        world.edit(store, "customer", ("C012-00003",), phone=f"from {store}")
    world.edit("012", "customer", ("C007-00001",), name="Ñandú", birthday=None)
    world.edit("007", "customer", ("C007-00001",), email="ñ@example.com")
    world.remove("007", "customer", "C012-00020" if _unused(world, "C012-00020") else _free(world))
    world.add("012", "customer", "C-NEW", "Łucja", None, None, "2001-02-28", 1)
    world.edit("office", "product", (100,), price=399.95, ean=None)
    world.edit("office", "style", (1,), name="Été", season=None)
    world.add("office", "product", 9001, 1, 44.5, "rojo", "7500000009001", 1.25)


def _unused(world: World, customer: str) -> bool:
    return all(row[3] != customer for place in STORES for row in world.expected[place]["ticket"].values())


def _free(world: World) -> str:
    return next(key[0] for key in world.expected["007"]["customer"] if _unused(world, key[0]) and key[0] > "C012-00003")


def _check(world: World) -> None:
    """Every live database and every branch holds, row for row, what is expected."""
    for place, state in world.expected.items():
        assert live(world.database(place)) == state, place
        assert world.ask(place, "conflicts") == []
        assert world.ask(place, "diff", "--stat")["tables"] == {}
        digests = {one["table"]: one["rows"] for one in world.ask(place, "ls-tables")}
        assert digests == {table: len(rows) for table, rows in state.items()}, place
    for store in STORES:
        tickets = world.ask(
            "office", "sql", "SELECT ticket_id FROM ticket ORDER BY 1", "--at", f"s{store}/stores/{store}"
        )
        assert [one["ticket_id"] for one in tickets] == sorted(key[0] for key in world.expected[store]["ticket"])


def _check_nothing_moves(world: World) -> None:
    heads = {place: world.run(place, "rev-parse", "HEAD") for place in world.expected}
    world.everybody()
    assert {place: world.run(place, "rev-parse", "HEAD") for place in world.expected} == heads
    for place in world.expected:
        assert world.ask(place, "verify")["damaged"] == []


def _check_a_dead_store_comes_back(world: World) -> None:
    (world.top / "new").mkdir()
    source = world.top / "new/pos.db"
    words = ("clone", world.url("012"), "store", "--store", "012", "--source", str(source), *world.keys())
    world.run("new", *words)
    assert live(source) == world.expected["012"]
    with closing(sqlite3.connect(source)) as new, closing(sqlite3.connect(world.database("012"))) as old:
        schema = "SELECT sql FROM sqlite_schema WHERE name NOT LIKE '_prontosync%' AND sql IS NOT NULL ORDER BY name"
        assert new.execute(schema).fetchall() == old.execute(schema).fetchall()
        assert new.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
