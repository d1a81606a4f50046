"""All stores as one: which branches count, and at which moment."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prontosync.disk.config import RemoteConfig
from prontosync.disk.config_edit import add_remote
from prontosync.disk.objects import DamagedObject
from prontosync.engine.connection import Engine, QueryError
from prontosync.model.ids import ObjectName
from prontosync.model.names import RefName
from prontosync.workflow.query import BadAttachment, asked
from prontosync.workflow.session import Session, World
from prontosync.workflow.stores import NoStores
from tests.fixtures.places import ITEM, ROWS, Place, Town

COUNTS = "SELECT _ps_store, count(*) FROM all.item GROUP BY ALL ORDER BY 1"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as shared:
        yield shared


@pytest.fixture
def town(tmp_path: Path, engine: Engine) -> Town:
    return Town(tmp_path, engine)


def day(town: Town, number: int) -> None:
    town.clock.now = datetime.datetime(2026, 11, number, 8, tzinfo=datetime.UTC)


def ask(place: Place, query: str, *branches: str, at: str = "HEAD", notes: list[str] | None = None) -> list[Any]:
    world = place.town.world
    if notes is not None:
        world = World(world.folder, world.clock, "test", note=notes.append)
    with (
        place.session() as session,
        Session(session.repo, world) as mine,
        asked(mine, query, at, {}, branches) as answer,
    ):
        return list(answer.rows())


def chain(town: Town) -> tuple[Place, Place, Place]:
    """Two stores, the second a day later, and head office, which has fetched both and has no commit of its own."""
    day(town, 10)
    one = town.store("001", ITEM, ROWS)
    one.snapshot()
    one.push()
    day(town, 11)
    two = town.store("002", ITEM, "INSERT INTO item VALUES (7, 'sandal', 5)")
    two.snapshot()
    two.push()
    office = town.office()
    office.fetch()
    return office, one, two


def test_every_store_counts_once(town: Town) -> None:
    office, one, _ = chain(town)
    assert ask(office, COUNTS) == [("001", 3), ("002", 1)]
    assert ask(office, "SELECT sum(price) FROM ALL.item WHERE _ps_store = '001'") == [(60,)]
    add_remote(office.top / "prontosync.toml", RemoteConfig("spare", str(town.top / "spare")))
    with office.session() as session:
        for ref in ("stores/001", "spare/stores/001"):
            session.advance(RefName(ref), session.revisions.resolve("hub/stores/001"))
    assert ask(office, COUNTS) == [("001", 3), ("002", 1)]
    assert ask(office, COUNTS, "*/stores/*") == [("001", 3), ("002", 1)]
    one.sql("INSERT INTO item VALUES (4, 'mule', 40)")
    one.snapshot()
    one.push()
    office.fetch()
    assert ask(office, COUNTS) == [("001", 4), ("002", 1)], "the longest history counts"
    assert ask(office, COUNTS, "*/stores/*") == [("001", 7), ("002", 1)], "what was asked for by name counts"
    assert ask(office, COUNTS, "stores/*") == [("001", 3)]
    assert ask(office, COUNTS, "hub/*1", "*2") == [("001", 4), ("002", 1)]
    assert ask(one, COUNTS) == [("001", 4)], "a store's own branch counts, head office's does not"


def test_at_a_moment(town: Town) -> None:
    office, one, _ = chain(town)
    day(town, 12)
    one.sql("DELETE FROM item WHERE id = 1")
    one.snapshot()
    one.push()
    office.fetch()
    notes: list[str] = []
    assert ask(office, COUNTS) == [("001", 2), ("002", 1)]
    assert ask(office, COUNTS, at="@{2026-11-11}", notes=notes) == [("001", 3), ("002", 1)]
    assert not [note for note in notes if "did not exist" in note]
    assert ask(office, COUNTS, at="@{2026-11-10}", notes=notes) == [("001", 3)]
    assert "1 of 2 branches did not exist yet at @{2026-11-10}: hub/stores/002" in notes
    with pytest.raises(NoStores):
        ask(office, COUNTS, at="@{2026-11-09}")
    assert ask(office, COUNTS, at="hub/stores/001~1") == [("001", 2), ("002", 1)], "a revision is of the plain tables"
    assert ask(office, "SELECT count(*) FROM item", "*", at="hub/stores/001~1") == [(3,)]


def test_tables_of_some_and_what_is_not_there(town: Town) -> None:
    office, _, two = chain(town)
    two.sql("CREATE TABLE gift (id INTEGER PRIMARY KEY)", "INSERT INTO gift VALUES (1)")
    two.snapshot()
    two.push()
    office.fetch()
    assert ask(office, "SELECT * FROM all.gift") == [("002", 1)]
    with pytest.raises(QueryError):
        ask(office, "SELECT * FROM all.nothing")
    with pytest.raises(QueryError, match="write the table's name"):
        ask(office, "SELECT * FROM query_table('all.gi' || 'ft'), all.item")
    for branches in (["nobody/*"], ["main"]):
        with pytest.raises(NoStores):
            ask(office, "SELECT 1", *branches)
    with pytest.raises(NoStores):
        ask(town.store("003", ITEM), COUNTS)
    with (
        office.session() as session,
        pytest.raises(BadAttachment),
        asked(session, "SELECT 1", "HEAD", {"all": "hub/stores/001"}),
    ):
        pass


def test_only_what_is_named_is_read(town: Town) -> None:
    office, _, two = chain(town)
    two.sql("CREATE TABLE gift (id INTEGER PRIMARY KEY)", "INSERT INTO gift VALUES (1)")
    two.snapshot()
    two.push()
    office.fetch()
    with office.session() as session:
        state = session.commits.tree(session.revisions.resolve("hub/stores/002")).tables["gift"]
        path = session.repo.objects.path(ObjectName(state.checkpoint, "parquet"))
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert ask(office, COUNTS) == [("001", 3), ("002", 1)]
    with pytest.raises(DamagedObject):
        ask(office, "SELECT * FROM all.gift")
