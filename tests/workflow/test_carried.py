"""Columns that a branch has and its live database lacks: their values stay with their rows, whatever is done there."""

from __future__ import annotations

import pytest

from prontosync.workflow.track import enable
from tests.fixtures.places import Place, Town, numbered

WIDE = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, ean TEXT)"
ROWS = "INSERT INTO item VALUES (1, 'boot', 10, 'E1'), (2, 'clog', 20, 'E2'), (3, 'pump', 30, 'E3')"


def rows(place: Place) -> list[tuple[object, ...]]:
    return sorted(place.rows(), key=lambda row: int(row[0]))


@pytest.mark.parametrize("tracked", [False, True])
def test_a_column_that_went_stays_with_its_rows(town: Town, tracked: bool) -> None:
    one = town.store("one", WIDE, ROWS)
    one.snapshot()
    one.sql("ALTER TABLE item DROP COLUMN ean")
    if tracked:
        with one.session() as session:
            enable(session, [])
    taken = one.snapshot()
    assert taken.commit is not None
    assert not any(taken.changes.values())
    one.sql("UPDATE item SET price = 11 WHERE id = 1", "DELETE FROM item WHERE id = 2")
    one.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    taken = one.snapshot()
    assert taken.changes["item"].total == 3
    assert bool(taken.in_full) is False
    assert rows(one) == [(1, "boot", 11, "E1"), (3, "pump", 30, "E3"), (4, "mule", 40, None)]
    assert one.snapshot(full=True).commit is None
    assert one.verified().damaged == []


def test_many_rows_stream_and_reuse_what_did_not_change(town: Town) -> None:
    one = town.store("one", WIDE.replace(", ean TEXT", ""), numbered(1, 60_000))
    one.sql("ALTER TABLE item ADD COLUMN ean TEXT", "UPDATE item SET ean = 'E' || id")
    one.snapshot()
    one.sql("ALTER TABLE item DROP COLUMN ean")
    one.snapshot()
    with one.session() as session:
        before = session.commits.tree(session.need_head()).tables["item"]
    one.sql("UPDATE item SET price = 0 WHERE id = 30000", "DELETE FROM item WHERE id = 5")
    one.snapshot()
    with one.session() as session:
        after = session.commits.tree(session.need_head()).tables["item"]
    assert (after.checkpoint, after.changes.total) == (before.checkpoint, 2)
    found = {row[0]: row for row in one.rows()}
    assert len(found) == 59_999
    assert found[30_000] == (30_000, "x30000", 0, "E30000")
    assert all(row[3] == f"E{key}" for key, row in found.items())


def test_a_column_that_ends_by_rule_leaves_the_branch_and_is_not_read(town: Town) -> None:
    one = town.store("one", WIDE, ROWS)
    one.snapshot()
    one.unset("store.upstream")
    one.set("table.item.dropped", '["ean"]')
    one.snapshot()
    assert rows(one) == [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30)]
    one.sql("UPDATE item SET ean = 'X'")
    assert one.snapshot().commit is None


def test_a_new_name_by_rule_is_the_same_column(town: Town) -> None:
    one = town.store("one", WIDE, ROWS)
    one.snapshot()
    one.set("table.item.renamed.ean", "barcode")
    one.snapshot()
    assert rows(one)[0] == (1, "boot", 10, "E1")
    one.sql("UPDATE item SET ean = 'X' WHERE id = 1")
    assert one.snapshot().changes["item"].updated == 1
    one.sql("ALTER TABLE item RENAME COLUMN ean TO barcode")
    taken = one.snapshot()
    assert not any(taken.changes.values())
    assert rows(one)[0] == (1, "boot", 10, "X")


def test_a_key_that_changes_takes_carried_values_along(town: Town) -> None:
    one = town.store("one", WIDE, ROWS)
    one.snapshot()
    one.sql("ALTER TABLE item DROP COLUMN ean")
    one.snapshot()
    one.sql(
        "CREATE TABLE new (id INTEGER, name TEXT, price INTEGER, PRIMARY KEY (name, id)) WITHOUT ROWID",
        "INSERT INTO new SELECT * FROM item",
        "DROP TABLE item",
        "ALTER TABLE new RENAME TO item",
    )
    one.snapshot()
    assert rows(one) == [(1, "boot", 10, "E1"), (2, "clog", 20, "E2"), (3, "pump", 30, "E3")]
