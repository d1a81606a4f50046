"""A run with ``--with-schema`` that dies at any write leaves the old database or the new one; the next run ends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from prontosync.workflow.pull import pull
from tests.fixtures.places import Chain, Place, Town, rest
from tests.workflow.test_crashes import dying

Make = Callable[..., Chain]
OLD = [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30)]
NEW = [(1, "boot", 10, "E1"), (2, "clog", 20, "E2"), (3, "pump", 30, "E3")]
STRIDE = 9
"""With 1 every step is tried."""


def _pull(place: Place) -> None:
    with place.session() as session:
        session.with_schema = True
        pull(session)


def test_definitions_and_rows_come_together_or_not_at_all(chain: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    office, (one, two) = chain(2)
    one.sql("ALTER TABLE item ADD COLUMN ean TEXT", "UPDATE item SET ean = 'E' || id")
    one.sql("CREATE TABLE colour (id INTEGER PRIMARY KEY)", "INSERT INTO colour VALUES (7)")
    rest([one, two, office])
    at, finished, seen = 0, False, set()
    top = two.town.top
    while not finished:
        copy = top.with_name(f"copy-{at}")
        shutil.copytree(top, copy)
        again = Place(Town(copy, two.town.engine, made=True), "two")
        with dying(monkeypatch, at) as death:
            _pull(again)
        finished = death.steps <= at
        live = again.live()
        assert live in (OLD, NEW)
        seen.add(len(live[0]))
        assert bool(again.sql("SELECT 1 FROM sqlite_schema WHERE name = 'colour'")) == (live == NEW)
        _pull(again)
        assert again.live() == NEW
        assert again.live("colour") == [(7,)]
        shutil.rmtree(copy)
        at += STRIDE
    assert seen == {3, 4}
