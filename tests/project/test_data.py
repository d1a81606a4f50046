"""The databases that other tests are built on hold what they promise."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.fixtures.data import FLIGHTS, flights_database, shoe_store_database


def _one(path: Path, query: str) -> tuple[object, ...]:
    with closing(sqlite3.connect(path)) as db:
        row: tuple[object, ...] = db.execute(query).fetchone()
        return row


def _sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_flights(flights: Path) -> None:
    assert _one(flights, "SELECT count(*), min(line), max(line) FROM flights") == (FLIGHTS, 1, FLIGHTS)
    assert _one(flights, "SELECT count(*) FROM flights WHERE dep_time IS NULL") == (8255,)
    assert _one(flights, "SELECT time_hour, dep_delay, tailnum FROM flights WHERE line = 1") == (
        "2013-01-01 10:00:00",
        2.0,
        "N14228",
    )


def test_some_flights(tmp_path: Path) -> None:
    assert _one(flights_database(tmp_path / "f.db", rows=100), "SELECT count(*) FROM flights") == (100,)


def test_chinook(chinook: Path) -> None:
    _sound(chinook)
    assert _one(chinook, "SELECT count(*) FROM chinook_track") == (3503,)
    assert _one(chinook, 'SELECT "Total", "InvoiceDate" FROM chinook_invoice WHERE id = 1') == (
        1.98,
        "2007-01-01 00:00:00",
    )
    assert _one(chinook, "SELECT count(*), count(album_id), min(mediatype_id) FROM chinook_track") == (3503, 3503, 1)
    assert _one(chinook, "SELECT count(*) FROM chinook_employee WHERE reports_to_id IS NULL") == (1,)


def test_shoe_stores_are_sound_and_the_same_each_time(shoe_store: Path, tmp_path: Path) -> None:
    _sound(shoe_store)
    again = shoe_store_database(tmp_path / "again.db")
    with closing(sqlite3.connect(shoe_store)) as one, closing(sqlite3.connect(again)) as two:
        assert list(one.iterdump()) == list(two.iterdump())
    assert _one(again, "SELECT count(*) FROM ticket WHERE total > 0") == (30,)
    assert _one(again, "SELECT count(*) FROM customer WHERE phone IS NULL") == (4,)
