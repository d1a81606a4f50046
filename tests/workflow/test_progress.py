"""What long work tells of itself: every total is reached, whoever listens."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prontosync.model.progress import SILENT, UNTOLD, by_table, counted
from prontosync.remote.transfer import outgoing
from prontosync.sources import copying
from prontosync.workflow.restore import restore_to
from prontosync.workflow.states import resolve, states
from prontosync.workflow.tables import csv_of, json_rows, parquet_of
from prontosync.workflow.verify import verify_remote
from tests.fixtures.listener import Listener, Told
from tests.fixtures.places import ITEM, ROWS, Chain, Town, numbered

Make = Callable[..., Chain]
MANY = numbered(10, 40_000)
COUNT = 3 + 39_991


def _listening(town: Town) -> Listener:
    town.progress = listener = Listener()
    return listener


def _only(told: list[Told]) -> Told:
    (one,) = told
    return one


def test_nobody_listens_for_nothing() -> None:
    with SILENT.task("nothing", None, "rows", 3) as task:
        task.advance(5, 1)
        task.at("else")
    assert task is UNTOLD
    assert list(counted("abc", "letters", 3, "letters", SILENT)) == ["a", "b", "c"]


def test_a_loop_that_ends_early_ends_its_task() -> None:
    listener = Listener()
    for name in by_table(["a", "b", "c"], "reading", listener):
        if name == "b":
            break
    assert (listener.tasks[0].done, listener.tasks[0].ended) == (1, True)
    assert listener.tasks[0].labels == ["reading", 'reading "a"', 'reading "b"']


def test_a_snapshot_tells_the_rows_of_each_table(town: Town) -> None:
    store = town.store("one", ITEM, ROWS, MANY, "CREATE TABLE empty (id INTEGER PRIMARY KEY)")
    listener = _listening(town)
    store.snapshot()
    first = _only(listener.of('reading "item"'))
    assert (first.total, first.unit, first.done, first.ended) == (None, "rows", COUNT, True)
    store.sql("DELETE FROM item WHERE id = 20")
    store.snapshot()
    second = listener.of('reading "item"')[1]
    assert (second.total, second.done) == (COUNT, COUNT - 1)
    assert _only(listener.of('reading "empty"')[1:]).reached


def test_rows_that_fit_only_at_the_second_try_are_told_anew(town: Town) -> None:
    store = town.store("one", ITEM, numbered(1, 99_999), "INSERT INTO item VALUES (100000, 'odd', 'twelve')")
    listener = _listening(town)
    store.snapshot()
    *failed, last = listener.of('reading "item"')
    assert failed
    assert all(told.ended and told.done < 100_000 for told in failed)
    assert last.done == 100_000


def test_rows_without_an_order_are_read_then_sorted(town: Town) -> None:
    store = town.store("one", "CREATE TABLE word (w TEXT PRIMARY KEY)", "INSERT INTO word VALUES ('b'), ('a')")
    listener = _listening(town)
    store.snapshot()
    assert _only(listener.of('reading "word"')).labels == ['reading "word"', 'sorting "word"']


def test_a_private_copy_tells_its_bytes(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PERIOD", 0.001)
    store = town.store("one", "PRAGMA journal_mode = DELETE", ITEM, ROWS, MANY)
    listener = _listening(town)
    store.snapshot()
    told = _only(listener.of('copying "one.db"'))
    size = store.database.stat().st_size
    assert (told.total, told.unit, told.ended) == (size, "bytes", True)
    assert 0 <= told.lowest <= told.done <= size
    assert list(store.town.top.rglob("copy-*")) == []


def test_a_push_tells_all_bytes(chain: Make) -> None:
    _, (one,) = chain(1, ITEM, ROWS, MANY)
    one.sql("UPDATE item SET price = price + 1")
    one.snapshot()
    listener = _listening(one.town)
    one.push()
    told = _only(listener.of('pushing "stores/one" to "hub"'))
    assert told.unit == "bytes"
    assert told.total
    assert told.objects
    assert told.reached


def test_a_push_that_was_cut_goes_on_from_what_is_there(chain: Make) -> None:
    _, (one,) = chain(1, ITEM, ROWS, MANY)
    one.sql("UPDATE item SET price = price + 1 WHERE id < 20000")
    one.snapshot()
    with one.session() as session:
        there = session.repo.refs.target(session.repo.branch)
        parents = session.ancestry.parents(session.need_head())
        assert there is not None
        (group,) = outgoing(
            session.repo.objects, session.commits, session.ancestry, session.repo.branch, there, parents[0]
        )
        one.town.hub.publish(group.uploads[:-1])
        session.repo.remembered.push_began("hub")
    listener = _listening(one.town)
    one.push()
    told = _only(listener.of('pushing "stores/one" to "hub"'))
    assert told.reached
    assert (told.total, told.objects) == (group.bytes, len(group.uploads))


def test_a_fetch_and_a_clone_tell_what_they_bring_and_build(chain: Make) -> None:
    office, (one,) = chain(1, ITEM, ROWS, MANY)
    one.sql("UPDATE item SET price = price + 1")
    one.snapshot()
    one.push()
    listener = _listening(office.town)
    office.fetch()
    fetched = listener.of('fetching "stores/one" from "hub"')
    assert all(told.reached for told in fetched)
    assert {told.unit for told in fetched} == {"bytes", "commits"}
    assert any(told.total and told.objects for told in fetched)
    assert listener.of('asking "hub" what is new')

    place, cloned = office.town.clone("copy", branch="stores/one")
    assert cloned.source == "restored"
    built = _only(listener.of('building "item"'))
    assert (built.total, built.reached) == (COUNT, True)
    with closing(sqlite3.connect(place.database)) as db:
        assert db.execute("SELECT count(*) FROM item").fetchone() == (COUNT,)


def test_restoring_tells_its_rows_and_indexes(chain: Make, tmp_path: Path) -> None:
    _, (one,) = chain(1, ITEM, ROWS, MANY, "CREATE INDEX by_name ON item (name)")
    listener = _listening(one.town)
    with one.session() as session:
        restore_to(session, resolve(session, "HEAD"), str(tmp_path / "restored.db"))
    assert _only(listener.of('building "item"')).reached
    assert _only(listener.of('making indexes of "item"')).reached


def test_verify_tells_objects_here_and_there(chain: Make) -> None:
    _, (one,) = chain(1, ITEM, ROWS, MANY)
    listener = _listening(one.town)
    findings = one.verified()
    told = _only(listener.of("checking objects"))
    assert (told.total, told.reached) == (findings.objects, True)
    assert sum(told.done for told in listener.of("checking history")) <= findings.objects
    assert any('checking "item"' in told.labels for told in listener.of("checking history"))
    assert _only(listener.of('checking the digest of "item"')[:1]).reached
    with one.session() as session:
        assert verify_remote(session, "hub").sound
    assert listener.of('fetching "stores/one" from "hub"')
    assert all(told.reached for told in listener.of('fetching "stores/one" from "hub"'))


def test_an_export_tells_its_rows(chain: Make) -> None:
    _, (one,) = chain(1, ITEM, ROWS, MANY)
    listener = _listening(one.town)
    with one.session() as session, states(session, ["HEAD"]) as (state,):
        table = state.table(session, "item")
        for form in (csv_of, parquet_of, json_rows):
            assert list(form(session, table))  # type: ignore[operator]
    assert [(told.total, told.reached) for told in listener.of('exporting "item"')] == [(COUNT, True)] * 3


def test_merge_and_apply_tell_tables_and_rows(chain: Make) -> None:
    office, (one, two) = chain(2, ITEM, ROWS, MANY)
    one.sql("UPDATE item SET price = price + 1 WHERE id > 30000")
    one.sql("DELETE FROM item WHERE id < 3")
    one.sync()
    office.sync()
    two.sql("UPDATE item SET name = 'mine' WHERE id = 35000")
    listener = _listening(two.town)
    two.sync()
    assert _only(listener.of('merging "item"')).reached
    assert _only(listener.of('planning "item"')).reached
    changed = 10_000 + 2
    for label in ('comparing "item" with the live database', 'writing "item" to the live database'):
        told = _only(listener.of(label))
        assert (told.total, told.unit, told.reached) == (changed, "rows", True)


def test_rows_written_in_another_order_are_told_once(chain: Make) -> None:
    """Two rows swap a unique value: the first order fails, and is taken back."""
    unique = "CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"
    rows = "INSERT INTO tag VALUES (1, 'a'), (2, 'b'), (3, 'c')"
    office, (one, two) = chain(2, unique, rows)
    one.sql("DELETE FROM tag WHERE id = 3", "UPDATE tag SET name = '-' WHERE id = 1")
    one.sql("UPDATE tag SET name = 'a' WHERE id = 2", "UPDATE tag SET name = 'b' WHERE id = 1")
    one.sync()
    office.sync()
    listener = _listening(two.town)
    two.sync()
    told = _only(listener.of('writing "tag" to the live database'))
    assert (told.total, told.reached) == (3, True)
    assert two.rows("tag") == [(1, "b"), (2, "a")]
