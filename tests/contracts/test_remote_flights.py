"""What a remote costs in round trips, and in time over a long link."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from prontosync.model.names import RefName
from tests.fixtures.hubs import MAIN, MOVER, Hub, a_commit, an_object, moved
from tests.fixtures.latency import slow_link
from tests.fixtures.sshd import Sshd

ONE_WAY = 0.04


def test_refs_that_did_not_move_take_one_flight(sftp_hub: Hub, tmp_path: Path) -> None:
    names = [RefName("main"), RefName("stores/012"), RefName("stores/013")]
    known = {name: moved(sftp_hub, tmp_path, 3, name)[-1] for name in names}
    with sftp_hub.sftp() as remote:
        remote.missing([])
        before = remote.round_trips
        for _ in range(3):
            assert remote.read_refs(dict(known)) == {name: [] for name in names}
        assert remote.round_trips - before == 3


def test_a_push_of_nothing_takes_three_flights_after_login(sftp_hub: Hub, tmp_path: Path) -> None:
    known = moved(sftp_hub, tmp_path, 3)[-1]
    with sftp_hub.sftp() as remote:
        remote.read_refs({MAIN: known})
        assert remote.round_trips == 3
    with sftp_hub.sftp() as remote:
        assert remote.hub_id()
        remote.read_refs({MAIN: known})
        assert remote.round_trips == 4


def test_first_contact_learns_the_hub_and_its_refs_together(sftp_hub: Hub, tmp_path: Path) -> None:
    moved(sftp_hub, tmp_path, 3)
    with sftp_hub.sftp() as remote:
        assert len(remote.read_refs({MAIN: None, RefName("other"): None})[MAIN]) == 3
        assert remote.round_trips == 4
        remote.hub_id()
        assert remote.round_trips == 4


def test_a_push_takes_four_flights(sftp_hub: Hub, tmp_path: Path) -> None:
    state = moved(sftp_hub, tmp_path, 3)[-1]
    warm = [an_object(tmp_path) for _ in range(5)]
    with sftp_hub.sftp() as remote:
        remote.read_refs({MAIN: state})
        remote.publish(warm)
        again = _with_same_shards(tmp_path, warm)
        before = remote.round_trips
        assert remote.advance(MAIN, state.state, again[0].name.id, MOVER, again) is not None
        assert remote.round_trips - before == 4
    assert sftp_hub.leftovers() == []


def _with_same_shards(folder: Path, warm: list) -> list:  # type: ignore[type-arg]
    """Objects that go into folders that exist."""
    shards = {upload.name.path[:10] for upload in warm}
    found = []
    while len(found) < 5:
        upload = an_object(folder, 20)
        if upload.name.path[:10] in shards:
            found.append(upload)
    return found


def test_objects_are_fetched_in_a_flight_a_batch(sftp_hub: Hub, tmp_path: Path) -> None:
    uploads = [an_object(tmp_path, 1000, "json") for _ in range(16)]
    (tmp_path / "in").mkdir()
    with sftp_hub.sftp() as remote:
        remote.publish(uploads)
        before = remote.round_trips
        assert len(list(remote.fetch([(upload.name, None) for upload in uploads], tmp_path / "in"))) == 16
        assert remote.round_trips - before == 1


def test_fifty_small_objects_over_a_long_link(sshd: Sshd, sftp_hub: Hub, tmp_path: Path) -> None:
    """One after the other they would take 25 s."""
    for shard in range(256):
        (sftp_hub.top / "objects" / f"{shard:02x}").mkdir()
    uploads = [an_object(tmp_path, 2000) for _ in range(50)]
    with slow_link(sshd.port, ONE_WAY) as port, _through(sftp_hub, port) as remote:
        remote.hub_id()
        began = time.monotonic()
        remote.publish(uploads)
        assert time.monotonic() - began < 1.5
        assert remote.missing([upload.name for upload in uploads]) == []


def test_a_push_over_a_long_link(sshd: Sshd, sftp_hub: Hub, tmp_path: Path) -> None:
    state = moved(sftp_hub, tmp_path, 2)[-1]
    with slow_link(sshd.port, ONE_WAY) as port:
        began = time.monotonic()
        with _through(sftp_hub, port) as remote:
            assert remote.read_refs({MAIN: state}) == {MAIN: []}
            assert remote.advance(MAIN, state.state, a_commit(sftp_hub, tmp_path), MOVER) is not None
        print(f"{(time.monotonic() - began) / 2 / ONE_WAY:.1f} round trips in all")
        assert time.monotonic() - began < 40 * ONE_WAY


def _through(hub: Hub, port: int):  # type: ignore[no-untyped-def]
    """The remote by way of another port, whose host key is known."""
    assert hub.sshd is not None
    key = hub.sshd.known_hosts.read_text().split(maxsplit=1)[1]
    known = hub.top.parent / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {key}")
    return hub.sftp(port=port, known_hosts=known)


def test_a_large_object_goes_in_many_pieces_at_once(sshd: Sshd, sftp_hub: Hub, tmp_path: Path) -> None:
    upload = an_object(tmp_path, 4_000_000)
    with slow_link(sshd.port, ONE_WAY) as port, _through(sftp_hub, port) as remote:
        began = time.monotonic()
        remote.publish([upload])
        assert dict(remote.fetch([(upload.name, upload.size)], tmp_path))[upload.name]
        assert time.monotonic() - began < 5
    shutil.rmtree(sftp_hub.top)
