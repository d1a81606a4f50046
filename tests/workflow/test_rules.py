"""Head office's rules: published with its commits, taken with the merge, added to and never contradicted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prontosync.disk.config import ConfigError
from prontosync.model.encoding import NewerFormat, encode
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Parent
from prontosync.model.rules import Rules, RuleSet, TableRules
from prontosync.workflow import rules as rules_work
from prontosync.workflow.rulebook import NotHeadOffice, view
from prontosync.workflow.status import status
from tests.fixtures.places import Chain, Place, rest

Make = Callable[..., Chain]
SUM = TableRules(columns={"price": "sum"})


def _in_force(place: Place) -> Rules:
    with place.session() as session:
        return rules_work.in_force(session, session.need_head())


def _trouble(place: Place) -> list[str]:
    with place.session() as session:
        return [error.message for error in status(session).trouble]


def _sell(place: Place, price: str) -> None:
    place.sql(f"UPDATE item SET price = price {price} WHERE id = 1")


def test_without_rules_nothing_names_any(chain: Make) -> None:
    office, (one, two) = chain(2)
    _sell(one, "+ 1")
    two.sql("UPDATE item SET name = 'x' WHERE id = 2")
    rest([one, two, office])
    assert all(place.rules() == Rules() for place in (one, two, office))
    assert _trouble(office) == _trouble(one) == []
    assert office.commit_rules().next.commit is None


def test_head_office_publishes_with_its_next_commit_and_stores_take_it_with_the_merge(chain: Make) -> None:
    office, (one, two) = chain(2)
    office.set("table.item.columns.price", "sum")
    assert _trouble(office) == ["the rules of this file are not those in force for the stores"]
    _sell(one, "- 1")
    rest([one, two, office])
    published = Rules(1, "main", "main", RuleSet(tables={"item": SUM}))
    assert all(place.rules() == published for place in (one, two, office))
    assert _trouble(office) == []
    for place in (one, two):
        _sell(place, "- 2")
    rest([one, two, office])
    assert one.live()[0] == two.live()[0] == office.rows()[0] == (1, "boot", 5)
    assert not office.disputes().rows
    assert all(place.rules() == published for place in (one, two, office))


def test_each_change_is_a_version_and_so_is_taking_all_out(chain: Make) -> None:
    office, (one,) = chain(1)
    office.set("table.item.columns.price", "sum")
    first = office.commit_rules()
    assert first.next.commit == office.head()
    assert office.commit_rules().next.commit is None
    office.set("table.item.columns.price", "max")
    office.commit_rules()
    office.push()
    rest([one, office])
    assert one.rules() == Rules(2, "main", "main", RuleSet(tables={"item": TableRules(columns={"price": "max"})}))
    (office.top / "prontosync.toml").write_text(
        (office.top / "prontosync.toml").read_text().replace('columns.price = "max"', "")
    )
    _sell(one, "+ 1")
    rest([one, office])
    assert one.rules() == office.rules() == Rules(3, "main", "main")
    assert one.rules("HEAD~1").version == 2


def test_publishing_travels_though_nothing_else_does_and_then_all_is_at_rest(chain: Make) -> None:
    office, (one, two) = chain(2)
    office.set("table.item.delete", "loses")
    office.commit_rules()
    office.push()
    assert rest([one, two, office]) > 0
    assert one.rules() == two.rules() == office.rules()
    assert office.rules().version == 1
    assert rest([one, two, office]) == 0
    assert one.live() == two.live() == office.rows()


def test_a_store_s_file_adds_and_a_snapshot_names_what_its_parent_named(chain: Make) -> None:
    office, (one,) = chain(1)
    office.set("table.item.columns.price", "sum")
    one.set("table.item.columns.name", "max")
    office.commit_rules()
    office.push()
    rest([one, office])
    together = Rules(1, "main", "main", RuleSet(tables={"item": SUM}), _name("max"))
    assert one.rules() == together
    _sell(one, "+ 1")
    one.snapshot()
    assert one.rules() == together
    rest([one, office])
    assert office.rules() == Rules(1, "main", "main", RuleSet(tables={"item": SUM}))


def _name(policy: str) -> RuleSet:
    return RuleSet(tables={"item": TableRules(columns={"name": policy})})


def test_before_head_office_publishes_a_store_s_own_file_holds(chain: Make) -> None:
    office, (one, _) = chain(2)
    one.set("table.item.columns.name", "max")
    assert _in_force(one) == Rules(shared=_name("max"))
    office.set("table.item.flow", "own")
    assert _in_force(office).version == 1


def test_a_contradiction_is_told_and_blocks_nothing(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.set("table.item.columns.price", "max")
    two.set("table.item.newest", "price")
    one.set("table.item.delete", "wins")
    office.set("table.item.columns.price", "sum")
    office.commit_rules()
    office.push()
    _sell(one, "- 1")
    _sell(two, "- 2")
    rest([one, two, office])
    assert one.live()[0] == two.live()[0] == office.rows()[0] == (1, "boot", 7)
    assert one.rules() == Rules(
        1, "main", "main", RuleSet(tables={"item": SUM}), RuleSet(tables={"item": TableRules(delete="wins")})
    )
    said = 'table.item.columns.price = "max" is not in force: head office says table.item.columns.price = "sum"'
    assert _trouble(one) == [said]
    assert _trouble(two) == []
    with one.session() as session:
        found = view(session)
    assert [(line.path[-1], line.value, line.added) for line in found.lines] == [
        ("price", "sum", False),
        ("delete", "wins", True),
        ("price", "max", True),
    ]
    assert [line.contradicts is None for line in found.lines] == [True, True, False]


def test_an_edit_of_the_file_that_contradicts_is_refused_and_others_are_not(chain: Make) -> None:
    office, (one,) = chain(1)
    one.set("table.item.delete", "wins")
    office.set("table.item.columns.price", "sum")
    office.set("table.item.delete", "loses")
    office.commit_rules()
    office.push()
    rest([one, office])
    with one.session() as session:
        config = session.repo.config
        rules_work.check_edit(session, config, [("table", "item", "actor"), ("store", "name")])
        with pytest.raises(ConfigError, match="head office says") as caught:
            rules_work.check_edit(session, config, [("table", "item", "delete")])
    assert caught.value.exit == 10


def test_only_head_office_publishes_and_only_what_fits(chain: Make) -> None:
    office, (one,) = chain(1)
    with pytest.raises(NotHeadOffice) as refused:
        one.commit_rules()
    assert refused.value.exit == 13
    office.set("table.item.columns.name", "sum")
    head = office.head()
    with pytest.raises(ConfigError, match="its type is text") as misfit:
        office.commit_rules()
    assert misfit.value.line is not None
    _sell(one, "+ 1")
    one.sync()
    office.fetch()
    with pytest.raises(ConfigError, match="its type is text"):
        office.merge("hub/stores/one")
    assert office.head() == head


def test_two_desks_of_head_office_do_not_undo_each_other(chain: Make) -> None:
    office, (one,) = chain(1)
    desk, _ = office.town.clone("desk", branch="main", office=True)
    office.set("table.item.columns.price", "sum")
    office.commit_rules()
    office.push()
    desk.pull()
    assert _in_force(desk) == office.rules(), "a clone whose file says nothing takes nothing away"
    desk.set("table.item.columns.price", "max")
    desk.commit_rules()
    desk.push()
    office.pull()
    assert _in_force(office) == office.rules() == desk.rules()
    assert office.rules().version == 2
    assert _trouble(office) == ["the rules of this file are not those in force for the stores"]
    assert office.commit_rules().next.commit is not None, "what was asked for by name is done"
    assert office.rules().version == 3
    office.push()
    rest([one, office])
    assert one.rules().shared == RuleSet(tables={"item": SUM})


def test_what_a_store_published_for_itself_does_not_become_head_office_s(chain: Make) -> None:
    office, (one, two) = chain(2)
    one.set("table.item.columns.price", "max")
    from prontosync.disk.config_edit import unset

    unset(one.top / "prontosync.toml", "store.upstream")
    _sell(one, "+ 1")
    one.snapshot()
    assert one.rules().branch == "stores/one"
    one.set("store.upstream", "hub/main")
    rest([one, two, office])
    assert office.rules() == two.rules() == Rules()
    assert _in_force(one) == Rules(shared=RuleSet(tables={"item": TableRules(columns={"price": "max"})}))


def test_a_store_set_up_anew_goes_on_with_head_office_s_rules(chain: Make) -> None:
    office, (one,) = chain(1)
    office.set("table.item.columns.price", "sum")
    office.commit_rules()
    office.push()
    rest([one, office])
    again, _ = office.town.clone("again", branch="stores/one")
    assert _trouble(again) == []
    again.set("table.item.columns.price", "max")
    assert _in_force(again) == office.rules()
    again.sql("UPDATE item SET price = 3 WHERE id = 2")
    again.snapshot()
    assert again.rules() == office.rules()


def test_the_same_sides_have_the_same_rules_whoever_merges(chain: Make) -> None:
    office, (one, two) = chain(2)
    office.set("table.item.columns.price", "sum")
    office.commit_rules()
    office.push()
    rest([one, office])
    office.set("table.item.delete", "wins")
    office.commit_rules()
    office.push()
    rest([two, office])
    sides = one.head(), two.head()
    for place in (one, two, office):
        place.fetch()
    for first, second in (sides, sides[::-1]):
        with office.session() as session:
            assert rules_work.in_force(session, first, second).version == 2
            assert rules_work.of_tips(session, [first, second]) == rules_work.of_tips(session, [second, first])


def test_rules_travel_are_verified_and_an_auditor_reads_those_of_any_commit(chain: Make) -> None:
    office, (one,) = chain(1)
    office.set("table.item.columns.price", "sum")
    published = office.commit_rules().head
    office.set("table.item.columns.price", "min")
    office.commit_rules()
    office.push()
    rest([one, office])
    copy, _ = office.town.clone("auditor", branch="stores/one", office=True)
    assert copy.verified().sound
    with copy.session() as session:
        assert [line.value for line in view(session, "HEAD").lines] == ["min"]
        assert view(session, published).rules.version == 1
        assert [line.value for line in view(session, published).lines] == ["sum"]
        policy = session.commits.read(session.need_head()).policy
    assert policy is not None
    (copy.top / ".prontosync" / "objects" / policy[:2] / f"{policy[2:]}.json").unlink()
    assert copy.verified().missing == [policy]


def test_rules_that_need_a_newer_version_stop_a_merge(chain: Make) -> None:
    office, (one,) = chain(1)
    with office.session() as session:
        head = session.need_head()
        data = encode({"kind": "rules", "requires": ["median"], "version": 9})
        policy = session.repo.objects.add(data, "json").id
        parents = (Parent(head, "main"),)
        new = session.commits.add(session.commits.tree(head), parents, session.stamp(), "newer", policy=policy)
        session.commits._rules[policy] = Rules()
        session.advance(session.repo.branch, ObjectId(new))
    office.push()
    one.fetch()
    with pytest.raises(NewerFormat):
        one.merge("hub/main")


def test_resolve_and_revert_name_the_rules_too(chain: Make) -> None:
    office, (one,) = chain(1)
    _sell(one, "+ 1")
    one.snapshot()
    office.set("table.item.delete", "wins")
    office.commit_rules()
    office.push()
    rest([one, office])
    from prontosync.workflow.takeback import Part, revert

    with one.session() as session:
        revert(session, session.revisions.resolve("HEAD~1"), Part())
    assert one.rules() == office.rules()
    assert one.live()[0] == (1, "boot", 10)
