"""Revert and undo: what a commit or the last merge brought goes, what is newer stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prontosync.errors import NotFound, UsageError
from prontosync.history.sets import Rows
from prontosync.model.ids import ObjectId
from prontosync.workflow.takeback import Part, revert, undo
from tests.fixtures.places import ITEM, ROWS, Chain, Place, Town, rest

Make = Callable[..., Chain]


def _revert(place: Place, commit: ObjectId | None, part: Part | None = None) -> Any:
    assert commit is not None
    with place.session() as session:
        return revert(session, commit, part or Part())


def _undo(place: Place) -> Any:
    with place.session() as session:
        return undo(session)


def test_a_revert_takes_back_inserts_updates_and_deletes(town: Town) -> None:
    one = town.store("one", ITEM, ROWS)
    one.snapshot()
    one.sql(
        "INSERT INTO item VALUES (4, 'mule', 40)",
        "UPDATE item SET price = 11 WHERE id = 1",
        "DELETE FROM item WHERE id = 3",
    )
    made = one.snapshot().commit
    one.sql("UPDATE item SET name = 'Clog' WHERE id = 2", "UPDATE item SET name = 'Boot' WHERE id = 1")
    outcome = _revert(one, made)
    assert outcome.conflicts == 0
    assert one.live() == [(1, "Boot", 10), (2, "Clog", 20), (3, "pump", 30)]
    assert _revert(one, made).next.commit is None


def test_what_was_changed_again_is_disputed(town: Town) -> None:
    one = town.store("one", ITEM, ROWS)
    one.snapshot()
    one.sql("UPDATE item SET price = 11 WHERE id = 1", "INSERT INTO item VALUES (4, 'mule', 40)")
    made = one.snapshot().commit
    one.sql("UPDATE item SET price = 12 WHERE id = 1", "UPDATE item SET price = 41 WHERE id = 4")
    assert _revert(one, made).conflicts == 2
    assert one.live() == [(1, "boot", 12), (2, "clog", 20), (3, "pump", 30), (4, "mule", 41)]
    states = {key: dispute.state for key, dispute in one.disputes().rows.items()}
    assert states[(4,)] == Rows(frozenset([(4, "mule", 41), None]))


def test_part_of_a_commit_can_be_taken_back(town: Town) -> None:
    one = town.store(
        "one", ITEM, ROWS, "CREATE TABLE other (id INTEGER PRIMARY KEY, v INT)", "INSERT INTO other VALUES (1, 1)"
    )
    one.snapshot()
    one.sql("UPDATE item SET price = price + 1", "UPDATE other SET v = 2", "DELETE FROM item WHERE id = 3")
    one.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    made = one.snapshot().commit
    _revert(one, made, Part("item", "1"))
    assert one.live() == [(1, "boot", 10), (2, "clog", 21), (4, "mule", 40)]
    _revert(one, made, Part("item", "3"))
    _revert(one, made, Part("item", "4"))
    assert one.live() == [(1, "boot", 10), (2, "clog", 21), (3, "pump", 30)]
    assert one.live("other") == [(1, 2)]
    _revert(one, made, Part("item"))
    assert one.live() == [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30)]
    _revert(one, made)
    assert one.live("other") == [(1, 1)]


def test_parts_that_are_not_there_are_named(town: Town) -> None:
    one = town.store("one", ITEM, ROWS)
    one.snapshot()
    one.sql("UPDATE item SET price = 11 WHERE id = 1")
    made = one.snapshot().commit
    wrong = (
        (Part("nothing"), NotFound),
        (Part("item", "99"), NotFound),
        (Part(None, "1"), UsageError),
        (Part("item", "x"), UsageError),
    )
    for part, kind in wrong:
        with pytest.raises(kind):
            _revert(one, made, part)


@pytest.mark.parametrize("part", [Part(), Part("item"), Part("item", "1")])
def test_of_a_commit_that_brought_a_column_the_rows_are_taken_back(town: Town, part: Part) -> None:
    one = town.store("one", ITEM, ROWS)
    one.snapshot()
    one.sql("ALTER TABLE item ADD COLUMN colour TEXT", "UPDATE item SET price = 11 WHERE id = 1")
    made = one.snapshot().commit
    one.sql("UPDATE item SET colour = 'red'")
    _revert(one, made, part)
    assert one.live()[0] == (1, "boot", 10, "red")


def test_the_first_commit_has_nothing_before_it(town: Town) -> None:
    one = town.store("one", ITEM, ROWS)
    assert _revert(one, one.snapshot().commit).next.commit is None
    assert len(one.live()) == 3


def test_undo_takes_back_one_merge_after_the_other(chain: Make) -> None:
    office, (one, two) = chain(2)
    two.sql("UPDATE item SET price = 11 WHERE id = 1")
    rest([two, office, one])
    two.sql("UPDATE item SET price = 22 WHERE id = 2")
    rest([two, office, one])
    one.sql("UPDATE item SET name = 'Pump' WHERE id = 3")
    assert one.live() == [(1, "boot", 11), (2, "clog", 22), (3, "Pump", 30)]
    _undo(one)
    assert one.live() == [(1, "boot", 11), (2, "clog", 20), (3, "Pump", 30)]
    _undo(one)
    assert one.live() == [(1, "boot", 10), (2, "clog", 20), (3, "Pump", 30)]
    with pytest.raises(NotFound):
        _undo(one)
    rest([one, office, two])
    assert two.live() == one.live()


def test_undo_of_a_fast_forward(chain: Make) -> None:
    _, (one,) = chain(1)
    twin, _ = one.town.clone("twin", ITEM, ROWS, branch="stores/one")
    twin.sql("UPDATE item SET price = 11 WHERE id = 1")
    twin.sync()
    outcome = one.pull()
    assert outcome is not None
    assert outcome.next.fast_forward
    assert one.live()[0] == (1, "boot", 11)
    _undo(one)
    assert one.live()[0] == (1, "boot", 10)
    rest([one, twin])
    assert twin.live() == one.live()


def test_undo_of_a_dispute_decides_for_what_was_before(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.sql("UPDATE item SET price = 11 WHERE id = 1")
    two.sql("UPDATE item SET price = 12 WHERE id = 1")
    rest([two, office, one, office])
    assert len(one.disputes()) == 1
    _undo(one)
    assert len(one.disputes()) == 0
    assert one.rows()[0] == one.live()[0] == (1, "boot", 11)
