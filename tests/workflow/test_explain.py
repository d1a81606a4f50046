"""What was decided and by which rule: told by the merge itself, and again later from its parents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from prontosync.disk.config_edit import set_values
from prontosync.history.decisions import Decision
from prontosync.model.ids import ObjectId
from prontosync.workflow.decide import every
from prontosync.workflow.decided import Account
from prontosync.workflow.explain import Explained, explain
from prontosync.workflow.integrate import Outcome
from prontosync.workflow.merge_many import merge, merge_forecast
from prontosync.workflow.resolve import resolve
from tests.fixtures.places import Chain, Place

Make = Callable[..., Chain]
Told = list[tuple[Any, ...]]

ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, seen TEXT, store TEXT)"
ROWS = "INSERT INTO item VALUES (1, 'boot', 10, '2026-01-01', 'one'), (2, 'clog', 20, '2026-01-01', 'two')"


def _told(decisions: Sequence[Decision]) -> Told:
    """Table, key, column, base, ours, theirs, result, rule: a settled cell as its value, else a set."""
    return [
        (d.table, d.key, d.column, *(_plain(v) for v in (d.base, d.ours, d.theirs, d.result)), d.rule)
        for d in decisions
    ]


def _plain(values: frozenset[Any]) -> Any:
    return next(iter(values)) if len(values) == 1 else set(values)


def _merge(place: Place, *revs: str, **options: Any) -> tuple[Outcome, Told]:
    with place.session() as session:
        session.account = Account()
        outcome = merge(session, revs, **options)
        return outcome, _told(session.account.decisions())


def _again(place: Place, commit: ObjectId | None = None) -> Explained:
    before = _files(place)
    with place.session() as session:
        found = explain(session, commit or session.need_head())
    assert _files(place) == before
    return found


def _files(place: Place) -> set[str]:
    """Everything that the repository keeps but what it can compute again."""
    inner = place.top / ".prontosync"
    return {str(path) for path in inner.rglob("*") if path.is_file() and path.relative_to(inner).parts[0] != "cache"}


def _two(chain: Make, rules: Sequence[tuple[str, str]], *statements: str) -> Chain:
    """Two stores that changed the same after head office published its rules; the first one's is at head office."""
    office, (one, two) = chain(2, *(statements or (ITEM, ROWS)))
    if rules:
        set_values(office.top / "prontosync.toml", dict(rules))
        office.commit_rules()
        office.push()
    return office, [one, two]


def _meet(places: Chain, first: str, second: str) -> None:
    office, (one, two) = places
    one.sql(first)
    two.sql(second)
    for place in (one, two):
        place.snapshot()
        place.push()
    office.fetch()
    office.merge("hub/stores/one")


@pytest.mark.parametrize(
    ("rules", "first", "second", "expected"),
    [
        ([("columns.price", "sum")], "price = price - 1", "price = price - 2", ("price", 10, 9, 8, 7, "sum")),
        ([("columns.price", "max")], "price = 11", "price = 12", ("price", 10, 11, 12, 12, "max")),
        ([("columns.price", "min")], "price = 11", "price = 12", ("price", 10, 11, 12, 11, "min")),
        ([("columns.price", "prefer stores/one")], "price = 11", "price = 12", ("price", 10, 11, 12, 11, "prefer")),
        ([("columns.price", "sum")], "name = 'x'", "price = 12", None),
        ([], "price = 11", "price = 12", ("price", 10, 11, 12, {11, 12}, "in dispute")),
        ([("owner", "store")], "name = 'x'", "price = 12", ("price", 10, 10, 12, {10, 12}, "in dispute (owner)")),
        (
            [("append_only", "true")],
            "name = 'boot'",
            "price = 12",
            ("price", 10, 10, 12, {10, 12}, "in dispute (append_only)"),
        ),
    ],
)
def test_a_cell_is_told_with_its_rule(
    chain: Make, rules: list[tuple[str, str]], first: str, second: str, expected: tuple[Any, ...] | None
) -> None:
    places = _two(chain, [(f"table.item.{key}", value) for key, value in rules])
    _meet(places, f"UPDATE item SET {first} WHERE id = 1", f"UPDATE item SET {second} WHERE id = 1")
    outcome, told = _merge(places[0], "hub/stores/two")
    assert told == ([("item", (1,), *expected)] if expected else [])
    found = _again(places[0])
    assert outcome.head == places[0].head()
    assert found.differing == ()
    assert _told(found.decisions) == told


def test_the_later_edit_is_told_for_each_cell_of_its_register(chain: Make) -> None:
    places = _two(chain, [("table.item.newest", "seen")])
    _meet(
        places,
        "UPDATE item SET name = 'a', seen = '2026-02-01' WHERE id = 1",
        "UPDATE item SET name = 'b', seen = '2026-03-01' WHERE id = 1",
    )
    _, told = _merge(places[0], "hub/stores/two")
    assert told == [
        ("item", (1,), "name", "boot", "a", "b", "b", "newest"),
        ("item", (1,), "seen", "2026-01-01", "2026-02-01", "2026-03-01", "2026-03-01", "newest"),
    ]
    assert _told(_again(places[0]).decisions) == told


@pytest.mark.parametrize(("word", "stays"), [("loses", True), ("wins", False)])
def test_a_deleted_row_is_told(chain: Make, word: str, stays: bool) -> None:
    places = _two(chain, [("table.item.delete", word)])
    _meet(places, "DELETE FROM item WHERE id = 1", "UPDATE item SET price = 12 WHERE id = 1")
    _, told = _merge(places[0], "hub/stores/two")
    new = (1, "boot", 12, "2026-01-01", "one")
    base = (1, "boot", 10, "2026-01-01", "one")
    assert told == [("item", (1,), None, base, None, new, new if stays else None, f"delete = {word}")]
    found = _again(places[0])
    assert found.differing == ()
    assert _told(found.decisions) == told


def test_prefer_of_the_command_is_found_out(chain: Make) -> None:
    places = _two(chain, [])
    _meet(places, "UPDATE item SET price = 11 WHERE id = 1", "UPDATE item SET price = 12 WHERE id = 1")
    _, told = _merge(places[0], "hub/stores/two", prefer="hub/stores/two")
    assert told == [("item", (1,), "price", 10, 11, 12, 12, "--prefer")]
    found = _again(places[0])
    assert (found.differing, found.prefer) == ((), "theirs")
    assert _told(found.decisions) == told


def test_a_forecast_tells_the_same(chain: Make) -> None:
    places = _two(chain, [("table.item.columns.price", "sum")])
    _meet(places, "UPDATE item SET price = 9 WHERE id = 1", "UPDATE item SET price = 8 WHERE id = 1")
    with places[0].session() as session:
        session.account = Account()
        merge_forecast(session, ["hub/stores/two"])
        told = _told(session.account.decisions())
    assert told == _merge(places[0], "hub/stores/two")[1]
    assert len(told) == 1


def test_a_store_explains_its_merge_of_head_office(chain: Make) -> None:
    places = _two(chain, [("table.item.columns.price", "sum")])
    office, (one, _) = places
    _meet(places, "UPDATE item SET price = 9 WHERE id = 1", "UPDATE item SET price = 8 WHERE id = 1")
    office.merge("hub/stores/two")
    office.push()
    one.sql("UPDATE item SET price = price - 1 WHERE id = 1")
    one.pull()
    told = [("item", (1,), "price", 9, 8, 7, 6, "sum")]
    found = _again(one)
    assert (found.differing, _told(found.decisions)) == ((), told)
    one.push()
    office.fetch()
    there = _again(office, one.head())
    assert (there.differing, _told(there.decisions)) == ((), told)


def test_several_branches_at_once(chain: Make) -> None:
    office, (one, two) = places = _two(chain, [("table.item.columns.price", "sum")])
    for place in (one, two):
        place.sql(
            "UPDATE item SET price = price - 1 WHERE id = 1", f"UPDATE item SET name = '{place.name}' WHERE id = 2"
        )
        place.snapshot()
        place.push()
    office.fetch()
    _, told = _merge(office, "hub/stores/one", "hub/stores/two")
    assert told == [
        ("item", (1,), "price", 10, 9, 9, 8, "sum"),
        ("item", (2,), "name", "clog", "one", "two", {"one", "two"}, "in dispute"),
    ]
    found = _again(places[0])
    assert (found.differing, _told(found.decisions)) == ((), told)


def test_a_held_row_and_one_that_is_held_no_more(chain: Make) -> None:
    shop = (
        "CREATE TABLE style (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE item (id INTEGER PRIMARY KEY, style INTEGER REFERENCES style (id))",
        "INSERT INTO style VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO item VALUES (1, 1)",
    )
    places = _two(chain, [], *shop)
    office, (_, two) = places
    _meet(places, "DELETE FROM style WHERE id = 2", "INSERT INTO item VALUES (2, 2)")
    _, told = _merge(office, "hub/stores/two")
    (held,) = told
    assert held[:7] == ("item", (2,), None, None, None, (2, 2), None)
    assert held[7].startswith("held: foreign-key: ")
    found = _again(office)
    assert (found.differing, _told(found.decisions)) == ((), told)
    two.sql("INSERT INTO style VALUES (3, 'c')", "UPDATE item SET style = 1 WHERE id = 2")
    two.snapshot()
    two.push()
    office.fetch()
    _, told = _merge(office, "hub/stores/two")
    assert [(*one[:3], one[6], one[7].partition(": ")[0]) for one in told] == [
        ("item", (2,), None, (2, 1), "held no more")
    ]
    assert _told(_again(office).decisions) == told


def test_an_invariant(chain: Make) -> None:
    places = _two(
        chain,
        [
            ("invariant.cheap.table", "item"),
            ("invariant.cheap.sql", "SELECT id FROM merged.item WHERE price > 30"),
            ("table.item.columns.price", "sum"),
        ],
    )
    _meet(places, "UPDATE item SET price = 25 WHERE id = 1", "UPDATE item SET price = 24 WHERE id = 1")
    _, told = _merge(places[0], "hub/stores/two")
    assert [(one[2], one[7]) for one in told] == [(None, "invariant cheap"), ("price", "sum")]
    found = _again(places[0])
    assert (found.differing, _told(found.decisions)) == ((), told)


def test_a_new_key(chain: Make) -> None:
    places = _two(chain, [("table.item.renumber", "store")])
    _meet(
        places,
        "INSERT INTO item VALUES (7, 'a', 1, '', 'one')",
        "INSERT INTO item VALUES (7, 'b', 2, '', 'two')",
    )
    _, told = _merge(places[0], "hub/stores/two")
    ((table, key, column, base, ours, theirs, result, rule),) = told
    assert (table, key, column, base, ours[1], theirs[1], result[1]) == ("item", (7,), None, None, "a", "b", "b")
    assert rule == f"renumbered to {result[0]}"
    found = _again(places[0])
    assert (found.differing, _told(found.decisions)) == ((), told)


def test_a_resolution_and_commits_that_decide_nothing(chain: Make) -> None:
    places = _two(chain, [])
    office = places[0]
    _meet(places, "UPDATE item SET price = 11 WHERE id = 1", "UPDATE item SET price = 12 WHERE id = 1")
    assert _again(office).decisions == ()
    office.merge("hub/stores/two")
    with office.session() as session:
        resolve(session, every("item", "stores/two", session.repo.branch), author="ann")
    found = _again(office)
    assert found.differing is None
    assert _told(found.decisions) == [("item", (1,), "price", set(), {11, 12}, set(), 12, "resolved by ann at main")]
    snapshot = _again(places[1][0])
    assert (snapshot.decisions, snapshot.differing, snapshot.missing) == ((), None, ())


def test_a_parent_that_is_not_here_is_named(chain: Make) -> None:
    office, (one, two) = places = _two(chain, [("table.item.columns.price", "sum")])
    _meet(places, "UPDATE item SET price = 9 WHERE id = 1", "UPDATE item SET price = 8 WHERE id = 1")
    office.merge("hub/stores/two")
    office.push()
    one.fetch()
    found = _again(one, office.head())
    assert [(parent.branch, parent.commit) for parent in found.missing] == [("stores/two", two.head())]
    assert found.differing is None


def test_a_merge_that_does_not_hold_what_its_rules_give_is_told(chain: Make) -> None:
    places = _two(chain, [("table.item.columns.price", "sum")])
    office = places[0]
    _meet(places, "UPDATE item SET price = 9 WHERE id = 1", "UPDATE item SET price = 8 WHERE id = 1")
    office.merge("hub/stores/two")
    with office.session() as session:
        made = session.commits.read(session.need_head())
        ours = session.commits.tree(made.parents[0].commit)
        false = session.commits.add(ours, made.parents, session.stamp(), "false", True, made.policy)
        found = explain(session, false)
    assert found.differing == ("item",)
    assert [one.rule for one in found.decisions] == ["sum"]
