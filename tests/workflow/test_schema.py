"""Places whose databases are of different versions: columns that one of them lacks, other types, other keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fixtures.places import Place

Make = Callable[..., tuple[Place, list[Place]]]


def rest(places: list[Place], rounds: int = 3) -> None:
    for _ in range(rounds):
        for place in places:
            place.sync()


def test_an_old_till_carries_the_new_column_unchanged(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    one.sql("ALTER TABLE item ADD COLUMN ean TEXT", "UPDATE item SET ean = 'E' || id")
    rest([one, two, office])
    assert two.live() == [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30)]
    assert two.rows()[0] == (1, "boot", 10, "E1")
    two.sql("UPDATE item SET price = 11 WHERE id = 1", "INSERT INTO item VALUES (4, 'mule', 40)")
    two.sql("DELETE FROM item WHERE id = 2")
    one.sql("UPDATE item SET ean = 'X3' WHERE id = 3")
    rest([one, two, office])
    assert one.live() == [(1, "boot", 11, "E1"), (3, "pump", 30, "X3"), (4, "mule", 40, None)]
    assert two.live() == [(1, "boot", 11), (3, "pump", 30), (4, "mule", 40)]
    assert one.rows() == two.rows() == office.rows()
    heads = [place.head() for place in (one, two, office)]
    rest([one, two, office])
    assert [place.head() for place in (one, two, office)] == heads
    two.sql("ALTER TABLE item ADD COLUMN ean TEXT", "UPDATE item SET ean = 'mine' WHERE id = 4")
    rest([one, two, office])
    assert one.live() == two.live() == [(1, "boot", 11, "E1"), (3, "pump", 30, "X3"), (4, "mule", 40, "mine")]
    assert [place.verified().damaged for place in (one, two, office)] == [[], [], []]


def test_a_default_of_the_new_column_is_nobodys_edit(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    for place in (one, two):
        place.sql("ALTER TABLE item ADD COLUMN least INTEGER NOT NULL DEFAULT 0")
    one.sql("UPDATE item SET least = 5 WHERE id = 2")
    two.sql("UPDATE item SET least = 7 WHERE id = 3")
    rest([one, two, office])
    assert one.live() == two.live() == [(1, "boot", 10, 0), (2, "clog", 20, 5), (3, "pump", 30, 7)]
    assert len(office.disputes()) == 0


def test_a_row_from_an_old_till_gets_the_default_where_null_is_not_allowed(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    one.sql("ALTER TABLE item ADD COLUMN least INTEGER NOT NULL DEFAULT 3")
    rest([one, two, office])
    two.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    rest([one, two, office])
    assert one.live()[-1] == (4, "mule", 40, 3)
    two.sql("ALTER TABLE item ADD COLUMN least INTEGER NOT NULL DEFAULT 3")
    rest([one, two, office])
    assert two.live() == one.live()
    assert one.rows() == two.rows() == office.rows()


def test_a_new_type_reaches_old_tills_as_they_can_hold_it(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    retype(one, "TEXT")
    one.sql("UPDATE item SET price = '12' WHERE id = 1")
    rest([one, two, office])
    assert two.live() == [(1, "boot", 12), (2, "clog", 20), (3, "pump", 30)]
    two.sql("UPDATE item SET price = 21 WHERE id = 2")
    rest([one, two, office])
    assert one.live() == [(1, "boot", "12"), (2, "clog", "21"), (3, "pump", "30")]
    heads = [place.head() for place in (one, two, office)]
    rest([one, two, office])
    assert [place.head() for place in (one, two, office)] == heads
    one.sql("UPDATE item SET price = 'call' WHERE id = 3")
    rest([one, two, office])
    assert two.live()[2] == (3, "pump", "call")
    two.sql("UPDATE item SET name = 'pumps' WHERE id = 3")
    retype(two, "TEXT")
    rest([one, two, office])
    assert one.live() == two.live() == [(1, "boot", "12"), (2, "clog", "21"), (3, "pumps", "call")]


def test_text_among_numbers_widens_the_column_everywhere(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    one.sql("UPDATE item SET price = 'call' WHERE id = 3")
    two.sql("UPDATE item SET price = 21 WHERE id = 2")
    rest([one, two, office])
    assert one.live() == two.live() == [(1, "boot", 10), (2, "clog", 21), (3, "pump", "call")]
    two.sql("UPDATE item SET price = 33 WHERE id = 3")
    rest([one, two, office])
    assert one.live()[2] == (3, "pump", 33)
    heads = [place.head() for place in (one, two, office)]
    rest([one, two, office])
    assert [place.head() for place in (one, two, office)] == heads


def test_another_key_waits_until_all_have_it(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    rekey(one)
    one.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    two.sql("INSERT INTO item VALUES (5, 'sock', 5)", "CREATE TABLE other (id INTEGER PRIMARY KEY, n INTEGER)")
    rest([one, two, office])
    assert len(one.live()) == 4
    assert len(two.live()) == 4
    heads = [place.head() for place in (one, two, office)]
    rest([one, two, office])
    assert [place.head() for place in (one, two, office)] == heads
    rekey(two)
    rest([one, two, office], 4)
    found = [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30), (4, "mule", 40), (5, "sock", 5)]
    assert sorted(one.live()) == sorted(two.live()) == found


@pytest.mark.parametrize("tracked", [False, True])
def test_a_new_name_by_rule_travels(chain: Make, tracked: bool) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    for place in (one, two, office):
        place.set("table.item.renamed.price", "amount")
    if tracked:
        from prontosync.workflow.track import enable

        with two.session() as session:
            enable(session, [])
    one.sql("ALTER TABLE item RENAME COLUMN price TO amount", "UPDATE item SET amount = 11 WHERE id = 1")
    two.sql("UPDATE item SET price = 22 WHERE id = 2")
    rest([one, two, office])
    assert one.live() == two.live() == [(1, "boot", 11), (2, "clog", 22), (3, "pump", 30)]


def test_a_confirmed_end_takes_the_column_out_of_all_branches(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    one.sql("ALTER TABLE item DROP COLUMN name", "UPDATE item SET price = 11 WHERE id = 1")
    rest([one, two, office])
    assert two.live()[0] == (1, "boot", 11)
    assert one.rows()[0] == (1, 11, "boot")
    office.set("table.item.dropped", '["name"]')
    office.commit_rules()
    two.sql("UPDATE item SET price = 31 WHERE id = 3")
    rest([one, two, office])
    assert one.live() == [(1, 11), (2, 20), (3, 31)]
    assert two.live() == [(1, "boot", 11), (2, "clog", 20), (3, "pump", 31)]
    assert one.rows() == two.rows() == office.rows() == [(1, 11), (2, 20), (3, 31)]


def test_with_schema_adds_columns_and_makes_tables(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    one.sql("ALTER TABLE item ADD COLUMN ean TEXT", "UPDATE item SET ean = 'E' || id")
    one.sql("CREATE TABLE colour (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO colour VALUES (1, 'red')")
    rest([one, two, office])
    assert two.live()[0] == (1, "boot", 10)
    with two.session() as session:
        from prontosync.workflow.pull import pull

        session.with_schema = True
        pull(session)
    assert two.live() == one.live()
    assert two.live("colour") == [(1, "red")]
    rest([one, two, office])
    heads = [place.head() for place in (one, two, office)]
    two.sql("INSERT INTO colour VALUES (2, 'blue')", "UPDATE item SET ean = 'Z' WHERE id = 2")
    rest([one, two, office])
    assert one.live("colour") == [(1, "red"), (2, "blue")]
    assert one.live()[1] == (2, "clog", 20, "Z")
    assert [place.head() for place in (one, two, office)] != heads


def test_a_new_store_gets_the_newest_definition_that_head_office_has_seen(chain: Make) -> None:
    office, (one, two) = chain(2)
    rest([one, two, office])
    one.sql("ALTER TABLE item ADD COLUMN ean TEXT", "UPDATE item SET ean = 'E' || id")
    rest([one, two, office])
    three, done = office.town.clone("three", branch="main")
    assert done.source == "restored"
    assert three.live() == [(1, "boot", 10, "E1"), (2, "clog", 20, "E2"), (3, "pump", 30, "E3")]
    four, _ = office.town.clone("four", branch="stores/two")
    assert four.live() == [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30)]
    assert four.snapshot().commit is None
    assert four.rows() == three.rows()


def retype(place: Place, kind: str) -> None:
    place.sql(
        f"CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT, price {kind})",
        "INSERT INTO new SELECT id, name, price FROM item",
        "DROP TABLE item",
        "ALTER TABLE new RENAME TO item",
    )


def rekey(place: Place) -> None:
    place.sql(
        "CREATE TABLE new (id INTEGER, name TEXT, price INTEGER, PRIMARY KEY (id, name))",
        "INSERT INTO new SELECT id, name, price FROM item",
        "DROP TABLE item",
        "ALTER TABLE new RENAME TO item",
    )
