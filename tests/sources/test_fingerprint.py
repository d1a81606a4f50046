"""A database that nobody wrote to is recognised by its files; any write, in either journal mode, is not missed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prontosync.sources.fingerprint import COARSE_NS, FINE_NS, fingerprint

LATER = 60_000_000_000
TILL = """
import sqlite3, sys
till = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    print(till.execute(line).fetchall(), flush=True)
"""


class Till:
    """Another process, as a till is: opening the file in one that has SQLite's locks on it would drop them."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", TILL, str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def execute(self, sql: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(sql + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def close(self) -> None:
        self._process.communicate(timeout=10)


def seen(path: Path) -> str | None:
    return fingerprint(path, time.time_ns() + LATER)


@pytest.fixture(params=["wal", "delete", "truncate", "persist"])
def till(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Till]:
    till = Till(tmp_path / "pos.db")
    till.execute(f"PRAGMA journal_mode = {request.param}")
    till.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    till.execute("INSERT INTO t VALUES (1, 'a')")
    yield till
    till.close()


def test_reading_changes_nothing(till: Till, tmp_path: Path) -> None:
    path = tmp_path / "pos.db"
    before = seen(path)
    assert before is not None
    assert "'a'" in till.execute("SELECT * FROM t")
    other = Till(path)
    assert "'a'" in other.execute("SELECT * FROM t")
    other.close()
    assert seen(path) == before


@pytest.mark.parametrize(
    "statement", ["UPDATE t SET v = 'b'", "INSERT INTO t VALUES (2, 'b')", "PRAGMA user_version = 5"]
)
def test_every_commit_shows(till: Till, tmp_path: Path, statement: str) -> None:
    path = tmp_path / "pos.db"
    before = seen(path)
    till.execute(statement)
    assert seen(path) not in (before, None)


def test_every_commit_of_many_shows_while_files_are_settled(till: Till, tmp_path: Path) -> None:
    path, known = tmp_path / "pos.db", set()
    for n in range(40):
        till.execute(f"UPDATE t SET v = {n}")
        time.sleep(FINE_NS / 1e9 / 8)
        known.add(seen(path))
    assert len(known) == 40


def test_a_file_just_written_is_not_relied_on(till: Till, tmp_path: Path) -> None:
    till.execute("UPDATE t SET v = 'c'")
    assert fingerprint(tmp_path / "pos.db", time.time_ns()) is None


def test_a_clock_that_tells_whole_seconds_needs_longer(tmp_path: Path) -> None:
    path = tmp_path / "pos.db"
    path.write_bytes(b"SQLite format 3")
    os.utime(path, ns=(0, 5_000_000_000))
    changed = path.stat().st_ctime_ns
    assert fingerprint(path, changed + FINE_NS) is None
    assert fingerprint(path, changed + COARSE_NS) is not None


def test_what_is_not_committed_does_not_show(till: Till, tmp_path: Path) -> None:
    path = tmp_path / "pos.db"
    before = seen(path)
    till.execute("BEGIN IMMEDIATE")
    till.execute("UPDATE t SET v = 'x'")
    assert seen(path) == before
    till.execute("COMMIT")
    assert seen(path) not in (before, None)


def test_a_crashed_tills_journal_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pos.db"
    path.write_bytes(b"SQLite format 3")
    journal = tmp_path / "pos.db-journal"
    for content in (b"", bytes(512)):
        journal.write_bytes(content)
        assert seen(path) is not None
    journal.write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(504))
    assert seen(path) is None


def test_a_copy_put_back_with_its_old_times_shows(tmp_path: Path) -> None:
    path = tmp_path / "pos.db"
    with sqlite3.connect(path) as till:
        till.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    till.close()
    before = seen(path)
    shutil.copy2(path, tmp_path / "copy.db")
    time.sleep(0.02)
    os.replace(tmp_path / "copy.db", path)
    assert seen(path) not in (before, None)


def test_nothing_there(tmp_path: Path) -> None:
    assert seen(tmp_path / "pos.db") is None


def test_a_link_to_the_database_is_followed(till: Till, tmp_path: Path) -> None:
    path, link = tmp_path / "pos.db", tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    before = seen(link)
    assert before == seen(path)
    till.execute("UPDATE t SET v = 'b'")
    assert seen(link) not in (before, None)
