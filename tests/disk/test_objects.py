"""Object stores: one suite for every kind, then what only a folder can suffer."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prontosync.disk import files
from prontosync.disk.objects import (
    DamagedObject,
    FolderObjectStore,
    MemoryObjectStore,
    MissingObject,
    ObjectStore,
    OverlayObjectStore,
    ScratchObjectStore,
)
from prontosync.errors import Damaged
from prontosync.model.ids import ObjectId, ObjectName, object_id

Maker = Callable[[Path], ObjectStore]
KINDS: dict[str, Maker] = {
    "memory": lambda _: MemoryObjectStore(),
    "folder": FolderObjectStore,
    "scratch": ScratchObjectStore,
    "overlay": lambda top: OverlayObjectStore(
        FolderObjectStore(top / "upper"), FolderObjectStore(top / "lower"), sparing=True
    ),
}


@pytest.fixture(params=sorted(KINDS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return KINDS[request.param](tmp_path)


class TestEveryStore:
    def test_what_was_added_can_be_read(self, store: ObjectStore) -> None:
        for data in (b"", b"x", bytes(3 << 20)):
            name = store.add(data, "json")
            assert name == ObjectName(object_id(data), "json")
            assert store.has(name)
            assert store.read(name) == data

    def test_adding_twice_is_adding_once(self, store: ObjectStore) -> None:
        assert store.add(b"x", "json") == store.add(bytearray(b"x"), "json")
        assert list(store.names()) == [ObjectName(object_id(b"x"), "json")]

    def test_the_kind_of_file_is_part_of_the_name(self, store: ObjectStore) -> None:
        store.add(b"x", "json")
        assert not store.has(ObjectName(object_id(b"x"), "parquet"))

    def test_what_is_missing(self, store: ObjectStore) -> None:
        name = ObjectName(object_id(b"never"), "json")
        assert not store.has(name)
        with pytest.raises(MissingObject) as caught:
            store.read(name)
        assert caught.value.exit == 14

    def test_a_batch_can_be_read_inside_and_after(self, store: ObjectStore) -> None:
        with store.batch():
            name = store.add(b"x", "parquet")
            assert store.has(name)
            assert store.read(name) == b"x"
            with store.batch():
                inner = store.add(b"y", "parquet")
        assert {store.read(name), store.read(inner)} == {b"x", b"y"}
        assert set(store.names()) == {name, inner}

    def test_a_failed_batch_does_no_harm(self, store: ObjectStore) -> None:
        with pytest.raises(ValueError, match="no more"), store.batch():
            add_and_fail(store)
        name = store.add(b"x", "json")
        assert store.read(name) == b"x"


def add_and_fail(store: ObjectStore) -> None:
    store.add(b"x", "json")
    raise ValueError("no more")


@pytest.fixture
def folder(tmp_path: Path) -> FolderObjectStore:
    return FolderObjectStore(tmp_path)


def damage(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_objects_lie_where_the_format_says(folder: FolderObjectStore, tmp_path: Path) -> None:
    name = folder.add(b"x", "json")
    path = tmp_path / "objects" / name.id[:2] / f"{name.id[2:]}.json"
    assert path.stat().st_mode & 0o777 == 0o444
    assert folder.verified_path(name) == path
    assert folder.size(name) == 1


def test_any_flipped_bit_is_seen(folder: FolderObjectStore) -> None:
    data = random.Random(1).randbytes(40)
    name = folder.add(data, "parquet")
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        damage(folder.path(name), bytes(changed))
        with pytest.raises(DamagedObject, match=name.id):
            folder.read(name)
        with pytest.raises(DamagedObject):
            folder.verified_path(name)


@pytest.mark.parametrize("change", [b"", b"da", b"data and more", b"other"])
def test_any_other_bytes_are_seen(folder: FolderObjectStore, change: bytes) -> None:
    name = folder.add(b"data", "json")
    damage(folder.path(name), change)
    with pytest.raises(DamagedObject):
        folder.read(name)


def test_a_fifo_in_an_objects_place(folder: FolderObjectStore) -> None:
    name = folder.add(b"data", "json")
    folder.path(name).unlink()
    os.mkfifo(folder.path(name))
    with pytest.raises(Damaged):
        folder.read(name)


def test_only_objects_are_listed(folder: FolderObjectStore, tmp_path: Path) -> None:
    name = folder.add(b"x", "json")
    shard = tmp_path / "objects" / name.id[:2]
    for junk in (".tmp-1", "x.json", f"{name.id[2:]}.txt", f"{name.id[2:]}", f"{name.id[2:].upper()}.json"):
        (shard / junk).write_bytes(b"")
    (shard / f"{'0' * 62}.json").symlink_to("/etc/passwd")
    (tmp_path / "objects" / "zz").mkdir()
    (tmp_path / "objects" / "stray").write_bytes(b"")
    assert list(folder.names()) == [name]


def test_a_disk_that_fills_up_in_a_batch(folder: FolderObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = files.sync_file, iter(range(100))

    def failing(path: Path) -> None:
        if next(count) == 2:
            raise files.NoSpaceHere("full")
        real(path)

    monkeypatch.setattr(files, "sync_file", failing)
    with pytest.raises(files.NoSpaceHere), folder.batch():
        names = [folder.add(bytes([n]), "json") for n in range(5)]
    monkeypatch.undo()
    assert list(folder.names()) == []
    assert list((folder.top / "tmp").iterdir()) == []
    assert not any(folder.has(name) for name in names)
    assert [folder.read(folder.add(bytes([n]), "json")) for n in range(5)] == [bytes([n]) for n in range(5)]


_WRITER = """
import sys
from pathlib import Path
from prontosync.disk.objects import FolderObjectStore
store, n = FolderObjectStore(Path(sys.argv[1])), 0
print("ready", flush=True)
while True:
    with store.batch():
        for _ in range(4):
            n += 1
            store.add(str(n).encode() * 2_000, "json")
"""


def test_a_killed_writer_leaves_whole_objects(folder: FolderObjectStore) -> None:
    rng = random.Random(7)
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(folder.top)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(rng.random() * 0.1)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        for name in folder.names():
            assert folder.read(name)
    assert folder.read(folder.add(b"1" * 2_000, "json"))


def test_an_overlay_spares_what_lies_below(tmp_path: Path) -> None:
    upper, lower = FolderObjectStore(tmp_path / "u"), FolderObjectStore(tmp_path / "l")
    name = lower.add(b"x", "json")
    overlay = OverlayObjectStore(upper, lower, sparing=True)
    assert overlay.add(b"x", "json") == name
    assert list(upper.names()) == []
    overlay.add(b"y", "json")
    assert list(lower.names()) == [name]
    OverlayObjectStore(upper, lower, sparing=False).add(b"x", "json")
    assert upper.has(name)


def test_an_id_is_the_hash_of_the_bytes() -> None:
    assert object_id(b"") == ObjectId("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
