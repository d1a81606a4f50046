"""A day of two diverging stores with two hundred planted conflicts of every kind: each is listed as what it is, nothing
else is, and resolving brings every database to the expected rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tests.fixtures.planted_cases import planned_day
from tests.fixtures.planted_day import DESK, NORTH, OFFICE, PLACES, SOUTH, STORES, Day
from tests.fixtures.planted_shop import Key, Row, alike
from tests.fixtures.planted_town import OWN, PlantedTown, as_planned, expected

Rows = dict[str, dict[Key, Row | None]]
SOLD = 300
"""How many tickets a store sells in half a day."""


def test_every_planted_conflict_is_found_nothing_else_is_and_all_agree_once_they_are_resolved(tmp_path: Path) -> None:
    town, day = PlantedTown(tmp_path), planned_day()
    assert len(day.cases) == 200
    town.start()
    _work(town, day, 0)
    town.sync(DESK, NORTH, SOUTH, OFFICE)
    _work(town, day, 1)
    town.sync(DESK, NORTH, OFFICE, SOUTH, OFFICE)
    town.rest()
    for place in PLACES:
        _check_listed(town, day, place)
        _check_rows(town, place, _shown(day, place), day.open if place == OFFICE else ())
    for place in PLACES:
        town.answer(place, [one for case in day.cases for one in case.answers if one.place == place])
    town.rest()
    for place in (*PLACES, DESK):
        assert town.conflicts(place) == {}
        _check_rows(town, place, _final(day))
        town.run(place, "verify")
    _check_tickets(town)


def _work(town: PlantedTown, day: Day, half: int) -> None:
    for place, halves in day.work.items():
        town.work(place, halves[half])
    for store in STORES:
        town.sell(store, range(half * SOLD, (half + 1) * SOLD), int(store))


def _check_listed(town: PlantedTown, day: Day, place: str) -> None:
    planted = expected([one for case in day.cases for one in case.listed.get(place, ())])
    found = town.conflicts(place)
    assert found.keys() - planted.keys() == set(), f"{place}: not planted"
    assert planted.keys() - found.keys() == set(), f"{place}: planted, and not found"
    wrong = {name: (one, found[name]) for name, one in planted.items() if not as_planned(one, found[name])}
    assert wrong == {}, place


def _check_rows(town: PlantedTown, place: str, wanted: Rows, but: Collection[tuple[str, Key]] = ()) -> None:
    there = town.live(place)
    wrong = {
        (table, key): (rows.get(key), there[table].get(key))
        for table, rows in wanted.items()
        for key in rows.keys() | there[table].keys()
        if rows.get(key) != there[table].get(key) and (table, key) not in but
    }
    assert wrong == {}, place


def _final(day: Day) -> Rows:
    tables = {table: rows for table, rows in day.final.items() if table not in OWN}
    return {table: {key: alike(table, row) for key, row in rows.items()} for table, rows in tables.items()}


def _shown(day: Day, place: str) -> Rows:
    """What a place shows while all conflicts are open: a till in dispute has its own values."""
    rows = _final(day)
    for (table, key), row in day.shown[place].items():
        rows[table][key] = alike(table, row)
    return rows


def _check_tickets(town: PlantedTown) -> None:
    """Both stores count from the same number; each has its own tickets, and nobody else has."""
    for store in STORES:
        there = town.live(store)
        assert set(there["ticket"].values()) == {(n, f"{int(store) + n:.2f}") for n in range(2 * SOLD)}
        assert set(there["ticket_line"].values()) == {(n, 1, int(store)) for n in range(2 * SOLD)}
    assert town.live(DESK)["ticket"] == {}
