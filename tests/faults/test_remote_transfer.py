"""Transfers that go wrong half-way: nothing partial is published, nothing lies about it, and running again heals it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from prontosync.disk.refs import RefState
from prontosync.remote.connection import Timeouts
from prontosync.remote.contract import Remembered, RemoteFull, RemoteRefused, RemoteUnreachable, Upload
from prontosync.remote.folder import FolderRemote
from prontosync.remote.sftp import SftpRemote
from tests.fixtures.hubs import MAIN, MOVER, REPOSITORY, Hub, an_object, moved
from tests.fixtures.listener import Listener
from tests.fixtures.sshd import Sshd

FAILURE, DENIED = 4, 3
SHORT = Timeouts(connect=1, banner=1, login=1, channel=1, io=1)


def _only_whole_files(hub: Hub, *uploads: Upload) -> None:
    sources = {hub.top / upload.name.path: upload.source for upload in uploads}
    for path in (hub.top / "objects").rglob("*.*"):
        assert path.read_bytes() == sources[path].read_bytes()


@pytest.mark.parametrize("code", [FAILURE, DENIED])
@pytest.mark.parametrize(("kind", "n"), [("write", 1), ("write", 20), ("fsync", 1), ("fstat", 1), ("close", 2)])
def test_one_request_in_the_middle_fails(
    meddled_hub: Hub, sshd: Sshd, tmp_path: Path, kind: str, n: int, code: int
) -> None:
    """Fault 2. paramiko's own ``put`` reports success here, with a hole in the file."""
    uploads = [an_object(tmp_path, 1_000_000), an_object(tmp_path, 3000)]
    with (
        sshd.meddling(status=[[kind, n, code]]),
        meddled_hub.sftp(tries=4) as remote,
        pytest.raises(RemoteRefused) as caught,
    ):
        remote.advance(MAIN, None, uploads[0].name.id, MOVER, uploads)
    assert caught.value.exit == 13
    _only_whole_files(meddled_hub, *uploads)
    assert meddled_hub.records() == []
    assert meddled_hub.leftovers() == []
    with meddled_hub.sftp() as remote:
        assert remote.advance(MAIN, None, uploads[0].name.id, MOVER, uploads) is not None
    _only_whole_files(meddled_hub, *uploads)


def test_a_write_that_always_fails_though_there_is_room_is_a_quota(
    meddled_hub: Hub, sshd: Sshd, tmp_path: Path
) -> None:
    with (
        sshd.meddling(status=[["write", 0, FAILURE]]),
        meddled_hub.sftp() as remote,
        pytest.raises(RemoteFull, match="quota"),
    ):
        remote.publish([an_object(tmp_path)])
    assert meddled_hub.leftovers() == []


@pytest.mark.parametrize("rule", ["cut_before", "cut_after"])
def test_the_link_is_cut_at_any_request(meddled_hub: Hub, sshd: Sshd, tmp_path: Path, rule: str) -> None:
    """Fault 1 with EOF, and fault 5: with a second try it is done, exactly once."""
    uploads = [an_object(tmp_path, 100_000), an_object(tmp_path, 300, "json")]
    with sshd.meddling() as log, meddled_hub.sftp() as remote:
        first = remote.advance(MAIN, None, uploads[1].name.id, MOVER, uploads)
    assert first is not None
    counts = Counter(log.read_text().split())
    state = first
    kinds = ("lstat", "open", "write", "fsync", "close", "hardlink", "remove")
    for kind, n in [(name, n) for name in kinds for n in {1, counts[name]}]:
        more = [an_object(tmp_path, 100_000), an_object(tmp_path, 300, "json")]
        with sshd.meddling(**{rule: [kind, n]}), meddled_hub.sftp(tries=1) as remote:
            try:
                done = remote.advance(MAIN, state.state, more[1].name.id, MOVER, more)
            except RemoteUnreachable:
                done = None
        new = FolderRemote(meddled_hub.top).read_refs({MAIN: state})[MAIN]
        assert len(new) <= 1
        assert done is None or [done.state] == [s for s, _ in new]
        if not new:
            with Hub(meddled_hub.top, "plain", sshd).sftp() as remote:
                done = remote.advance(MAIN, state.state, more[1].name.id, MOVER, more)
            assert done is not None
        state = done or Remembered(*new[0])
        assert FolderRemote(meddled_hub.top).missing([u.name for u in more]) == []
        uploads += more
        _only_whole_files(meddled_hub, *uploads)


def test_a_reply_lost_after_the_refs_link_is_found_out(meddled_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    """Fault 5 within one run: the second try sees its own record and is content."""
    upload = an_object(tmp_path)
    with _cut_once(sshd, ["hardlink", 2]), meddled_hub.sftp(tries=3) as remote:
        state = remote.advance(MAIN, None, upload.name.id, MOVER, [upload])
    assert state is not None
    assert [path.read_bytes() for path in meddled_hub.records()] == [state.data]


@contextmanager
def _cut_once(sshd: Sshd, at: list[object]) -> Iterator[None]:
    """Once it has happened, the next connection is left alone."""
    with sshd.meddling(cut_after=at) as log:

        def relent() -> None:
            while log.read_text().split().count(str(at[0])) < int(str(at[1])):
                time.sleep(0.001)
            sshd.set_rules({})

        thread = threading.Thread(target=relent)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize("kind", ["open", "read", "lstat"])
def test_reading_survives_a_cut(meddled_hub: Hub, sshd: Sshd, tmp_path: Path, kind: str) -> None:
    moved(meddled_hub, tmp_path, 3)
    with _cut_once(sshd, [kind, 1]), meddled_hub.sftp(tries=3) as remote:
        assert len(remote.read_refs({MAIN: None})[MAIN]) == 3


def test_a_fetch_goes_on_where_the_link_was_cut(meddled_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    uploads = [an_object(tmp_path, 200_000) for _ in range(10)]
    (target := tmp_path / "in").mkdir()
    with meddled_hub.sftp() as remote:
        remote.publish(uploads)
    with _cut_once(sshd, ["read", 30]), meddled_hub.sftp(tries=3) as remote:
        fetched = list(remote.fetch([(u.name, u.size) for u in uploads], target))
    assert sorted(name for name, _ in fetched) == sorted(u.name for u in uploads)
    assert len(list(target.iterdir())) == len(uploads)


@pytest.mark.parametrize("at", [["write", 30], ["close", 3], ["hardlink", 2]])
def test_what_a_cut_link_makes_be_done_again_is_told_once(
    meddled_hub: Hub, sshd: Sshd, tmp_path: Path, at: list[object]
) -> None:
    uploads = [an_object(tmp_path, 400_000) for _ in range(5)]
    listener = Listener()
    pushing = listener.task("push", 2_000_000, "bytes", 5)
    with _cut_once(sshd, at), meddled_hub.sftp(tries=3) as remote, pushing as task:
        remote.advance(MAIN, None, uploads[0].name.id, MOVER, uploads, task)
    (tmp_path / "in").mkdir()
    wanted = [(upload.name, upload.size) for upload in uploads]
    fetching = listener.task("fetch", 2_000_000, "bytes", 5)
    with _cut_once(sshd, ["read", 30]), meddled_hub.sftp(tries=3) as remote, fetching as task:
        assert len(list(remote.fetch(wanted, tmp_path / "in", task))) == 5
    assert all(told.reached and told.lowest >= 0 for told in listener.tasks)


def test_a_server_that_reads_in_small_pieces(meddled_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    uploads = [an_object(tmp_path, size) for size in (0, 10, 7000, 100_001)]
    (tmp_path / "in").mkdir()
    with sshd.meddling(short_reads=7000), meddled_hub.sftp() as remote:
        remote.publish(uploads)
        for known in (True, False):
            wanted = [(u.name, u.size if known else None) for u in uploads]
            fetched = dict(remote.fetch(wanted, tmp_path / "in"))
            assert all(fetched[u.name].read_bytes() == u.source.read_bytes() for u in uploads)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["init", "lstat", "open", "write", "hardlink"])
def test_a_server_that_hangs(meddled_hub: Hub, sshd: Sshd, tmp_path: Path, kind: str) -> None:
    """Fault 4: within the time-out, and with nothing published by halves."""
    upload = an_object(tmp_path, 300_000)
    began = time.monotonic()
    with (
        sshd.meddling(hang_at=[kind, 1]),
        meddled_hub.sftp(timeouts=SHORT) as remote,
        pytest.raises(RemoteUnreachable) as caught,
    ):
        remote.publish([upload])
    assert caught.value.exit == 12
    assert time.monotonic() - began < 5
    _only_whole_files(meddled_hub, upload)


def test_a_frozen_server(sftp_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    with sftp_hub.sftp(timeouts=SHORT) as remote:
        remote.hub_id()
        frozen = _sessions(sshd)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(RemoteUnreachable, match=r"does not answer|nothing came"):
                remote.publish([an_object(tmp_path, 8_000_000)])
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)


def _sessions(sshd: Sshd) -> list[int]:
    """The processes of our server that serve a connection: all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = list(children.get(sshd.pid, []))
    for pid in found:
        found += children.get(pid, [])
    assert found, "no session of the server was found"
    return found


@pytest.mark.parametrize("speech", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-Silent\r\n", None])
def test_something_else_answers(sftp_hub: Hub, speech: bytes | None) -> None:
    """Silence, another protocol, an SSH server that says no more than its name, a connection that closes at once."""
    began = time.monotonic()
    with (
        _speaking(speech) as port,
        sftp_hub.sftp(port=port, timeouts=SHORT) as remote,
        pytest.raises(RemoteUnreachable),
    ):
        remote.hub_id()
    assert time.monotonic() - began < 5


@contextmanager
def _speaking(speech: bytes | None) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def accept() -> None:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            taken.append(sock)
            if speech is None:
                sock.close()
            else:
                sock.sendall(speech)

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for sock in taken:
            sock.close()


def test_nobody_answers_and_nobody_is_known_by_that_name(sftp_hub: Hub) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with sftp_hub.sftp(port=unused.getsockname()[1], tries=3) as remote, pytest.raises(RemoteUnreachable):
            remote.hub_id()
    remote = sftp_hub.sftp()
    remote._address = replace(remote._address, host="hub.invalid")
    with remote, pytest.raises(RemoteUnreachable, match="resolved"):
        remote.hub_id()


def test_the_deadline_of_the_run_closes_the_connection(meddled_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    began = time.monotonic()
    with sshd.meddling(hang_at=["lstat", 1]), meddled_hub.sftp(deadline=1.0, tries=4) as remote:
        assert remote.hub_id() == REPOSITORY
        with pytest.raises(RemoteUnreachable, match="time limit"):
            remote.missing([an_object(tmp_path).name])
        with pytest.raises(RemoteUnreachable):
            remote.hub_id() and remote.missing([an_object(tmp_path).name])
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({"hide": ["hardlink@openssh.com"]}, "hard links"),
        ({"overwrite_links": True}, "replace"),
        ({"ignore_excl": True}, "exclusive"),
        ({"status": [["hardlink", 0, FAILURE]]}, "hard link"),
        ({"status": [["open", 0, DENIED]]}, "permission denied"),
    ],
)
def test_a_server_that_is_no_hub_is_refused(
    meddled_hub: Hub, sshd: Sshd, rules: dict[str, object], complaint: str
) -> None:
    """Fault 10."""
    with sshd.meddling(**rules), meddled_hub.sftp() as remote, pytest.raises(RemoteRefused, match=complaint):
        remote.probe()
    assert meddled_hub.leftovers() == []


def test_a_server_without_fsync_and_statvfs_works_with_a_warning(meddled_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    hidden = ["fsync@openssh.com", "statvfs@openssh.com", "limits@openssh.com"]
    upload = an_object(tmp_path)
    with sshd.meddling(hide=hidden), meddled_hub.sftp() as remote:
        assert len(remote.probe()) == 2
        assert remote.advance(MAIN, None, upload.name.id, MOVER, [upload]) is not None
    _only_whole_files(meddled_hub, upload)


def test_a_read_only_hub_can_be_read(sshd: Sshd, meddled_hub: Hub, tmp_path: Path) -> None:
    states = moved(meddled_hub, tmp_path, 2)
    denied = [[kind, 0, DENIED] for kind in ("write", "hardlink", "mkdir", "remove")]
    with sshd.meddling(status=denied), meddled_hub.sftp() as remote:
        assert remote.read_refs({MAIN: states[0]}) == {MAIN: [(states[1].state, states[1].data)]}
        with pytest.raises(RemoteRefused):
            remote.advance(MAIN, states[1].state, None, MOVER)


def test_every_nth_request_refused_or_failing(meddled_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    """A sweep over a whole push: old or new, nothing partial, and never anything but our own errors."""
    uploads = [an_object(tmp_path, 70_000), an_object(tmp_path, 300, "json")]
    with sshd.meddling() as log, meddled_hub.sftp() as remote:
        state = remote.advance(MAIN, None, uploads[1].name.id, MOVER, uploads)
        counts = Counter(log.read_text().split())
    del counts["init"]
    with meddled_hub.sftp() as remote:
        for kind, code in itertools.product(counts, (FAILURE, DENIED)):
            for n in range(1, min(counts[kind], 3) + 1):
                assert state is not None
                more = [an_object(tmp_path, 70_000), an_object(tmp_path, 300, "json")]
                done = _meddled_advance(sshd, remote, state, more, [kind, n, code])
                _only_whole_files(meddled_hub, *more, *uploads)
                uploads += more
                remote.missing([more[0].name])
                assert kind in ("remove", "close") or meddled_hub.leftovers() == [], (kind, n, code)
                assert _new(meddled_hub, state) == ([done.state] if done else []), (kind, n, code)
                state = done or state


def _meddled_advance(
    sshd: Sshd, remote: SftpRemote, state: Remembered, uploads: list[Upload], rule: list[object]
) -> Remembered | None:
    with sshd.meddling(status=[rule]):
        try:
            return remote.advance(MAIN, state.state, uploads[1].name.id, MOVER, uploads)
        except RemoteRefused:
            return None


def _new(hub: Hub, state: Remembered) -> list[RefState]:
    return [new for new, _ in FolderRemote(hub.top).read_refs({MAIN: state})[MAIN]]


@pytest.mark.parametrize("free_kib", [64, 300])
def test_a_full_disk_is_noticed_before_anything_is_sent(small_disk: Hub, tmp_path: Path, free_kib: int) -> None:
    _fill(small_disk, free_kib)
    uploads = [an_object(tmp_path, 200_000) for _ in range(3)]
    with small_disk.sftp() as remote:
        with pytest.raises(RemoteFull, match=r"sftp://.*objects/.* bytes are free") as caught:
            remote.advance(MAIN, None, uploads[0].name.id, MOVER, uploads)
        assert remote.bytes_sent < 5000
    assert caught.value.exit == 16
    assert [path for path in (small_disk.top / "objects").rglob("*") if not path.is_dir()] == []
    assert small_disk.leftovers() == []
    assert small_disk.records() == []


def test_a_disk_that_fills_up_half_way(small_disk: Hub, sshd: Sshd, tmp_path: Path) -> None:
    """Fault 3. Without statvfs before, as when somebody else takes the room meanwhile."""
    for free in range(40, 800, 90):
        _fill(small_disk, free)
        uploads = [an_object(tmp_path, 300_000) for _ in range(3)]
        hub = Hub(small_disk.top, "meddled", sshd)
        with (
            sshd.meddling(status=[["statvfs", 1, 8]]),
            hub.sftp() as remote,
            pytest.raises(RemoteFull, match="bytes are free"),
        ):
            remote.advance(MAIN, None, uploads[0].name.id, MOVER, uploads)
        _only_whole_files(hub, *uploads)
        assert hub.records() == []
        assert hub.leftovers() == []
        for path in (hub.top / "objects").rglob("*.*"):
            path.unlink()


def test_a_disk_without_inodes(small_disk: Hub, tmp_path: Path) -> None:
    number = 0
    try:
        while True:
            (small_disk.top.parent / f"file-{number}").touch()
            number += 1
    except OSError:
        pass
    with small_disk.sftp() as remote, pytest.raises(RemoteFull):
        remote.publish([an_object(tmp_path)])
    assert small_disk.leftovers() == []


def _fill(hub: Hub, leave_kib: int) -> None:
    """Take all room but so much, with one file beside the hub."""
    filler = hub.top.parent / "filler"
    filler.unlink(missing_ok=True)
    room = os.statvfs(hub.top.parent)
    with filler.open("wb") as file:
        file.write(b"\0" * (room.f_bavail * room.f_frsize - leave_kib * 1024))
