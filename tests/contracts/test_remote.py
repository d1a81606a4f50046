"""What every remote promises, tried on a folder, on OpenSSH, and on the append-only hub of the manual."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from prontosync.disk.objects import DamagedObject
from prontosync.disk.refs import BrokenChain, record_path
from prontosync.errors import NotFound, Refused, RepositoryError
from prontosync.model.ids import ObjectId, ObjectName, object_id
from prontosync.model.names import RefName
from prontosync.remote.contract import RemoteDamaged, RolledBack, Upload
from prontosync.remote.folder import FolderRemote
from tests.fixtures.hubs import MAIN, MOVER, REPOSITORY, Hub, a_commit, an_object, moved, written
from tests.fixtures.listener import Listener

NOBODY = ObjectName(ObjectId("0" * 64), "json")


def test_a_new_hub_has_the_id_it_was_given_and_no_refs(hub: Hub, tmp_path: Path) -> None:
    fresh = Hub(tmp_path / "fresh", hub.kind, hub.sshd)
    with fresh.remote() as remote:
        remote.create(REPOSITORY)
    with fresh.remote() as remote:
        assert remote.hub_id() == REPOSITORY
        assert remote.list_refs() == []
        assert remote.read_refs({MAIN: None}) == {MAIN: []}
    assert {path.name for path in fresh.top.iterdir()} == {"format.json", "objects", "refs", "tmp"}
    assert stat.S_IMODE((fresh.top / "format.json").stat().st_mode) == 0o444


def test_a_hub_is_not_made_over_something_else(hub: Hub, tmp_path: Path) -> None:
    with hub.remote() as remote, pytest.raises(Refused):
        remote.create("another")
    assert (hub.top / "format.json").read_bytes() == b'{"format":1,"repository":"%s"}' % REPOSITORY.encode()
    taken = Hub(tmp_path / "taken", hub.kind, hub.sshd)
    taken.top.mkdir()
    (taken.top / "photo.jpg").write_bytes(b"")
    with taken.remote() as remote, pytest.raises(Refused, match="photo"):
        remote.create(REPOSITORY)


def test_where_there_is_no_hub_or_a_newer_one(hub: Hub, tmp_path: Path) -> None:
    with Hub(tmp_path / "nowhere", hub.kind, hub.sshd).remote() as remote, pytest.raises(NotFound):
        remote.hub_id()
    newer = Hub(tmp_path / "newer", hub.kind, hub.sshd)
    newer.top.mkdir()
    (newer.top / "format.json").write_text('{"format":2,"repository":"x","more":1}')
    with newer.remote() as remote, pytest.raises(RepositoryError):
        remote.hub_id()


def test_objects_come_back_as_they_went(hub: Hub, tmp_path: Path) -> None:
    sizes = (0, 1, 2000, 32_703, 32_704, 32_705, 65_408, 3_000_000)
    uploads = [an_object(tmp_path, size) for size in sizes] + [an_object(tmp_path, 500, "json")]
    with hub.remote() as remote:
        remote.publish(uploads)
        assert remote.missing([upload.name for upload in uploads] + [NOBODY]) == [NOBODY]
        for known in (True, False):
            (target := tmp_path / f"in-{known}").mkdir()
            wanted = [(upload.name, upload.size if known else None) for upload in uploads] + [(NOBODY, None)]
            fetched = dict(remote.fetch(iter(wanted), target))
            assert fetched.pop(NOBODY) is None
            for upload in uploads:
                path = fetched[upload.name]
                assert path is not None
                assert path.parent == target
                assert path.read_bytes() == upload.source.read_bytes()
                assert stat.S_IMODE(path.stat().st_mode) == 0o444
            assert len(list(target.iterdir())) == len(uploads)
        assert remote.bytes_sent > 3_000_000
        assert remote.bytes_received > 6_000_000
    for upload in uploads:
        assert stat.S_IMODE((hub.top / upload.name.path).stat().st_mode) == 0o444
    if hub.kind != "append-only":
        assert hub.leftovers() == []


def test_a_task_is_told_of_every_byte_and_object(hub: Hub, tmp_path: Path) -> None:
    there, fresh = an_object(tmp_path, 50_000), [an_object(tmp_path, size) for size in (0, 32_705, 3_000_000)]
    uploads = [there, *fresh]
    size = sum(upload.size for upload in uploads)
    (tmp_path / "in").mkdir()
    listener = Listener()
    with hub.remote() as remote:
        remote.publish([there])
        with listener.task("publish", size, "bytes", 4) as task:
            remote.publish(uploads, task)
        with listener.task("advance", size, "bytes", 4) as task:
            remote.advance(MAIN, None, there.name.id, MOVER, uploads, task)
        with listener.task("fetch", size, "bytes", 4) as task:
            wanted = [(upload.name, upload.size) for upload in uploads] + [(NOBODY, None)]
            assert len(dict(remote.fetch(wanted, tmp_path / "in", task))) == 5
    assert [(told.done, told.objects_done, told.reached) for told in listener.tasks] == [(size, 4, True)] * 3


def test_many_objects_at_once(hub: Hub, tmp_path: Path) -> None:
    uploads = [an_object(tmp_path, 300 + i, "json") for i in range(150)]
    (tmp_path / "in").mkdir()
    with hub.remote() as remote:
        remote.publish(uploads)
        remote.publish(uploads)
        fetched = dict(remote.fetch(((upload.name, None) for upload in uploads), tmp_path / "in"))
    assert {name: path and path.read_bytes() for name, path in fetched.items()} == {
        upload.name: upload.source.read_bytes() for upload in uploads
    }


def test_publishing_again_changes_nothing_and_sends_nothing(hub: Hub, tmp_path: Path) -> None:
    upload = an_object(tmp_path, 1_000_000)
    with hub.remote() as remote:
        remote.publish([upload])
        before, sent = (hub.top / upload.name.path).stat(), remote.bytes_sent
        remote.publish([upload])
        assert remote.bytes_sent - sent < 2000
    assert (hub.top / upload.name.path).stat().st_ino == before.st_ino


def test_an_object_that_rotted_here_is_not_published(hub: Hub, tmp_path: Path) -> None:
    good, rotten, short = an_object(tmp_path), an_object(tmp_path, 100_000), an_object(tmp_path, 100_000)
    data = bytearray(rotten.source.read_bytes())
    data[77_000] ^= 1
    rotten.source.write_bytes(data)
    short.source.write_bytes(short.source.read_bytes()[:-1])
    with hub.remote() as remote:
        for broken in (rotten, short):
            with pytest.raises(DamagedObject, match=broken.name.id):
                remote.advance(MAIN, None, good.name.id, MOVER, [good, broken])
        assert remote.missing([rotten.name, short.name]) == [rotten.name, short.name]
        assert remote.read_refs({MAIN: None}) == {MAIN: []}


def test_a_file_of_the_wrong_size_under_an_objects_name_is_damage(hub: Hub, tmp_path: Path) -> None:
    upload = an_object(tmp_path)
    path = hub.top / upload.name.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with hub.remote() as remote, pytest.raises(RemoteDamaged, match=upload.name.id[2:]):
        remote.publish([upload])
    assert path.read_bytes() == b"something else"


def test_a_ref_advances_record_by_record(hub: Hub, tmp_path: Path) -> None:
    with hub.remote() as remote:
        upload = an_object(tmp_path, 500, "json")
        first = remote.advance(MAIN, None, upload.name.id, MOVER, [upload])
        assert first is not None
        second = remote.advance(MAIN, first.state, None, MOVER)
        assert second is not None
        assert (first.state.generation, second.state.generation) == (1, 2)
        assert second.state.target is None
        expected = [(first.state, first.data), (second.state, second.data)]
        assert remote.read_refs({MAIN: None}) == {MAIN: expected}
        assert remote.read_refs({MAIN: first}) == {MAIN: expected[1:]}
        assert remote.read_refs({MAIN: second}) == {MAIN: []}
        assert remote.missing([upload.name]) == []
    assert [path.read_bytes() for path in hub.records()] == [first.data, second.data]
    assert (hub.top / record_path(MAIN, 2)).stat().st_mode & 0o777 == 0o444
    if hub.kind != "append-only":
        assert hub.leftovers() == []


def test_the_loser_of_a_race_is_told_and_its_objects_stay(hub: Hub, tmp_path: Path) -> None:
    upload = an_object(tmp_path)
    with hub.remote() as winner, hub.remote() as loser:
        first = winner.advance(MAIN, None, a_commit(hub, tmp_path), MOVER)
        assert first is not None
        before = hub.records()[0].read_bytes()
        assert loser.advance(MAIN, None, a_commit(hub, tmp_path), MOVER, [upload]) is None
        assert loser.missing([upload.name]) == []
    assert [path.read_bytes() for path in hub.records()] == [before]


@pytest.mark.parametrize("times", [1, 2, 3, 7, 8, 9, 40])
def test_records_are_found_however_many_there_are(hub: Hub, tmp_path: Path, times: int) -> None:
    states = moved(hub, tmp_path, times)
    with hub.remote() as remote:
        for known in {0, 1, times // 2, times - 1, times}:
            remembered = states[known - 1] if known else None
            assert remote.read_refs({MAIN: remembered}) == {MAIN: [(s.state, s.data) for s in states[known:]]}


def test_records_go_on_in_the_next_thousand(hub: Hub, tmp_path: Path) -> None:
    states = written(hub, 1003)
    with hub.remote() as remote:
        assert [s.generation for s, _ in remote.read_refs({MAIN: states[4]})[MAIN]] == list(range(6, 1004))
        assert remote.advance(MAIN, states[-1].state, None, MOVER) is not None


def test_several_refs_are_read_together_and_listed(hub: Hub, tmp_path: Path) -> None:
    names = [RefName("main"), RefName("stores/012"), RefName("stores/eu/7"), RefName("tags/v1")]
    states = {name: moved(hub, tmp_path, 3, name) for name in names}
    with hub.remote() as remote:
        assert remote.list_refs() == sorted(names)
        read = remote.read_refs({name: states[name][i % 3] for i, name in enumerate(names)} | {RefName("absent"): None})
    assert {name: len(new) for name, new in read.items()} == {
        "main": 2, "stores/012": 1, "stores/eu/7": 0, "tags/v1": 2, "absent": 0,
    }  # fmt: skip


def test_a_hub_rolled_back_is_noticed(hub: Hub, tmp_path: Path) -> None:
    states = moved(hub, tmp_path, 5)
    for path in hub.records()[2:]:
        path.unlink()
    with hub.remote() as remote:
        with pytest.raises(RolledBack):
            remote.read_refs({MAIN: states[4]})
        with pytest.raises(RolledBack):
            remote.advance(MAIN, states[4].state, None, MOVER)


def test_a_hub_that_went_another_way_is_noticed(hub: Hub, tmp_path: Path) -> None:
    states = moved(hub, tmp_path, 3)
    for path in hub.records()[1:]:
        path.unlink()
    folder = FolderRemote(hub.top)
    current = states[0].state
    for _ in range(3):
        other = folder.advance(MAIN, current, a_commit(hub, tmp_path), MOVER)
        assert other is not None
        current = other.state
    with hub.remote() as remote, pytest.raises(RolledBack):
        remote.read_refs({MAIN: states[2]})


def test_the_newest_record_lost_in_a_power_cut_is_linked_again(hub: Hub, tmp_path: Path) -> None:
    for times in (1, 3):
        name = RefName(f"stores/x{times}")
        states = moved(hub, tmp_path, times, name)
        hub.records(name)[-1].unlink()
        with hub.remote() as remote:
            assert remote.read_refs({name: states[-1]}) == {name: []}
        assert hub.records(name)[-1].read_bytes() == states[-1].data


def test_it_is_not_linked_again_where_its_commit_is_gone_too(hub: Hub, tmp_path: Path) -> None:
    states = moved(hub, tmp_path, 3)
    hub.records()[-1].unlink()
    commit = states[-1].state.target
    assert commit is not None
    (hub.top / ObjectName(commit, "json").path).unlink()
    with hub.remote() as remote, pytest.raises(RolledBack):
        remote.read_refs({MAIN: states[-1]})
    assert len(hub.records()) == 2


def test_a_gap_a_foreign_record_and_a_wrong_hash_break_the_chain(hub: Hub, tmp_path: Path) -> None:
    states = moved(hub, tmp_path, 6)
    other = moved(hub, tmp_path, 6, RefName("other"))
    paths = hub.records()
    originals = [path.read_bytes() for path in paths]
    forged = originals[3].replace(states[2].state.id.encode(), object_id(b"").encode())
    for bad in (None, other[3].data, originals[4], forged):
        paths[3].unlink()
        if bad is not None:
            paths[3].write_bytes(bad)
        with hub.remote() as remote, pytest.raises(BrokenChain):
            remote.read_refs({MAIN: states[1]})
        paths[3].write_bytes(originals[3])
    with hub.remote() as remote:
        assert len(remote.read_refs({MAIN: states[1]})[MAIN]) == 4


def test_a_record_of_another_hub_is_refused(hub: Hub, tmp_path: Path) -> None:
    foreign = Hub(tmp_path / "foreign", "folder")
    FolderRemote(foreign.top).create("another-repository")
    moved(foreign, tmp_path, 1)
    target = hub.top / record_path(MAIN, 1)
    target.parent.mkdir(parents=True)
    target.write_bytes(foreign.records()[0].read_bytes())
    with hub.remote() as remote, pytest.raises(BrokenChain, match="another repository"):
        remote.read_refs({MAIN: None})


def test_damaged_objects_are_named_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    upload, other = an_object(tmp_path, 70_000), an_object(tmp_path, 70_000)
    good = upload.source.read_bytes()
    (target := tmp_path / "in").mkdir()
    with hub.remote() as remote:
        remote.publish([upload, other])
        path = hub.top / upload.name.path
        flipped = good[:40_000] + bytes([good[40_000] ^ 4]) + good[40_001:]
        for bad in (good[:-1], flipped, other.source.read_bytes(), b"", good + b"!"):
            path.unlink()
            path.write_bytes(bad)
            for size in (upload.size, None):
                with pytest.raises(RemoteDamaged, match=upload.name.id):
                    list(remote.fetch([(other.name, other.size), (upload.name, size)], target))
        path.unlink()
        assert dict(remote.fetch([(upload.name, upload.size)], target)) == {upload.name: None}
    kept = list(target.iterdir())
    assert all(path.read_bytes() == other.source.read_bytes() for path in kept)


def test_an_object_that_is_no_file_is_not_followed(hub: Hub, tmp_path: Path) -> None:
    upload = an_object(tmp_path)
    path = hub.top / upload.name.path
    path.parent.mkdir(parents=True)
    path.mkdir()
    with hub.remote() as remote:
        with pytest.raises((RemoteDamaged, Refused)):
            list(remote.fetch([(upload.name, None)], tmp_path))
        with pytest.raises((RemoteDamaged, Refused)):
            remote.publish([upload])


def test_listing_refs_does_not_believe_what_it_is_told(hub: Hub, tmp_path: Path) -> None:
    moved(hub, tmp_path, 1, RefName("stores/1"))
    refs = hub.top / "refs"
    outside = tmp_path / "outside"
    (outside / "@" / "000000000").mkdir(parents=True)
    (outside / "@" / "000000000" / "000000000001").write_bytes(b"{}")
    (refs / "link").symlink_to(outside)
    (refs / "loop").symlink_to(refs)
    os.mkfifo(refs / "fifo")
    for name in ("Upper", "..x", "a..b", "spa ce", "con", "a" * 201, "empty", "caf\udce9", "\u202etxt"):
        folder = refs / name / "@" / "000000000"
        folder.mkdir(parents=True)
        if name != "empty":
            (folder / "000000000001").write_bytes(b"{}")
    (refs / "linked" / "@" / "000000000").mkdir(parents=True)
    (refs / "linked" / "@" / "000000000" / "000000000001").symlink_to(outside)
    with hub.remote() as remote:
        assert remote.list_refs() == [RefName("stores/1")]


def test_a_hundred_thousand_entries_among_the_refs(hub: Hub, tmp_path: Path) -> None:
    moved(hub, tmp_path, 1)
    original = tmp_path / "original"
    original.write_bytes(b"")
    for number in range(100_000 if hub.kind == "plain" else 2_000):
        if number % 30_000 == 0:
            (original := tmp_path / f"original-{number}").write_bytes(b"")
        os.link(original, hub.top / "refs" / f"entry-{number}")
    with hub.remote() as remote:
        assert remote.list_refs() == [MAIN]


def test_a_good_hub_passes_the_probe_and_keeps_nothing_of_it(hub: Hub, tmp_path: Path) -> None:
    moved(hub, tmp_path, 1, RefName("stores/012"))
    with hub.remote() as remote:
        assert remote.probe() == []
        moved(hub, tmp_path, 1)
        assert hub.kind == "folder" or remote.probe() == ["this account could move the refs main"]
    if hub.kind != "append-only":
        assert hub.leftovers() == []


def test_uploads_of_nothing(hub: Hub) -> None:
    with hub.remote() as remote:
        remote.publish([])
        assert remote.missing([]) == []
        assert list(remote.fetch([], hub.top)) == []
        assert remote.read_refs({}) == {}


def test_a_file_that_is_gone_here(hub: Hub, tmp_path: Path) -> None:
    gone = Upload(ObjectName(object_id(b"x"), "json"), tmp_path / "gone", 1)
    with hub.remote() as remote, pytest.raises(Exception, match=gone.name.id) as caught:
        remote.publish([gone])
    assert caught.value.exit == 14  # type: ignore[attr-defined]


def test_a_fetch_that_is_given_up_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    uploads = [an_object(tmp_path, 100_000) for _ in range(5)]
    (target := tmp_path / "in").mkdir()
    with hub.remote() as remote:
        remote.publish(uploads)
        fetching = remote.fetch([(upload.name, upload.size) for upload in uploads], target)
        _, path = next(fetching)
        assert remote.missing([upload.name for upload in uploads]) == []
        fetching.close()  # type: ignore[attr-defined]
        assert list(target.iterdir()) == [path]
        assert len(list(remote.fetch([(upload.name, None) for upload in uploads], target))) == 5


def test_a_file_system_without_hard_links_is_refused_as_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    hub = Hub(tmp_path / "hub", "folder")
    monkeypatch.setattr(os, "link", no_links)
    with hub.remote() as remote:
        with pytest.raises(Refused, match="hard links"):
            remote.create(REPOSITORY)
        assert not (hub.top / "format.json").exists()
        assert list((hub.top / "tmp").iterdir()) == []
