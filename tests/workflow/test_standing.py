"""What status counts: open conflicts by table and kind with their ages, rows without parents; and who hears of new
conflicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prontosync.disk.repository import Repository
from prontosync.workflow.pull import sync
from prontosync.workflow.session import Session
from prontosync.workflow.status import status
from tests.fixtures.places import ITEM, ROWS, Chain, rest

Make = Callable[..., Chain]
PARENT = "CREATE TABLE member (id INTEGER PRIMARY KEY, card TEXT UNIQUE)"
CHILD = "CREATE TABLE visit (id INTEGER PRIMARY KEY, member INTEGER REFERENCES member (id))"
ORPHANS = "INSERT INTO visit VALUES (1, 77), (2, 78), (3, NULL), (4, 1)"


def test_conflicts_are_counted_by_table_and_kind_and_the_oldest_tells_the_age(chain: Make) -> None:
    office, (one, two) = chain(2, ITEM, ROWS, PARENT)
    for place, price, card in ((one, 11, 2), (two, 12, 3)):
        place.sql(f"UPDATE item SET price = {price} WHERE id < 3", f"INSERT INTO member VALUES ({card}, 'A')")
    rest([one, two, office])
    with office.session() as session:
        found = status(session)
    assert [(n.table, n.kind, n.number) for n in found.open] == [("item", "cell", 2), ("member", "unique", 1)]
    assert found.conflicts == 3
    assert all(n.oldest.startswith("2026-11-24T08:") for n in found.open)


def test_rows_without_parents_are_told_and_hold_nothing(chain: Make) -> None:
    office, (one, two) = chain(2, PARENT, CHILD, "INSERT INTO member VALUES (1, 'A')", ORPHANS)
    for place in (office, one):
        with place.session() as session:
            assert [tuple(getattr(n, f) for f in n.__struct_fields__) for n in status(session).orphans] == [
                ("visit", ("member",), "member", 2)
            ]
    one.sql("UPDATE visit SET member = 1 WHERE id = 4")
    rest([one, two, office])
    assert not [place for place in (office, one, two) if place.disputes("visit").rows]


def test_new_conflicts_are_told_once(chain: Make) -> None:
    office, (one, two) = chain(2)
    heard: list[tuple[str, Mapping[str, Any]]] = []
    one.sql("UPDATE item SET price = 11 WHERE id < 3")
    two.sql("UPDATE item SET price = 12 WHERE id < 3")
    rest([one, office])
    world = replace(two.town.world, notify=lambda event, details: heard.append((event, details)))
    for _ in range(2):
        with Repository(two.top).lock(), Session(Repository(two.top), world, two.town.engine) as session:
            assert sync(session).error is None
    ((event, details),) = heard
    assert event == "on-conflict"
    assert details["new"] == {"item": {"cell": 2}}
    assert details["open"] == 2
    with two.session() as session:
        noted = session.repo.journal.last("on-conflict")
    assert noted is not None
    assert noted["commit"] == details["commit"]
