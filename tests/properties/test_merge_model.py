"""The rules of merging keep their laws: a few hundred random histories of a shop on the model alone."""

from __future__ import annotations

import pytest

from tests.fixtures.merge_holds import Unique
from tests.fixtures.merge_places import Places
from tests.fixtures.merge_random import played, setting_of
from tests.fixtures.merge_rows import MAIN, Layout, Policies, Side, merge_row, settled, state

BATCHES = [(stores, first) for stores in (2, 3, 5) for first in (0, 28, 56, 84)]
STEPS = {2: 60, 3: 70, 5: 90}


@pytest.mark.parametrize(("stores", "first"), BATCHES)
def test_random_histories_rest_with_nothing_lost(stores: int, first: int) -> None:
    for seed in range(first, first + 28):
        setting = setting_of(seed, stores)
        broken, _ = played(seed, setting, STEPS[stores])
        assert not broken, (seed, setting)


@pytest.mark.parametrize(
    ("rule", "seed", "stores", "law"),
    [
        ("virtual base", 7, 2, "a sum is wrong"),
        ("own base for down", 2, 2, "an edit of a table from head office is lost"),
        ("local", 2, 2, "a table from head office differs without a dispute"),
    ],
)
def test_the_laws_notice_a_rule_that_is_left_out(rule: str, seed: int, stores: int, law: str) -> None:
    found = {
        one
        for s in range(seed, seed + 60)
        for one in played(s, setting_of(s, stores, without=(rule,)), STEPS[stores])[0]
    }
    assert law in found


def test_the_later_row_wins_whole_unless_its_time_is_to_come() -> None:
    layout = Layout(("at", "phone"), policies=Policies(newest="at"))
    base, ours, theirs = settled((1, "a")), settled((5, "b")), settled((4, "c"))
    assert merge_row(layout, base, ours, theirs, (Side(time=9), Side(time=9))) == ours
    assert merge_row(layout, None, ours, theirs, (Side(time=9), Side(time=9))) == ours
    early = merge_row(layout, base, ours, theirs, (Side(time=4), Side(time=9)))
    assert early == (frozenset([5, 4]), frozenset(["b", "c"]))


def test_a_stranger_s_change_stays_beside_the_owner_s_row() -> None:
    layout = Layout(("owner", "phone"), policies=Policies(owner="owner"))
    base, theirs = settled(("s1", "a")), settled(("s1", "b"))
    stranger, owner = Side("s2", judged=True), Side("s1", judged=True)
    assert merge_row(layout, base, base, theirs, (Side(MAIN), owner)) == theirs
    assert merge_row(layout, base, base, theirs, (Side(MAIN), stranger)) == (
        frozenset(["s1"]),
        frozenset(["a", "b"]),
    )
    assert merge_row(layout, base, base, None, (Side(MAIN), stranger)) == frozenset([None, ("s1", "a")])
    assert merge_row(layout, None, None, state(("s1", "a")), (Side(MAIN), stranger)) == frozenset([None, ("s1", "a")])


@pytest.mark.parametrize(("rule", "kept"), [("wins", None), ("loses", settled((2,)))])
def test_update_against_delete(rule: str, kept: object) -> None:
    layout = Layout(("price",), policies=Policies(delete=rule))
    assert merge_row(layout, settled((1,)), None, settled((2,))) == kept
    assert merge_row(layout, settled((1,)), settled((2,)), None) == kept


def _two_stores(without: tuple[str, ...] = ()) -> Places:
    """Row 1 of s1 and row 2 of s2 want the same code."""
    layout = Layout(("code", "stock"), policies=Policies({"stock": "sum"}))
    places = Places(("s1", "s2"), {"t": layout}, {"t": {1: (10, 5), 3: (30, 10)}}, [Unique("t", 0)], without)
    places.edit("s1", "t", 1, (7, 5))
    places.edit("s2", "t", 2, (7, 1))
    for name in ("s1", MAIN, "s2", MAIN, "s1"):
        _sync(places, name)
    return places


def _sync(places: Places, name: str) -> None:
    places.fetch(name)
    places.merge(name)
    places.push(name)


@pytest.mark.parametrize("without", [(), ("tried again",)])
def test_a_held_row_is_shown_when_its_reason_is_gone_though_nothing_new_comes(without: tuple[str, ...]) -> None:
    places = _two_stores(without)
    live = places.places["s1"].live
    assert live is not None
    assert set(places.head("s1").held) == {("t", 2)}
    assert 2 not in live["t"]
    places.edit("s1", "t", 1, (8, 5))
    places.merge("s1")
    live = places.places["s1"].live
    assert live is not None
    assert (2 in live["t"]) != bool(without)
    assert bool(places.head("s1").held) == bool(without)


def test_a_sale_on_a_held_row_counts_beside_the_incoming_one() -> None:
    places = _two_stores()
    places.edit("s2", "t", 2, (7, 0))
    places.edit("s2", "t", 3, (31, 9))
    _sync(places, "s2")
    places.edit("s1", "t", 3, (31, 9))
    _sync(places, MAIN)
    _sync(places, "s1")
    assert places.head("s1").tables["t"][3] == settled((31, 8))
    assert places.head("s1").tables["t"][2] == settled((7, 0))


def test_a_till_s_edit_of_a_held_row_keeps_what_it_never_saw() -> None:
    places = _two_stores()
    places.edit("s2", "t", 3, (11, 9))
    _sync(places, "s2")
    places.edit("s1", "t", 1, (11, 5))
    _sync(places, MAIN)
    _sync(places, "s1")
    assert ("t", 3) in places.head("s1").held
    places.edit("s1", "t", 3, (30, 9))
    places.snapshot("s1")
    assert places.head("s1").tables["t"][3] == settled((11, 8))
