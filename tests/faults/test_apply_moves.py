"""What a till does between the snapshot and the apply is never lost, and never half overwritten."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prontosync.errors import Busy, Moved, Unfit
from prontosync.sources.contract import RowChanges, Source, StateRow
from prontosync.sources.locate import locate
from prontosync.workflow.integrate import TRIES
from prontosync.workflow.pull import pull
from prontosync.workflow.session import Session, World, locked
from tests.fixtures.chain import CLOCK, SHARED_KEY, Chain
from tests.sources.till import HOLD, running

STORE = "store-012"
OTHER, GONE = "C007-00002", "C012-00099"
NEW = ("C-NEW", "Søren", "1", None, None, 0)
INSERT = "INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?)"


class Interrupted:
    """A live database at which the till does something just before an apply begins, once or each time."""

    def __init__(self, source: Source, action: Callable[[], object], times: int) -> None:
        self._source, self._action, self.left = source, action, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def apply(self, changes: Sequence[RowChanges], note: StateRow, *more: Any, **named: Any) -> object:
        if self.left:
            self.left -= 1
            self._action()
        return self._source.apply(changes, note, *more, **named)


@contextmanager
def _session(chain: Chain, action: Callable[[], object], times: int = 1) -> Iterator[Session]:
    folder = chain.top / STORE
    with locked(folder, World(folder, lambda: CLOCK, "test")) as session:
        source = locate("pos.db", base=folder, temp=session.repo.tmp, selection=session.selection, busy_seconds=1)
        session.__dict__["source"] = Interrupted(source, action, times)
        yield session


@pytest.fixture
def coming(chain: Chain) -> Chain:
    """Head office has changed, added and deleted customers; store 012 has yet to hear of it."""
    chain.sql("office", INSERT, (GONE, "Nobody", None, None, None, 0))
    chain.sync("office")
    chain.sync(STORE)
    chain.sql("office", "UPDATE customer SET phone = 'office' WHERE customer_id IN (?, ?)", (SHARED_KEY, OTHER))
    chain.sql("office", "DELETE FROM customer WHERE customer_id = ?", (GONE,))
    chain.sql("office", INSERT, NEW)
    chain.sync("office")
    return chain


def _customer(chain: Chain, key: str) -> list[tuple[Any, ...]]:
    return chain.sql(STORE, "SELECT name, phone, email FROM customer WHERE customer_id = ?", (key,))


CHANGE = "UPDATE customer SET {} = 'till' WHERE customer_id = '{}'"
DELETE = "DELETE FROM customer WHERE customer_id = '{}'"
ADD = "INSERT INTO customer VALUES ('{}', 'Till', '2', NULL, NULL, 1)"
CASES: dict[str, tuple[str, str, list[tuple[Any, ...]], int]] = {
    "another cell of a row": (CHANGE.format("email", OTHER), OTHER, [("office", "till")], 0),
    "the same cell": (CHANGE.format("phone", OTHER), OTHER, [("till", "c2@example.com")], 1),
    "the row is deleted": (DELETE.format(OTHER), OTHER, [], 1),
    "the row that goes is changed": (CHANGE.format("phone", GONE), GONE, [("till", None)], 1),
    "the row that goes is deleted": (DELETE.format(GONE), GONE, [], 0),
    "the row that comes is there": (ADD.format("C-NEW"), "C-NEW", [("2", None)], 1),
    "an unrelated row": (ADD.format("C-TILL"), "C-TILL", [("2", None)], 0),
}
"""What the till does, the row to look at, its phone and email afterwards, and how many conflicts there are."""


@pytest.mark.parametrize("case", CASES)
def test_the_till_moves_between_snapshot_and_apply(coming: Chain, case: str) -> None:
    statement, key, rows, conflicts = CASES[case]
    with _session(coming, lambda: coming.sql(STORE, statement)) as session:
        outcome = pull(session).outcome
    assert outcome is not None
    assert [row[1:] for row in _customer(coming, key)] == rows
    assert outcome.conflicts == conflicts
    assert _customer(coming, SHARED_KEY)[0][1] == "office"
    coming.round()
    with _session(coming, lambda: None, 0) as session:
        assert pull(session).outcome.conflicts == conflicts  # type: ignore[union-attr]
    assert [row[1:] for row in _customer(coming, key)] == rows


def test_a_till_that_never_rests_is_left_in_peace(coming: Chain) -> None:
    moves = iter(range(100))

    def move() -> None:
        coming.sql(STORE, "UPDATE customer SET email = ? WHERE customer_id = ?", (f"till {next(moves)}", OTHER))

    with _session(coming, move, 100) as session:
        with pytest.raises(Moved, match=OTHER):
            pull(session)
        head, source = session.need_head(), session.need_source()
        assert next(moves) == TRIES
        assert source.state_row().counter == session.repo.live.read().counter  # type: ignore[union-attr]
        assert session.repo.refs.target(session.repo.branch) == head
    assert _customer(coming, SHARED_KEY)[0][1] != "office"
    assert coming.run(STORE, "sync").returncode == 0
    assert _customer(coming, OTHER)[0][1:] == ("office", f"till {TRIES - 1}")


def test_a_database_that_stays_locked_is_11_and_whole(coming: Chain) -> None:
    path = coming.top / STORE / "pos.db"
    before = coming.sql(STORE, "SELECT * FROM customer ORDER BY 1")
    tills: list[Any] = []

    def lock() -> None:
        till = running(path, HOLD)
        till.__enter__()
        tills.append(till)

    with _session(coming, lock) as session:
        with pytest.raises(Busy, match="locked"):
            pull(session)
        head = session.need_head()
        tills[0].__exit__(None, None, None)
        assert coming.sql(STORE, "SELECT * FROM customer ORDER BY 1") == before
        assert session.need_head() == head
    assert coming.run(STORE, "sync").returncode == 0
    assert _customer(coming, SHARED_KEY)[0][1] == "office"


def test_a_schema_that_moved_is_18_with_the_difference(coming: Chain) -> None:
    with (
        _session(coming, lambda: coming.sql(STORE, "ALTER TABLE customer ADD COLUMN shoe_size REAL")) as session,
        pytest.raises(Unfit, match="shoe_size"),
    ):
        pull(session)
    assert _customer(coming, SHARED_KEY)[0][1] != "office"


_DIES = """
import os, signal, sys
from prontosync.sources import apply_sqlite
from prontosync.cli.main import main

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

real = apply_sqlite.apply_changes
def inside(connection, changes, note, before_commit, *more):
    return real(connection, changes, note, die, *more)
def after(*words):
    real(*words)
    connection = words[0]
    connection.close()
    die()
apply_sqlite.apply_changes = {"inside": inside, "after": after}[sys.argv[1]]
main(["-C", sys.argv[2], "sync"])
"""


def _die(chain: Chain, when: str) -> None:
    """A sync that is killed just before, or just after, the live database commits."""
    done = subprocess.run([sys.executable, "-c", _DIES, when, str(chain.top / STORE)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("following", [("status",), ("snapshot",), ("sync",), ("merge", "office/main"), ("log",)])
def test_a_crash_after_the_databases_commit_is_recognised(coming: Chain, following: tuple[str, ...]) -> None:
    before = coming.run(STORE, "rev-parse", "HEAD").stdout.strip()
    _die(coming, "after")
    assert _customer(coming, SHARED_KEY)[0][1] == "office"
    coming.sql(STORE, "UPDATE customer SET email = 'later' WHERE customer_id = ?", (SHARED_KEY,))
    assert coming.run(STORE, *following).returncode == 0
    assert coming.run(STORE, "sync").returncode == 0
    assert _customer(coming, SHARED_KEY)[0][1:] == ("office", "later")
    log = json.loads(coming.run(STORE, "log", "--json").stdout)
    theirs = coming.run(STORE, "rev-parse", "office/main").stdout.strip()
    assert len([one for one in log if theirs in {parent["commit"] for parent in one["parents"]}]) == 1
    assert coming.run(STORE, "rev-parse", "HEAD").stdout.strip() != before
    coming.round()
    assert coming.sql("office", "SELECT phone, email FROM customer WHERE customer_id = ?", (SHARED_KEY,)) == [
        ("office", "later")
    ]
    assert coming.run(STORE, "verify").returncode == 0


def test_a_crash_before_the_databases_commit_leaves_no_trace(coming: Chain) -> None:
    before = coming.sql(STORE, "SELECT * FROM customer ORDER BY 1")
    _die(coming, "inside")
    assert coming.sql(STORE, "SELECT * FROM customer ORDER BY 1") == before
    assert coming.run(STORE, "sync").returncode == 0
    assert _customer(coming, SHARED_KEY)[0][1] == "office"
    assert coming.run(STORE, "verify").returncode == 0
    assert not Path(coming.top / STORE / "pos.db-journal").exists()
