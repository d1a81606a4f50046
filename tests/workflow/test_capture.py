"""Snapshots by change capture: what they record, when they read in full all the same, and what they leave behind."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prontosync.engine.connection import Engine
from prontosync.history import captured_rows
from prontosync.model.objects import Changes
from prontosync.workflow import capture, track
from tests.fixtures.places import ITEM, Place, Town, numbered

PAIR = "CREATE TABLE pair (a TEXT, b INTEGER, v REAL, PRIMARY KEY (a, b))"
FREE = "CREATE TABLE free (name TEXT, v INTEGER)"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Engine() as engine:
        yield Town(tmp_path, engine)


def tracked(town: Town, mode: str = "wal", *more: str) -> Place:
    place = town.store("one", f"PRAGMA journal_mode = {mode}", ITEM, PAIR, numbered(1, 5_000), *more)
    place.sql("INSERT INTO pair SELECT 'k' || id % 50, id, id / 2.0 FROM item")
    with place.session() as session:
        track.enable(session, ())
    place.snapshot()
    return place


def untriggered(place: Place, *statements: str) -> None:
    """As a program leaves it that has triggers switched off: rows changed, and nothing noted. The database has no notes
    before."""
    place.sql(*statements)
    names = place.sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '_prontosync_track_*'")
    place.sql(*(f"DELETE FROM {name}" for (name,) in names))


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("few", [0, 32])
def test_what_changed_is_recorded(town: Town, mode: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_rows, "FEW_SEGMENTS", few)
    place = tracked(town, mode)
    place.sql(
        "UPDATE item SET price = -1 WHERE id % 100 = 0",
        "DELETE FROM item WHERE id BETWEEN 10 AND 20",
        "INSERT INTO item VALUES (9000, 'new', 1)",
        "UPDATE pair SET b = b + 100000 WHERE b % 700 = 0",
        "INSERT OR REPLACE INTO pair VALUES ('k1', 1, 5.5)",
    )
    taken = place.snapshot()
    assert taken.in_full == {}
    assert taken.changes["item"] == Changes(1, 50, 11)
    assert taken.changes["pair"].deleted == 7
    assert place.rows("item") == sorted(place.live("item"), key=repr)
    assert place.rows("pair") == sorted(place.live("pair"), key=repr)
    assert place.snapshot(full=True).commit is None
    assert place.verified().sound


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_table_that_is_not_tracked_is_read_in_full(town: Town, mode: str) -> None:
    place = town.store("one", f"PRAGMA journal_mode = {mode}", ITEM, FREE, numbered(1, 500))
    place.set("table.free.key", "name")
    with place.session() as session:
        track.enable(session, ["item"])
    place.snapshot()
    place.sql("INSERT INTO free VALUES ('x', 1)", "UPDATE item SET price = 0 WHERE id = 7")
    taken = place.snapshot()
    assert taken.changes == {"free": Changes(1, 0, 0), "item": Changes(0, 1, 0)}


def test_every_row_is_read_again_when_it_is_time(town: Town) -> None:
    place = tracked(town)
    with closing(sqlite3.connect(place.database)) as db, db:
        before = db.execute("PRAGMA schema_version").fetchone()
    note = Path(place.top / ".prontosync" / "cache" / "capture.json")
    first = note.read_text()
    place.sql("UPDATE item SET price = 5 WHERE id = 1")
    place.snapshot()
    full = first.split('"full":')[1][:22]
    assert full in note.read_text()
    town.clock.now += datetime.timedelta(days=8)
    place.sql("UPDATE item SET price = 6 WHERE id = 1")
    place.snapshot()
    assert full not in note.read_text()
    with closing(sqlite3.connect(place.database)) as db, db:
        assert db.execute("PRAGMA schema_version").fetchone() == before


def test_notes_that_were_read_are_removed(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "PRUNE_FROM", 10)
    place = tracked(town)
    place.sql("UPDATE item SET price = 5 WHERE id <= 40")
    place.snapshot()
    left = {name: count for name, count in _notes(place).items() if count}
    assert sum(left.values()) <= 2
    place.sql("UPDATE item SET price = 7 WHERE id = 3")
    assert place.snapshot().in_full == {}
    assert place.rows("item") == sorted(place.live("item"), key=repr)


def test_a_repository_that_only_reads_removes_none(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "PRUNE_FROM", 10)
    place = tracked(town)
    place.set("source.apply", "false")
    place.sql("UPDATE item SET price = 5 WHERE id <= 40")
    place.snapshot()
    assert sum(_notes(place).values()) >= 40


def test_a_full_read_says_what_was_missed(town: Town) -> None:
    place = tracked(town)
    untriggered(place, "UPDATE item SET price = 123 WHERE id IN (5, 6)")
    assert place.snapshot().commit is None
    taken = place.snapshot(full=True)
    assert taken.missed["item"].rows == 2
    assert taken.missed["item"].keys == ("id=5", "id=6")
    assert place.rows("item") == sorted(place.live("item"), key=repr)


def test_a_merge_written_to_the_live_database_goes_on(town: Town) -> None:
    place = tracked(town)
    place.push()
    office, _ = town.clone("office", branch="stores/one", office=True)
    with office.session() as session:
        assert session.head()
    place.sql("UPDATE item SET price = 77 WHERE id = 9")
    place.snapshot()
    with place.session() as session:
        from prontosync.workflow.takeback import Part, revert

        revert(session, str(session.need_head()), Part())
    assert place.live("item")[8][2] == 9
    place.sql("UPDATE item SET price = 78 WHERE id = 10")
    place.snapshot()
    place.sql("UPDATE item SET price = 79 WHERE id = 11")
    assert place.snapshot().in_full == {}
    assert place.rows("item") == sorted(place.live("item"), key=repr)


def _notes(place: Place) -> dict[str, int]:
    with place.session() as session:
        return {one.table: one.notes for one in track.status(session)}
