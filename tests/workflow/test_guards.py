"""What a snapshot and an apply refuse, and how a live database and a branch meet for the first time."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from prontosync.history.sets import Cells, Rows
from prontosync.model.schema import Column
from prontosync.tables.reader import read_schema
from prontosync.workflow.snapshot import MassDeletion, RestoredCopy, take_snapshot
from tests.fixtures.places import ITEM, ROWS, Chain, Place, Town, numbered, rest

Make = Callable[..., Chain]
MANY = numbered(10, 310)


def test_a_snapshot_does_not_record_a_blank_database_as_deletions(town: Town) -> None:
    one = town.store("one", ITEM, MANY)
    head = one.snapshot().head
    one.sql("DELETE FROM item")
    with pytest.raises(MassDeletion, match='301 of 301 rows of table "item"') as refused:
        one.snapshot()
    assert refused.value.exit == 13
    assert one.head() == head
    assert one.snapshot(allow_deletes=["item"]).changes["item"].deleted == 301


def test_a_hundred_rows_of_a_table_may_always_go(town: Town) -> None:
    one = town.store("one", ITEM, MANY)
    one.snapshot()
    one.sql("DELETE FROM item WHERE id < 110")
    assert one.snapshot().changes["item"].deleted == 100
    one.sql("DELETE FROM item WHERE id < 211")
    with pytest.raises(MassDeletion):
        one.snapshot()


def test_a_dropped_table_is_a_mass_deletion_too(town: Town) -> None:
    one = town.store("one", ITEM, MANY, "CREATE TABLE other (id INTEGER PRIMARY KEY)")
    one.snapshot()
    one.sql("DROP TABLE item")
    with pytest.raises(MassDeletion, match='table "item" is gone with its 301 rows'):
        one.snapshot()
    assert one.snapshot(allow_deletes=["item"]).gone == ("item",)
    assert one.snapshot().commit is None


def test_an_apply_does_not_empty_a_table_either(chain: Make) -> None:
    office, (one, two) = chain(2, ITEM, MANY)
    two.sql("DELETE FROM item")
    two.snapshot(allow_deletes=["item"])
    rest([two, office])
    with one.session() as session:
        before = session.head()
    error = one.sync().error
    assert isinstance(error, MassDeletion)
    assert len(one.live()) == 301
    assert one.head() == before
    assert one.pull(allow_deletes=["item"]) is not None
    assert one.live() == []


@pytest.mark.parametrize("statement", ["ALTER TABLE item ADD COLUMN colour TEXT", "ALTER TABLE item DROP COLUMN name"])
def test_a_changed_schema_deletes_nothing(town: Town, statement: str) -> None:
    one = town.store("one", ITEM, MANY)
    one.snapshot()
    one.sql(statement)
    assert one.snapshot().commit is not None
    one.sql("UPDATE item SET price = 0 WHERE id = 10")
    assert one.snapshot().changes["item"].updated == 1


def test_rows_that_go_with_a_changed_schema_are_counted(town: Town) -> None:
    one = town.store("one", ITEM, MANY)
    one.snapshot()
    one.sql("ALTER TABLE item ADD COLUMN colour TEXT", "DELETE FROM item WHERE id < 111")
    with pytest.raises(MassDeletion, match="101 of 301"):
        one.snapshot()


def test_an_older_copy_of_the_database_is_noticed(chain: Make) -> None:
    office, (one, two) = chain(2)
    shutil.copy(one.database, one.database.with_suffix(".old"))
    two.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    rest([two, office, one])
    assert len(one.live()) == 4
    for suffix in ("", "-wal", "-shm"):
        one.database.with_name(one.database.name + suffix).unlink(missing_ok=True)
    shutil.copy(one.database.with_suffix(".old"), one.database)
    with pytest.raises(RestoredCopy) as refused:
        one.snapshot()
    assert refused.value.exit == 15
    with one.session() as session:
        assert take_snapshot(session, accept_copy=True).changes["item"].deleted == 1
    one.sql("INSERT INTO item VALUES (5, 'flip', 50)")
    rest([one, two, office])
    assert two.live() == one.live()
    assert [row[0] for row in one.live()] == [1, 2, 3, 5]


def test_a_database_that_another_repository_wrote_to_is_noticed(chain: Make) -> None:
    office, (one, two) = chain(2)
    two.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    rest([two, office, one])
    shutil.copy(one.database, two.database)
    with pytest.raises(RestoredCopy, match="another repository"):
        two.snapshot()


def test_a_clone_adopts_an_equal_database_and_what_it_holds_in_a_disputed_cell(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.sql("UPDATE item SET price = 15 WHERE id = 1")
    two.sql("UPDATE item SET price = 12 WHERE id = 1")
    rest([one, two, office])
    again, done = one.town.clone("again", branch="stores/one")
    assert done.source == "restored"
    assert again.live()[0] == (1, "boot", 12)
    again.snapshot()
    assert len(again.disputes()) == 1

    twin = Place(one.town, "twin")
    with closing(sqlite3.connect(one.database)) as db, closing(sqlite3.connect(twin.database)) as copy:
        db.backup(copy)
    twin, done = one.town.clone("twin", branch="stores/one")
    assert done.source == "adopted"
    assert twin.live()[0] == (1, "boot", 15)
    assert twin.snapshot().commit is None
    assert len(twin.disputes()) == 1
    twin.sql("UPDATE item SET price = 16 WHERE id = 1")
    twin.snapshot()
    (dispute,) = twin.disputes().rows.values()
    assert isinstance(dispute.state, Cells)
    assert dispute.state.cells[2] == frozenset([12, 16])


def test_a_clone_onto_another_value_than_any_candidate_adds_it(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.sql("UPDATE item SET price = 15 WHERE id = 1")
    two.sql("UPDATE item SET price = 12 WHERE id = 1")
    rest([one, two, office])
    again, done = one.town.clone(
        "again", ITEM, ROWS, "UPDATE item SET price = 77, name = 'B' WHERE id = 1", branch="stores/one"
    )
    assert done.source == "differs"
    again.pull()
    assert again.live()[0] == (1, "B", 77)
    (dispute,) = again.disputes().rows.values()
    assert isinstance(dispute.state, Rows)
    assert {(1, "B", 77), (1, "boot", 12), (1, "boot", 15)} <= dispute.state.rows


def test_a_clone_onto_a_different_database_deletes_nothing(chain: Make) -> None:
    office, (one,) = chain(1)
    again, done = one.town.clone(
        "again", ITEM, "INSERT INTO item VALUES (2, 'CLOG', 20), (7, 'new', 1)", branch="stores/one"
    )
    assert done.source == "differs"
    assert again.live() == [(2, "CLOG", 20), (7, "new", 1)]
    rest([again, one, office])
    assert again.live() == [(1, "boot", 10), (2, "CLOG", 20), (3, "pump", 30), (7, "new", 1)]
    assert one.live() == [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30), (7, "new", 1)]
    assert list(office.disputes().rows) == [(2,)]


def test_a_table_left_out_stays_as_it_was(town: Town) -> None:
    one = town.store("one", ITEM, ROWS, "CREATE TABLE other (id INTEGER PRIMARY KEY)")
    head = one.snapshot().head
    one.sql("CREATE TABLE plain AS SELECT * FROM item", "DROP TABLE item", "ALTER TABLE plain RENAME TO item")
    done = one.snapshot()
    assert [left.name for left in done.left_out] == ["item"]
    assert done.head is not None
    assert one.rows() == one.rows(rev=str(head))
    assert done.gone == ()


def test_a_schema_that_changes_under_an_open_conflict_keeps_what_both_have(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.sql("UPDATE item SET price = 11, name = 'one' WHERE id = 1")
    two.sql("UPDATE item SET price = 12, name = 'two' WHERE id = 1")
    rest([one, two, office])
    one.sql("ALTER TABLE item ADD COLUMN colour TEXT", "UPDATE item SET colour = 'red'")
    one.snapshot()
    assert len(one.disputes()) == 2
    assert [state.cells[3] for state in _states(one)] == [frozenset(["red"])]
    one.sql("UPDATE item SET price = 14 WHERE id = 1")
    one.snapshot()
    assert [state.cells[2] for state in _states(one)] == [frozenset([12, 14])]
    one.sql("ALTER TABLE item DROP COLUMN name")
    one.snapshot()
    assert len(one.disputes()) == 2
    assert [column.name for column in _columns(one)] == ["id", "price", "colour", "name"]
    assert _columns(one)[0] == Column("id", "int64")
    one.unset("store.upstream")
    one.set("table.item.dropped", '["name"]')
    one.snapshot()
    assert len(one.disputes()) == 1
    assert [column.name for column in _columns(one)] == ["id", "price", "colour"]


def _columns(place: Place) -> tuple[Column, ...]:
    with place.session() as session:
        state = session.commits.tree(session.need_head()).tables["item"]
        return read_schema(session.repo.objects, "item", state.schema).columns


def _states(place: Place) -> list[Cells]:
    return [dispute.state for dispute in place.disputes().rows.values() if isinstance(dispute.state, Cells)]
