"""Rows that a place does not accept are held: nothing is lost, nothing live goes, everything else flows, and what is
held is shown as soon as nothing is in its way."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from prontosync.history.conflicts import Conflict, conflicts_of
from prontosync.workflow.decide import one_row, take
from prontosync.workflow.resolve import StillBroken, resolve
from tests.fixtures.places import Chain, Place, rest

Make = Callable[..., Chain]
MEMBER = "CREATE TABLE member (id INTEGER PRIMARY KEY, card TEXT UNIQUE, name TEXT)"
CARD = "INSERT INTO member VALUES (1, 'A', 'Ana')"
VISIT = "CREATE TABLE visit (id INTEGER PRIMARY KEY, member INTEGER REFERENCES member (id), points INTEGER)"
CHECKED = "CREATE TABLE gift (id INTEGER PRIMARY KEY, worth INTEGER NOT NULL CHECK (worth < 100))"
LOOSE = "CREATE TABLE gift (id INTEGER PRIMARY KEY, worth INTEGER)"


def held(place: Place, table: str) -> list[Conflict]:
    return list(conflicts_of(table, place.disputes(table)))


def run(place: Place, *statements: str) -> None:
    """As a till does that keeps its foreign keys."""
    with sqlite3.connect(place.database) as db:
        db.execute("PRAGMA foreign_keys = ON")
        for statement in statements:
            db.execute(statement)
    db.close()


def test_two_members_with_one_card_each_stay_where_they_were_made(chain: Make) -> None:
    office, (one, two) = chain(2, MEMBER, CARD)
    run(one, "INSERT INTO member VALUES (2, 'B', 'Bea')")
    run(two, "INSERT INTO member VALUES (3, 'B', 'Bo')", "UPDATE member SET name = 'Anna' WHERE id = 1")
    rest([one, two, office])
    assert one.live("member") == [(1, "A", "Anna"), (2, "B", "Bea")]
    assert two.live("member") == [(1, "A", "Anna"), (3, "B", "Bo")]
    assert [c.key for c in held(one, "member")] == [(3,)]
    assert [c.key for c in held(two, "member")] == [(2,)]
    (conflict,) = held(office, "member")
    assert (conflict.kind, conflict.column) == ("unique", None)
    assert "card" in conflict.detail
    assert [held(place, "member")[0].choices[0].branches for place in (one, two)] == [("stores/two",), ("stores/one",)]
    since = [held(place, "member")[0].since for place in (one, two, office)]
    run(one, "UPDATE member SET name = 'Bee' WHERE id = 2")
    rest([one, two, office])
    assert [held(place, "member")[0].since for place in (one, two, office)] == since
    run(one, "UPDATE member SET name = 'Bea' WHERE id = 2")
    rest([one, two, office])
    run(two, "UPDATE member SET card = 'C' WHERE id = 3")
    rest([one, two, office])
    expected = [(1, "A", "Anna"), (2, "B", "Bea"), (3, "C", "Bo")]
    assert one.live("member") == two.live("member") == office.rows("member") == expected
    assert not held(one, "member")
    assert not held(two, "member")


def test_a_child_waits_for_its_parent_and_what_depends_on_it_too(chain: Make) -> None:
    own = "CREATE TABLE till (id INTEGER PRIMARY KEY)"
    note = (
        "CREATE TABLE note (id INTEGER PRIMARY KEY, till INTEGER REFERENCES till (id), reply INTEGER REFERENCES note)"
    )
    office, (one, two) = chain(2, own, note)
    for place in (office, one, two):
        place.set("table.till.flow", "own")
    run(
        one,
        "INSERT INTO till VALUES (5)",
        "INSERT INTO note VALUES (1, 5, NULL)",
        "INSERT INTO note VALUES (2, NULL, 1)",
    )
    run(one, "INSERT INTO note VALUES (3, NULL, NULL)")
    rest([one, two, office])
    assert two.live("note") == [(3, None, None)]
    assert [(c.key, c.kind) for c in held(two, "note")] == [((1,), "foreign-key"), ((2,), "foreign-key")]
    assert office.rows("note") == [(1, 5, None), (2, None, 1), (3, None, None)]
    run(one, "UPDATE note SET till = NULL WHERE id = 2")
    rest([one, two, office])
    assert two.live("note") == [(3, None, None)]
    run(two, "INSERT INTO till VALUES (5)")
    rest([one, two, office])
    assert two.live("note") == one.live("note")
    assert not held(two, "note")


def test_a_row_that_live_rows_refer_to_is_not_deleted(chain: Make) -> None:
    office, (one, two) = chain(2, MEMBER, VISIT, CARD, "INSERT INTO member VALUES (2, 'B', 'Bea')")
    run(one, "DELETE FROM member WHERE id = 2")
    run(two, "INSERT INTO visit VALUES (1, 2, 10)")
    rest([one, two, office])
    assert two.live("member") == [(1, "A", "Ana"), (2, "B", "Bea")]
    assert two.live("visit") == [(1, 2, 10)]
    assert one.live("member") == [(1, "A", "Ana")]
    assert one.live("visit") == []
    assert [(c.kind, c.key) for c in held(two, "member")] == [("foreign-key", (2,))]
    assert [(c.kind, c.key) for c in held(one, "visit")] == [("foreign-key", (1,))]
    with two.session() as session, pytest.raises(StillBroken, match="visit"):
        resolve(session, one_row("member", "2", None, take("stores/one", "stores/two")))
    with two.session() as session:
        resolve(session, one_row("member", "2", None, take("ours", "stores/two")))
    rest([one, two, office])
    assert one.live("member") == two.live("member") == [(1, "A", "Ana"), (2, "B", "Bea")]
    assert one.live("visit") == [(1, 2, 10)]
    assert not held(one, "visit")
    assert not held(two, "member")


def test_what_check_and_not_null_refuse_is_held(chain: Make) -> None:
    office, (one, two) = chain(2, LOOSE)
    two.sql("DROP TABLE gift", CHECKED)
    one.sql("INSERT INTO gift VALUES (1, 50)", "INSERT INTO gift VALUES (2, 500)", "INSERT INTO gift VALUES (3, NULL)")
    rest([one, two, office])
    assert two.live("gift") == [(1, 50)]
    assert [(c.kind, c.key) for c in held(two, "gift")] == [("check", (2,)), ("check", (3,))]
    one.sql("UPDATE gift SET worth = 60 WHERE id = 2")
    rest([one, two, office])
    assert two.live("gift") == [(1, 50), (2, 60)]
    assert one.live("gift") == [(1, 50), (2, 60), (3, None)]


def test_what_only_the_database_itself_refuses_does_not_block_the_rest(chain: Make) -> None:
    office, (one, two) = chain(2)
    two.sql(
        "CREATE TRIGGER closed BEFORE UPDATE ON item WHEN new.price > 500 BEGIN SELECT RAISE(ABORT, 'too dear'); END"
    )
    two.snapshot()
    one.sql("UPDATE item SET price = 11 WHERE id = 1", "UPDATE item SET price = 999 WHERE id = 2")
    one.sql("UPDATE item SET price = 1000, name = 'pumps' WHERE id = 3")
    rest([one, two, office])
    assert two.live() == [(1, "boot", 11), (2, "clog", 20), (3, "pump", 30)]
    assert [(c.kind, c.key) for c in held(two, "item")] == [("check", (2,)), ("check", (3,))]
    assert "too dear" in held(two, "item")[0].detail
    assert office.rows() == [(1, "boot", 11), (2, "clog", 999), (3, "pumps", 1000)]


def test_a_till_that_edits_a_held_row_edits_what_is_intended(chain: Make) -> None:
    office, (one, two) = chain(
        2, "CREATE TABLE m (id INTEGER PRIMARY KEY, card TEXT UNIQUE, name TEXT, points INTEGER)"
    )
    one.set("table.m.columns.points", "sum")
    two.set("table.m.columns.points", "sum")
    office.set("table.m.columns.points", "sum")
    one.sql("INSERT INTO m VALUES (1, 'A', 'Ana', 10)", "INSERT INTO m VALUES (2, 'B', 'Bea', 10)")
    rest([one, two, office])
    one.sql("UPDATE m SET card = 'X', name = 'Anna', points = points - 1 WHERE id = 1")
    two.sql("UPDATE m SET card = 'X' WHERE id = 2")
    rest([one, two, office])
    assert two.live("m") == [(1, "A", "Ana", 10), (2, "X", "Bea", 10)]
    assert [c.key for c in held(two, "m")] == [(1,)]
    two.sql("UPDATE m SET points = points - 2 WHERE id = 1")
    rest([one, two, office])
    assert one.live("m") == [(1, "X", "Anna", 7), (2, "B", "Bea", 10)]
    two.sql("UPDATE m SET card = 'B' WHERE id = 2")
    rest([one, two, office])
    assert one.live("m") == two.live("m") == [(1, "X", "Anna", 7), (2, "B", "Bea", 10)]
