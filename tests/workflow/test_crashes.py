"""A run that dies at any write, and at either side of the database's own commit, loses nothing and does nothing
twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prontosync.disk import files
from prontosync.sources.sqlite import SqliteSource
from prontosync.workflow.takeback import undo
from tests.fixtures.places import Chain, Place, Town, rest

Make = Callable[..., Chain]
DOOR = ("replace", "add_if_new", "link_into_place", "write_temporary", "sync_folders", "append_line", "remove")
STRIDE = 17
"""With 1 every step is tried, which takes a minute."""


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Death:
    """Kills at the n-th step; ``steps`` counts them."""

    at: int
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > self.at:
            raise Killed


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[Death]:
    """Every write to our disk, and the moments before and after the database's transaction, are steps."""
    death = Death(at)
    with monkeypatch.context() as patch:
        for name in DOOR:
            patch.setattr(files, name, _stepping(getattr(files, name), death))
        patch.setattr(SqliteSource, "apply", _stepping(_stepping(SqliteSource.apply, death), death, after=True))
        with suppress(Killed):
            yield death


def _stepping(action: Callable[..., Any], death: Death, after: bool = False) -> Callable[..., Any]:
    def stepped(*args: Any, **options: Any) -> Any:
        if not after:
            death.step()
        result = action(*args, **options)
        if after:
            death.step()
        return result

    return stepped


def _coming(chain: Make) -> Chain:
    """One item's price is in dispute everywhere; store one has news of head office to apply, and some of its own."""
    office, (one, two) = chain(2)
    one.sql("UPDATE item SET price = 11 WHERE id = 1")
    two.sql("UPDATE item SET price = 12 WHERE id = 1")
    rest([one, two, office])
    two.sql("UPDATE item SET name = 'Boot' WHERE id = 1", "UPDATE item SET price = 22 WHERE id = 2")
    two.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    rest([two, office])
    one.sql("UPDATE item SET name = 'Pump' WHERE id = 3")
    return office, [one, two]


def _check(office: Place, one: Place, two: Place) -> None:
    one.sql("UPDATE item SET price = price + 4 WHERE id = 1", "UPDATE item SET price = 33 WHERE id = 3")
    rest([one, two, office])
    assert one.live() == [(1, "Boot", 15), (2, "clog", 22), (3, "Pump", 33), (4, "mule", 40)]
    assert two.live() == [(1, "Boot", 12), *one.live()[1:]]
    for place in (office, one, two):
        (dispute,) = place.disputes().rows.values()
        assert dispute.state.cells[2] == frozenset([12, 15])  # type: ignore[union-attr]
    with one.session() as session:
        assert session.repo.live.read().pending is None
        assert session.repo.live.read().commit == session.head()
        assert [entry.name for entry in session.repo.pins.folder.iterdir()] == [session.head()]
        row = session.need_source().state_row()
        assert row is not None
        assert row.counter == session.repo.live.read().counter


@pytest.mark.parametrize("first", [0, 8])
def test_a_sync_that_dies_at_any_write_is_taken_up_again(
    chain: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: int
) -> None:
    office, _ = _coming(chain)
    at, died = first, True
    while died:
        town = Town(Path(shutil.copytree(office.town.top, tmp_path / f"at-{at}")), office.town.engine, made=True)
        places = [Place(town, name) for name in ("office", "one", "two")]
        with dying(monkeypatch, at) as death:
            places[1].sync()
        _check(*places)
        died = death.steps > at
        shutil.rmtree(town.top)
        at += STRIDE


def test_undo_knows_a_merge_whose_run_died_after_the_transaction(chain: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _, (one, _) = _coming(chain)
    before = one.live()
    with monkeypatch.context() as patch:
        patch.setattr(SqliteSource, "apply", _stepping(SqliteSource.apply, Death(0), after=True))
        with pytest.raises(Killed):
            one.sync()
    assert one.live() != before
    with one.session() as session:
        outcome = undo(session)
    assert outcome.next.commit is not None
    assert one.live() == before
