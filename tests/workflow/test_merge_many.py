"""Head office merges all its stores in one run and one commit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from prontosync.engine.connection import Engine
from prontosync.workflow import merge_many
from prontosync.workflow.merge import UnknownSide
from prontosync.workflow.pull import pull, pull_forecast
from prontosync.workflow.stores import NoStores
from prontosync.workflow.takeback import undo
from tests.fixtures.fleet import MAIN, Fleet
from tests.fixtures.places import ITEM, ROWS, Place, Town, build_chain, rest


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as shared:
        yield shared


def chain(tmp_path: Path, engine: Engine, *stores: str) -> tuple[Town, Place, list[Place]]:
    town = Town(build_chain(tmp_path / "chain", engine, stores, ITEM, ROWS), engine, made=True)
    return town, Place(town, "office"), [Place(town, name) for name in stores]


def parents(place: Place) -> list[str]:
    with place.session() as session:
        return [parent.branch for parent in session.commits.read(session.need_head()).parents]


def test_sync_merges_all_stores_in_one_commit(tmp_path: Path, engine: Engine) -> None:
    _, office, stores = chain(tmp_path, engine, "001", "002", "003")
    office.set("merge.branches", '["hub/stores/*"]')
    assert office.sync().error is None
    assert parents(office) == [], "all are at the start"
    for number, place in enumerate(stores):
        place.sql(
            f"INSERT INTO item VALUES ({10 + number}, 'new', {number})",
            f"UPDATE item SET price = {number} WHERE id = 1",
        )
        assert place.sync().error is None
    result = office.sync()
    assert result.error is None
    assert parents(office) == ["main", "stores/001", "stores/002", "stores/003"]
    assert result.outcome is not None
    assert result.outcome.next.counts["item"].disputed
    assert names(office) == {(number, f"stores/00{number + 1}") for number in range(3)}
    before = office.head()
    assert office.sync().error is None
    assert office.head() == before, "nothing new is no commit"
    rest([office, *stores])
    assert len({tuple(place.rows()) for place in [office, *stores]}) == 1
    with stores[0].session() as session:
        assert session.ancestry.boundaries(before), "a store holds only its own of the merged branches"
        assert session.revisions.resolve(f"{before}^2")


def names(place: Place) -> set[tuple[object, str]]:
    """The candidates of the only disputed cell, by the branches that they are named by."""
    found = place.disputes()
    return {
        (value, origin.branch)
        for dispute in found.rows.values()
        for (_, value), origins in dispute.origins.items()
        for origin in origins
    }


def test_what_brings_nothing_is_left_out(tmp_path: Path, engine: Engine) -> None:
    _, office, (one, two) = chain(tmp_path, engine, "001", "002")
    one.sql("INSERT INTO item VALUES (11, 'new', 1)")
    one.sync()
    office.fetch()
    with office.session() as session:
        outcome = merge_many.merge(session, merge_many.matching(session, ["hub/stores/*"]))
    assert outcome.next.merged
    assert parents(office) == ["main", "stores/001"]
    office.push()
    two.sync()
    assert (11, "new", 1) in two.live()
    office.fetch()
    before = office.head()
    with office.session() as session:
        outcome = merge_many.merge(session, ["hub/stores/002", "hub/stores/001"])
    assert (outcome.next.merged, office.head()) == (False, before)
    with office.session() as session, pytest.raises(NoStores):
        merge_many.matching(session, ["hub/shops/*"])


def test_patterns_that_match_nothing_keep_nobody(tmp_path: Path, engine: Engine) -> None:
    _, office, (one,) = chain(tmp_path, engine, "001")
    office.set("merge.branches", '["hub/shops/*"]')
    one.sql("INSERT INTO item VALUES (11, 'new', 1)")
    one.sync()
    assert office.sync().error is None
    assert (11, "new", 1) in office.rows(), "the fixture merges it"


def test_a_live_database_is_written_once(tmp_path: Path, engine: Engine) -> None:
    """A place with a database of its own that merges others: one apply, which ``undo`` takes back as one."""
    _, _, (one, two, three) = chain(tmp_path, engine, "001", "002", "003")
    for number, place in enumerate((one, two)):
        place.sql(f"INSERT INTO item VALUES ({10 + number}, 'new', {number})")
        place.sync()
    three.set("merge.branches", '["hub/stores/00*"]')
    before = three.live()
    with three.session() as session:
        plan = pull_forecast(session, None, None).plan
        assert plan is not None
        assert plan.counts["item"].inserted == 2
        counter = session.repo.live.read().counter
        outcome = pull(session).outcome
        assert outcome is not None
        assert outcome.applied is not None
        assert outcome.applied["item"].inserted == 2
        assert session.repo.live.read().counter == counter + 1
    assert parents(three) == ["stores/003", "stores/001", "stores/002"]
    assert len(three.live()) == len(before) + 2
    with three.session() as session:
        undo(session)
    assert three.live() == before
    assert three.verified().sound


def test_prefer_of_several(tmp_path: Path, engine: Engine) -> None:
    _, office, stores = chain(tmp_path, engine, "001", "002", "003")
    for number, place in enumerate(stores, 1):
        place.sql(f"UPDATE item SET price = {number} WHERE id = 1")
        place.sync()
    office.fetch()
    revs = [f"hub/stores/{place.name}" for place in stores]
    with office.session() as session:
        with pytest.raises(UnknownSide):
            merge_many.merge_forecast(session, revs, "stores/009")
        assert merge_many.merge_forecast(session, revs).conflicts == 1
        assert merge_many.merge_forecast(session, revs, "theirs").conflicts == 0
        merge_many.merge(session, revs, "ours")
    assert (1, "boot", 1) in office.rows()


def test_where_a_value_came_from_is_found_through_a_merge_of_many(tmp_path: Path, engine: Engine) -> None:
    fleet = Fleet(tmp_path / "r", engine, 3, 4)
    with fleet.session() as session:
        for number, branch in enumerate(fleet.stores[:2]):
            fleet.commit(session, branch, {"customer": ([(number, 1000, f"by {number}")], [])})
        fleet.merge(session, MAIN, fleet.stores[:2], together=True)
        fleet.commit(session, fleet.stores[2], {"customer": ([(1, 1000, "by 2")], [])})
        fleet.merge(session, MAIN, fleet.stores[2:], together=True)
        _, disputes = fleet.state(session, MAIN, "customer")
        found = {origin.branch for one in disputes.rows.values() for some in one.origins.values() for origin in some}
        assert found == {"stores/001", "stores/002"}


def test_many_more_changes_than_are_merged_at_once(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prontosync.history.merge_many.MANY_ROWS", 5)
    fleet, source = Fleet(tmp_path / "r", engine, 6, 20), random.Random(1)
    with fleet.session() as session:
        for number, branch in enumerate(fleet.stores):
            fleet.edit(session, branch, source, 20, 2 + 3 * number)
        head, sides = session.need_head(), merge_many.sides_of(session, fleet.stores)
        together, one = merge_many.build_all(session, head, sides).commit, fleet.one_by_one(session, head, sides)
        assert together is not None
        for table in ("customer", "loyalty", "gift"):
            assert fleet.state(session, together, table)[0] == fleet.state(session, one, table)[0]
