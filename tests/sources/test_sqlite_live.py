from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prontosync.errors import ProntoError
from prontosync.sources import copying
from prontosync.sources.contract import RowChanges, SourceBusy, StateRow
from prontosync.sources.door import TwoLibraries, door
from prontosync.sources.sqlite import SqliteSource
from tests.sources.shop import NOTE, ask, changes, files, make, read, source, stored, whole
from tests.sources.till import HOLD, IDLE, SELL, crash, running

JOURNALS = ["wal", "delete", "truncate", "persist"]


def shop(folder: Path, journal: str) -> Path:
    return make(
        folder / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
        "INSERT INTO t VALUES (1, 'x')",
        journal=journal,
    )


def use(live: SqliteSource) -> list[Any]:
    assert live.state_row() is None
    assert not live.is_empty()
    return sorted(read(live)["t"][1].column("id").to_pylist())


@pytest.mark.parametrize("journal", JOURNALS)
def test_reading_a_till_that_is_shut_leaves_no_trace(tmp_path: Path, journal: str) -> None:
    path = shop(tmp_path, journal)
    before, names = files(tmp_path), sorted(os.listdir(tmp_path))
    assert use(source(path)) == [1]
    assert files(tmp_path) == before
    assert sorted(set(os.listdir(tmp_path)) - {"private"}) == names
    assert not list((tmp_path / "private").glob("*"))


@pytest.mark.parametrize("journal", JOURNALS)
def test_reading_beside_a_till_that_is_open_leaves_no_trace(tmp_path: Path, journal: str) -> None:
    path = shop(tmp_path, journal)
    shut = sorted(os.listdir(tmp_path))
    with running(path, IDLE):
        names = sorted(os.listdir(tmp_path))
        assert use(source(path)) == [1]
        assert sorted(set(os.listdir(tmp_path)) - {"private"}) == names
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == shut


def test_reading_after_a_crash_with_a_wal_leaves_no_trace(tmp_path: Path) -> None:
    path = shop(tmp_path, "wal")
    crash(path)
    before = files(tmp_path)
    assert set(before) == {"till.db", "till.db-wal"}
    assert use(source(path)) == [1, 2]
    assert files(tmp_path) == before


def test_reading_after_a_crash_with_a_journal_reads_what_was_committed(tmp_path: Path) -> None:
    path = shop(tmp_path, "delete")
    crash(path)
    assert set(files(tmp_path)) == {"till.db", "till.db-journal"}
    assert use(source(path)) == [1, 2]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_till_that_starts_and_stops_while_it_is_read(tmp_path: Path) -> None:
    path = shop(tmp_path, "wal")
    with source(path).read() as state:
        with running(path, IDLE):
            pass
        assert state.scan("t", lambda scan: whole(scan).num_rows) == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["till.db"]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_one_committed_state_while_the_till_sells_and_an_apply_runs(tmp_path: Path, journal: str) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE stock (id INTEGER PRIMARY KEY, pairs INTEGER, price DECIMAL(9,2))",
        "CREATE TABLE ticket (id INTEGER PRIMARY KEY, stock INTEGER REFERENCES stock, pairs INTEGER)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        " INSERT INTO stock SELECT i, 1000, 99.5 FROM n",
        journal=journal,
    )
    live = source(path, busy_seconds=20)
    applied = 0
    with running(path, SELL) as words:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            rows = totals(live)
            table, stock = rows["stock"]
            applied += 1
            # Rows that the till does not sell from: some pairs more, and the same fewer.
            old = stock.slice(500).to_pylist()
            more = [{"pairs": row["pairs"] + applied} for row in old]
            live.apply([changes(table, updates=list(zip(old, more, strict=True)))], NOTE)
            back = [({**row, **new}, {"pairs": row["pairs"]}) for row, new in zip(old, more, strict=True)]
            live.apply([changes(table, updates=back)], NOTE)
    assert int(words[0]) > 0
    assert applied > 1
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "SELECT count(*), sum(pairs) FROM ticket") == [(int(words[0]), int(words[0]))]
    assert totals(live)["ticket"][1].num_rows == int(words[0])


def totals(live: SqliteSource) -> dict[str, Any]:
    """What is read; stock and tickets always add up in one committed state."""
    rows = read(live)
    assert sum(rows["stock"][1].column("pairs").to_pylist()) + rows["ticket"][1].num_rows == 1000 * 1000
    return rows


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_locked_database_is_busy(tmp_path: Path, journal: str) -> None:
    path = shop(tmp_path, journal)
    live = source(path)
    table, rows = read(live)["t"]
    wanted = RowChanges(table, rows, rows.slice(0, 0), rows.slice(0, 0), rows.slice(0, 0))
    with running(path, HOLD):
        names = sorted(os.listdir(tmp_path))
        with pytest.raises(SourceBusy, match=r"till\.db"):
            live.apply([wanted], NOTE)
        if journal == "delete":
            with pytest.raises(SourceBusy, match=r"till\.db"), live.read():
                pass
            with pytest.raises(SourceBusy, match=r"till\.db"):
                live.state_row()
        else:
            assert use(live) == [1]
        assert sorted(os.listdir(tmp_path)) == names
    assert not list((tmp_path / "private").glob("*"))
    assert stored(path, "t", ["id"]) == [("integer", 1)]
    live.apply([wanted], StateRow("r", "b", "c", 2))
    assert stored(path, "t", ["id"]) == []


def test_the_copy_is_private_and_goes(tmp_path: Path) -> None:
    path = shop(tmp_path, "delete")
    live = source(path)
    with pytest.raises(ZeroDivisionError), live.read() as state:  # noqa: PT012
        copies = list((tmp_path / "private").iterdir())
        assert [p.stat().st_mode & 0o777 for p in copies] == [0o600]
        assert state.held_seconds > 0
        # The till is not in our way any more, nor are we in its way.
        ask(path, "INSERT INTO t VALUES (2, 'sold')")
        assert state.scan("t", lambda scan: whole(scan).num_rows) == 1
        1 // 0  # noqa: B018
    assert list((tmp_path / "private").iterdir()) == []


def test_a_wal_database_is_read_in_place(tmp_path: Path) -> None:
    path = shop(tmp_path, "wal")
    with source(path).read() as state:
        assert state.held_seconds == 0
        assert not (tmp_path / "private").exists()


def test_no_second_library_while_the_file_is_open(tmp_path: Path) -> None:
    path = shop(tmp_path, "wal")
    (tmp_path / "link.db").symlink_to(path)
    with source(path).read(), source(path).read():
        for name in ("till.db", "link.db"):
            with pytest.raises(TwoLibraries), door(tmp_path / name, "sqlite3"):
                pass
    with door(path, "sqlite3"), pytest.raises(TwoLibraries), source(path).read():
        pass
    with door(path, "sqlite3"):
        pass


def test_this_process_opens_the_live_file_through_one_library_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop(tmp_path, "delete")
    live = source(path)

    def forbidden(*_: Any, **__: Any) -> Iterator[None]:
        raise AssertionError("the other library in this process")

    monkeypatch.setattr(sqlite3, "connect", forbidden)
    assert use(live) == [1]
    assert not hasattr(copying, "sqlite3")


def test_errors_of_other_libraries_stay_inside(tmp_path: Path) -> None:
    path = shop(tmp_path, "delete")
    with closing(sqlite3.connect(path)) as till:
        till.execute("PRAGMA writable_schema = ON")
        till.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY, v, broken' WHERE name = 't'"
        )
        till.commit()
    live = source(path)
    for use_it in (live.is_empty, live.state_row, lambda: read(live), lambda: live.apply([], NOTE)):
        with pytest.raises(ProntoError):
            use_it()


def test_a_page_that_is_damaged_is_told(tmp_path: Path) -> None:
    path = make(
        tmp_path / "till.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        " INSERT INTO t SELECT i, i FROM n",
        journal="wal",
    )
    data = bytearray(path.read_bytes())
    data[20 * 4096 : 21 * 4096] = b"\xff" * 4096
    path.write_bytes(bytes(data))
    with source(path).read() as state, pytest.raises(ProntoError, match=r"till\.db"):
        state.scan("t", whole)
