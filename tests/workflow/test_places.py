"""Stores and head office together: flows, boundaries, tables that one side lacks, and that syncing comes to rest."""

from __future__ import annotations

from collections.abc import Callable

from prontosync.history.sets import Rows
from prontosync.model.ids import ObjectName
from prontosync.model.names import RefName
from prontosync.workflow.merge import theirs_of
from prontosync.workflow.remotes import fetch, linked
from tests.fixtures.places import ITEM, ROWS, Chain, rest

Make = Callable[..., Chain]
EXTRA = "CREATE TABLE extra (id INTEGER PRIMARY KEY, what TEXT)"


def test_everything_shared_arrives_everywhere_and_then_all_is_at_rest(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.sql("UPDATE item SET price = 11 WHERE id = 1", "INSERT INTO item VALUES (4, 'mule', 40)")
    two.sql("UPDATE item SET name = 'Boot' WHERE id = 1", "DELETE FROM item WHERE id = 3")
    rest([one, two, office])
    expected = [(1, "Boot", 11), (2, "clog", 20), (4, "mule", 40)]
    assert one.live() == two.live() == expected
    assert one.rows() == two.rows() == office.rows() == expected
    assert rest([one, two, office]) == 0


def test_a_disputed_cell_comes_to_rest_too_and_a_decision_settles_it(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.sql("UPDATE item SET price = 11 WHERE id = 1")
    two.sql("UPDATE item SET price = 12 WHERE id = 1")
    rest([one, two, office])
    assert len(one.disputes()) == len(two.disputes()) == len(office.disputes()) == 1
    assert [place.live()[0][2] for place in (one, two)] == [11, 12]
    one.sql("UPDATE item SET price = 13 WHERE id = 1")
    rest([one, two, office])
    (cells,) = (dispute.state.cells for dispute in two.disputes().rows.values())
    assert cells[2] == frozenset([12, 13])
    assert [place.live()[0][2] for place in (one, two)] == [13, 12]


def test_a_store_gets_head_offices_commits_and_none_of_the_other_stores(chain: Make) -> None:
    office, (one, two) = chain(2)
    two.sql("UPDATE item SET price = 12 WHERE id = 2")
    made = two.snapshot().commit
    assert made is not None
    rest([one, two, office])
    with one.session() as session:
        assert not session.repo.objects.has(ObjectName(made, "json"))
        assert not [ref for ref in session.repo.refs.names() if "two" in ref]
        assert made in {
            b for c in session.ancestry.only_in([session.need_head()], []) for b in session.ancestry.boundaries(c)
        }
    assert one.live()[1] == (2, "clog", 12)


def test_flows_say_which_way_a_table_travels(chain: Make) -> None:
    tables = [f"CREATE TABLE {t} (id INTEGER PRIMARY KEY, v INTEGER)" for t in ("own_t", "down_t", "shared_t")]
    rows = [f"INSERT INTO {t} VALUES (1, 1)" for t in ("own_t", "down_t", "shared_t")]
    office, (one, two) = chain(2, *tables, *rows)
    for place in (office, one, two):
        place.set("table.own_t.flow", "own")
        place.set("table.down_t.flow", "down")
    office.commit_rules()
    office.push()
    rest([one, two, office])
    for table in ("own_t", "down_t", "shared_t"):
        one.sql(f"UPDATE {table} SET v = 2")
    rest([one, two, office])
    assert [two.live(t) for t in ("own_t", "down_t", "shared_t")] == [[(1, 1)], [(1, 1)], [(1, 2)]]
    assert [office.rows(t) for t in ("own_t", "down_t", "shared_t")] == [[(1, 1)], [(1, 1)], [(1, 2)]]
    assert [one.live(t) for t in ("own_t", "down_t", "shared_t")] == [[(1, 2)]] * 3


def test_down_takes_from_head_office_and_a_local_edit_is_disputed(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.set("table.item.flow", "down")
    two.sql("UPDATE item SET price = 99 WHERE id = 1", "UPDATE item SET price = 98 WHERE id = 2")
    one.sql("UPDATE item SET price = 11 WHERE id = 1")
    rest([two, office, one])
    assert one.live() == [(1, "boot", 11), (2, "clog", 98), (3, "pump", 30)]
    assert len(one.disputes()) == 1


def test_what_a_third_branch_brought_without_its_rows_comes_down_all_the_same(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.set("table.item.flow", "down")
    two.sql("UPDATE item SET price = 98 WHERE id = 2")
    rest([two, office])
    with one.session() as session, linked(session, "hub") as link:
        fetch(link, [RefName("stores/two")])
    one.merge("hub/stores/two")
    assert one.live()[1] == (2, "clog", 20)
    rest([one, two, office])
    assert one.live()[1] == (2, "clog", 98)
    assert not one.disputes()


def test_a_table_that_only_theirs_has_waits_and_is_no_deletion_when_it_comes(chain: Make) -> None:
    office, (one, two) = chain(2)
    two.sql(EXTRA, "INSERT INTO extra VALUES (1, 'a'), (2, 'b')")
    rest([two, office])
    assert office.rows("extra") == [(1, "a"), (2, "b")]
    first = one.sync()
    assert first.outcome is not None
    assert first.outcome.next.waiting == ("extra",)
    assert one.tables() == {"item"}
    two.sql("UPDATE item SET price = 1 WHERE id = 1")
    rest([two, office])
    again = one.sync()
    assert again.outcome is not None
    assert again.outcome.next.waiting == ("extra",)

    one.sql(EXTRA)
    rest([one, two, office])
    assert one.live("extra") == two.live("extra") == office.rows("extra") == [(1, "a"), (2, "b")]
    one.sql("DELETE FROM extra WHERE id = 2")
    rest([one, two, office])
    assert one.live("extra") == two.live("extra") == office.rows("extra") == [(1, "a")]


def test_a_waiting_table_that_comes_with_rows_of_its_own_disputes_the_different_ones(chain: Make) -> None:
    office, (one, two) = chain(2)
    two.sql(EXTRA, "INSERT INTO extra VALUES (1, 'a'), (2, 'b')")
    rest([two, office, one])
    one.sql(EXTRA, "INSERT INTO extra VALUES (2, 'B'), (3, 'c')")
    rest([one, two, office])
    assert [row[0] for row in office.rows("extra")] == [1, 2, 3]
    (state,) = (dispute.state for dispute in office.disputes("extra").rows.values())
    assert state == Rows(frozenset([(2, "b"), (2, "B")]))
    assert one.live("extra") == [(1, "a"), (2, "B"), (3, "c")]


def test_a_table_dropped_in_one_store_stays_elsewhere_and_comes_back_as_it_is(chain: Make) -> None:
    office, (one, two) = chain(2, ITEM, ROWS, EXTRA, "INSERT INTO extra VALUES (1, 'a')")
    one.sql("DROP TABLE extra")
    assert one.snapshot().gone == ("extra",)
    rest([one, two, office])
    assert "extra" not in one.tables()
    assert two.live("extra") == office.rows("extra") == [(1, "a")]
    one.sql(EXTRA, "INSERT INTO extra VALUES (1, 'a'), (2, 'b')")
    rest([one, two, office])
    assert two.live("extra") == [(1, "a"), (2, "b")]


def test_columns_in_another_order_are_the_same_table(chain: Make) -> None:
    office, (one, two) = chain(2)
    with_other_order = "CREATE TABLE item2 (price INTEGER, name TEXT, id INTEGER PRIMARY KEY)"
    two.sql(with_other_order, "INSERT INTO item2 SELECT price, name, id FROM item", "DROP TABLE item")
    two.sql("ALTER TABLE item2 RENAME TO item", "UPDATE item SET price = 7 WHERE id = 1")
    one.sql("UPDATE item SET name = 'Clog' WHERE id = 2")
    rest([one, two, office])
    assert one.live() == [(1, "boot", 7), (2, "Clog", 20), (3, "pump", 30)]
    assert sorted(two.sql("SELECT id, name, price FROM item")) == one.live()
    one.sql("UPDATE item SET price = 8, name = 'Boot' WHERE id = 1")
    rest([one, two, office])
    assert sorted(two.sql("SELECT id, name, price FROM item")) == one.live() == [(1, "Boot", 8), *one.live()[1:]]


def test_with_apply_off_a_store_only_reports(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.set("source.apply", "false")
    two.sql("UPDATE item SET price = 12 WHERE id = 2")
    one.sql("UPDATE item SET price = 11 WHERE id = 1")
    rest([two, one, office])
    assert one.live()[1] == (2, "clog", 20)
    assert two.live()[0] == office.rows()[0] == (1, "boot", 11)


def test_a_history_without_a_common_ancestor_is_merged_and_nothing_is_deleted(chain: Make) -> None:
    office, (one,) = chain(1)
    stranger = one.town.store(
        "stranger", ITEM, "INSERT INTO item VALUES (1, 'boot', 10), (2, 'CLOG', 20), (9, 'mule', 90)"
    )
    rest([stranger, one, office, stranger])
    assert one.live() == [(1, "boot", 10), (2, "clog", 20), (3, "pump", 30), (9, "mule", 90)]
    assert stranger.live() == [(1, "boot", 10), (2, "CLOG", 20), (3, "pump", 30), (9, "mule", 90)]
    assert list(office.disputes().rows) == [(2,)]


def test_an_excluded_table_is_left_alone_in_the_database(chain: Make) -> None:
    office, (one, two) = chain(2, ITEM, ROWS, EXTRA, "INSERT INTO extra VALUES (1, 'a')")
    (one.top / "prontosync.toml").write_text(
        (one.top / "prontosync.toml").read_text().replace("[source]", '[source]\nexclude = ["extra"]')
    )
    two.sql("UPDATE extra SET what = 'b'", "UPDATE item SET price = 2 WHERE id = 1")
    rest([one, two, office])
    assert one.live("extra") == [(1, "a")]
    assert one.live()[0] == (1, "boot", 2)
    assert "extra" in one.tables()


def test_a_tag_is_no_branch_of_its_own(chain: Make) -> None:
    office, (one, two) = chain(2)
    two.sql("UPDATE item SET price = 12 WHERE id = 2")
    rest([two, office])
    one.fetch()
    with one.session() as session:
        theirs = theirs_of(session, "hub/main")
        session.repo.refs.advance_if_at("tags/v1", None, theirs.commit, session.mover())  # type: ignore[arg-type]
        assert theirs_of(session, "v1") == theirs
