"""Fetch and push between a repository and a folder hub: what is cut goes on, what is damaged moves nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prontosync.disk.objects import DamagedObject, MissingObject
from prontosync.errors import Damaged
from prontosync.history.closure import tree_objects
from prontosync.model.ids import ObjectId, ObjectName, object_id
from prontosync.model.names import RefName
from prontosync.remote import transfer
from prontosync.remote.contract import Upload
from prontosync.remote.folder import FolderRemote
from prontosync.workflow import remotes
from prontosync.workflow.exchange import push_all
from prontosync.workflow.remotes import NotForward
from prontosync.workflow.repair import repair
from prontosync.workflow.session import Session
from tests.fixtures.places import ITEM, ROWS, Chain, Place, numbered, rest

Make = Callable[..., Chain]
MANY = numbered(10, 40000)


class Killed(BaseException):
    pass


def _objects(top: Path) -> set[ObjectId]:
    return {ObjectId(path.parent.name + path.name.partition(".")[0]) for path in top.glob("objects/??/*")}


def _path(top: Path, identity: str) -> Path:
    (path,) = top.glob(f"objects/{identity[:2]}/{identity[2:]}.*")
    return path


def _spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def _line(place: Place) -> list[ObjectId]:
    with place.session() as session:
        return list(session.ancestry.first_parents(session.need_head()))


@pytest.fixture
def ahead(chain: Make) -> Chain:
    """Store one has pushed three commits that head office has not fetched."""
    office, places = chain(2, ITEM, ROWS, MANY)
    office.fetch()
    for price in (1, 2, 3):
        places[0].sql(f"UPDATE item SET price = {price} WHERE id = {price * 15_000 - 10_000}")
        places[0].snapshot()
    places[0].push()
    return office, places


@pytest.mark.parametrize("how", ["spoiled", "missing", "swapped", "cut"])
def test_a_fetch_moves_nothing_where_the_hub_lacks_or_spoiled_an_object(ahead: Chain, how: str, tmp_path: Path) -> None:
    office, (one, _) = ahead
    fresh = sorted(_objects(office.town.top / "hub") - _objects(office.top / ".prontosync"))
    before = office.rows()
    for number, identity in enumerate(fresh):
        copy = Place(
            replace(office.town, top=Path(shutil.copytree(office.town.top, tmp_path / f"try-{number}"))), "office"
        )
        _harm(_path(copy.town.top / "hub", identity), how, _path(copy.town.top / "hub", fresh[number - 1]))
        with pytest.raises(Damaged) as damaged:
            copy.fetch()
        assert identity in damaged.value.message
        with copy.session() as session:
            assert session.repo.refs.target(RefName("hub/stores/one")) == _line(one)[3]
            assert session.repo.remembered.read("hub", RefName("stores/one")) is not None
        assert copy.verified().sound
        assert not {*_line(one)[:3]} & _objects(copy.top / ".prontosync")
        assert copy.rows() == before
    office.fetch()
    with office.session() as session:
        assert session.repo.refs.target(RefName("hub/stores/one")) == one.head()


def _harm(path: Path, how: str, other: Path) -> None:
    kept = path.read_bytes()
    path.chmod(0o644)
    if how == "missing":
        path.unlink()
    elif how == "spoiled":
        _spoil(path)
    else:
        path.write_bytes(kept[:-1] if how == "cut" else other.read_bytes())


def test_one_damaged_branch_does_not_keep_the_others_from_coming(ahead: Chain) -> None:
    office, (one, two) = ahead
    two.sql("UPDATE item SET price = 9 WHERE id = 2")
    two.sync()
    _spoil(_path(office.town.top / "hub", one.head()))
    with pytest.raises(Damaged):
        office.fetch()
    with office.session() as session:
        assert session.repo.refs.target(RefName("hub/stores/two")) == two.head()
        assert session.repo.refs.target(RefName("hub/stores/one")) != one.head()


def test_a_fetch_that_dies_is_taken_up_and_stores_no_commit_before_its_objects(
    ahead: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, (one, _) = ahead
    asked: list[ObjectId] = []
    original = FolderRemote.fetch

    def dying(self: FolderRemote, wanted: Iterable[tuple[ObjectName, int | None]], *where: Any) -> Iterator[Any]:
        for found in original(self, wanted, *where):
            yield found
            asked.append(found[0].id)
            if len(asked) == limit:
                raise Killed

    monkeypatch.setattr(FolderRemote, "fetch", dying)
    limit, died = 1, 0
    while True:
        asked.clear()
        try:
            office.fetch()
            break
        except Killed:
            died += 1
            limit += 2
        assert not {*_line(one)[:3]} & _objects(office.top / ".prontosync")
        assert office.verified().sound
    assert died > 2
    commits = [identity for identity in asked if identity in _line(one)]
    assert len(commits) == 3
    assert len(asked) < 12
    with office.session() as session:
        assert session.repo.refs.target(RefName("hub/stores/one")) == one.head()


def test_a_push_moves_the_ref_group_by_group_and_what_was_cut_is_not_sent_again(
    chain: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (one,) = chain(1, ITEM, ROWS, MANY)
    monkeypatch.setattr(transfer, "GROUP_BYTES", 1)
    for price in (1, 2, 3):
        one.sql(f"UPDATE item SET price = {price} WHERE id = {price * 15_000 - 10_000}")
        one.snapshot()
    sent: list[ObjectId] = []
    original = FolderRemote._add

    def dying(self: FolderRemote, upload: Upload) -> None:
        if len(sent) == 3:
            raise Killed
        original(self, upload)
        sent.append(upload.name.id)

    monkeypatch.setattr(FolderRemote, "_add", dying)
    with pytest.raises(Killed):
        one.push()
    (state, *_) = reversed(one.town.hub.read_refs({RefName("stores/one"): None})[RefName("stores/one")])
    there = state[0].target
    assert there == _line(one)[2]
    with one.session() as session:
        assert session.repo.refs.target(RefName("hub/stores/one")) == there
        assert session.repo.remembered.push_was_cut("hub")
    offered: list[int] = []
    advance = FolderRemote.advance

    def noting(self: FolderRemote, *args: Any) -> Any:
        offered.append(len(args[4]))
        return advance(self, *args)

    monkeypatch.setattr(FolderRemote, "_add", original)
    monkeypatch.setattr(FolderRemote, "advance", noting)
    one.push()
    with one.session() as session:
        known = {name.id for name in _needs(session, _line(one)[3])}
        assert sum(offered) == len(_objects(one.top / ".prontosync") - {*sent} - known)
        assert session.repo.refs.target(RefName("hub/stores/one")) == session.need_head()
        assert not session.repo.remembered.push_was_cut("hub")


def _needs(session: Session, commit: ObjectId) -> set[ObjectName]:
    return tree_objects(session.commits, commit)


def test_a_new_branch_of_a_known_history_sends_only_what_is_new(chain: Make) -> None:
    _, (one,) = chain(1, ITEM, ROWS, MANY)
    one.sql("UPDATE item SET price = 0 WHERE id = 1")
    one.snapshot()
    with one.session() as session:
        session.advance(RefName("stores/other"), session.need_head())
    remote_before = _objects(one.town.top / "hub")
    with one.session() as session:
        (done,) = push_all(session, [], ["stores/other"]).transfers
    assert done.objects == len(_objects(one.town.top / "hub") - remote_before) < 6


def test_a_push_that_would_lose_commits_is_refused(ahead: Chain) -> None:
    _, (one, _) = ahead
    twin, _ = one.town.clone("twin", branch="stores/one")
    for place, price in ((one, 5), (twin, 6)):
        place.sql(f"UPDATE item SET price = {price} WHERE id = 3")
        place.snapshot()
    one.push()
    with pytest.raises(NotForward):
        twin.push()
    twin.pull()
    twin.push()
    rest([one, twin])
    assert len(one.disputes()) == len(twin.disputes()) == 1


def test_a_run_that_died_between_the_hubs_ref_and_ours_knows_it_the_next_time(
    chain: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (one,) = chain(1)
    one.sql("UPDATE item SET price = 5 WHERE id = 3")
    one.snapshot()

    def dying(*args: object) -> None:
        raise Killed

    for step in ("_track", "remember"):
        one.sql("UPDATE item SET price = price + 1 WHERE id = 3")
        one.snapshot()
        with monkeypatch.context() as patch:
            patch.setattr(remotes if step == "_track" else remotes.Link, step, dying)
            with pytest.raises(Killed):
                one.push()
        one.push()
        with one.session() as session:
            assert session.repo.refs.target(RefName("hub/stores/one")) == session.head()
        records = one.town.hub.read_refs({RefName("stores/one"): None})[RefName("stores/one")]
        assert [state.target for state, _ in records].count(one.head()) == 1


def test_a_branch_deleted_on_the_hub_is_gone_here_and_can_come_back(chain: Make) -> None:
    office, (one,) = chain(1)
    office.fetch()
    hub = one.town.hub
    state = hub.read_refs({RefName("stores/one"): None})[RefName("stores/one")][-1][0]
    with one.session() as session:
        hub.advance(RefName("stores/one"), state, None, session.mover())
    office.fetch()
    with office.session() as session:
        assert session.repo.refs.target(RefName("hub/stores/one")) is None
    one.push()
    office.fetch()
    with office.session() as session:
        assert session.repo.refs.target(RefName("hub/stores/one")) == one.head()


def test_tags_travel_and_stay(chain: Make) -> None:
    office, (one,) = chain(1)
    with one.session() as session:
        session.advance(RefName("tags/opening"), session.need_head())
    one.push("opening")
    office.fetch()
    with office.session() as session:
        assert session.revisions.resolve("opening") == one.head()
    again, _ = one.town.clone("again", ITEM, ROWS, branch="stores/one")
    with again.session() as session:
        assert session.revisions.resolve("opening") == one.head()


@pytest.mark.parametrize("kind", ["commit", "schema", "segment", "checkpoint", "ddl"])
@pytest.mark.parametrize("missing", [False, True])
def test_what_is_damaged_here_comes_back_from_a_remote(ahead: Chain, kind: str, missing: bool) -> None:
    _, (one, _) = ahead
    with one.session() as session:
        head = session.need_head()
        state = session.commits.tree(head).tables["item"]
        (segment, *_) = [name.id for name in _needs(session, head) if _is_segment(session, name, state.checkpoint)]
    victims = {
        "commit": _line(one)[1], "schema": state.schema, "ddl": state.ddl,
        "checkpoint": state.checkpoint, "segment": segment
    }  # fmt: skip
    path = _path(one.top / ".prontosync", victims[kind])
    good = path.read_bytes()
    path.unlink() if missing else _spoil(path)
    assert not one.verified().sound
    with one.session() as session:
        done = repair(session, ["hub"])
    done.check()
    assert done.objects == (victims[kind],)
    assert path.read_bytes() == good
    assert one.verified().sound


def test_what_no_remote_has_stays_named(chain: Make) -> None:
    _, (one,) = chain(1)
    one.sql("UPDATE item SET price = 5 WHERE id = 3")
    head = one.snapshot().commit
    assert head is not None
    _spoil(_path(one.top / ".prontosync", head))
    with one.session() as session:
        done = repair(session, ["hub"])
    assert done.objects == ()
    with pytest.raises(Damaged, match=head):
        done.check()


def test_the_hint_of_a_damaged_object_says_what_helps(chain: Make) -> None:
    _, (one,) = chain(1)
    _spoil(_path(one.top / ".prontosync", one.head()))
    for name, kind in ((one.head(), DamagedObject), (object_id(b"nothing"), MissingObject)):
        with one.session() as session, pytest.raises(kind) as damaged:
            session.repo.objects.read(ObjectName(name, "json"))
        assert "fetch --repair" in str(damaged.value.hint)


def _is_segment(session: Session, name: ObjectName, checkpoint: ObjectId) -> bool:
    if name.suffix != "parquet" or name.id == checkpoint:
        return False
    return b"_ps_digest" not in session.repo.objects.read(name)


def test_a_damaged_cache_is_made_anew(chain: Make) -> None:
    office, (one, two) = chain(2)
    for first, second in ((one, two), (two, one)):
        first.sql("UPDATE item SET price = price + 1 WHERE id = 1")
        second.sql("UPDATE item SET name = name || 'x' WHERE id = 2")
        for place in (first, second):
            place.sync()
        office.sync()
    cached = list((office.top / ".prontosync" / "cache").glob("objects/??/*"))
    for path in cached:
        _spoil(path)
    with office.session() as session:
        repair(session, ["hub"]).check()
    rest([one, two, office])


def test_a_dead_pc_gets_its_own_commits_again(ahead: Chain) -> None:
    office, (one, two) = ahead
    rest([one, office, two, office, one])
    line, live = _line(one), one.live()
    again, done = one.town.clone("again", branch="stores/one")
    assert done.source == "restored"
    assert _line(again) == line
    assert again.live() == live
    assert again.verified().sound
    again.set("store.upstream", "hub/main")
    assert rest([again, office, two]) == 0
