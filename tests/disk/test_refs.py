"""Refs as append-only logs, with real processes that race and die."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from prontosync.disk import files
from prontosync.disk.refs import BrokenChain, FolderRefs, Mover, RefMissing, RefMoved, RefState, record_path
from prontosync.errors import Damaged
from prontosync.model import encoding
from prontosync.model.ids import ObjectId, object_id
from prontosync.model.names import RefName

HUB = "11111111-2222-3333-4444-555555555555"
MAIN = RefName("main")
MOVER = Mover("012", "2026-11-24T06:39:31Z")


def target(n: int) -> ObjectId:
    return object_id(str(n).encode())


@pytest.fixture
def refs(tmp_path: Path) -> FolderRefs:
    return FolderRefs(tmp_path, HUB)


def advance(refs: FolderRefs, count: int, name: RefName = MAIN) -> RefState:
    state = refs.read(name)
    for n in range(count):
        state = refs.advance_if_at(name, state, target(n), MOVER)
    assert state is not None
    return state


def test_a_ref_that_never_was(refs: FolderRefs) -> None:
    assert refs.read(MAIN) is None
    assert refs.target(MAIN) is None
    assert list(refs.log(MAIN)) == []
    assert list(refs.names()) == []
    with pytest.raises(RefMissing):
        refs.at(MAIN, 1)


def test_a_log_newest_first(refs: FolderRefs) -> None:
    advance(refs, 3)
    assert [state.generation for state in refs.log(MAIN)] == [3, 2, 1]
    assert [state.target for state in refs.log(MAIN)] == [target(2), target(1), target(0)]
    assert refs.read(MAIN) == next(refs.log(MAIN))
    assert refs.at(MAIN, 2).record.old == target(0)


def test_only_the_newest_moves_on(refs: FolderRefs) -> None:
    old = advance(refs, 1)
    new = refs.advance_if_at(MAIN, old, target(7), MOVER)
    for stale in (old, None):
        with pytest.raises(RefMoved) as caught:
            refs.advance_if_at(MAIN, stale, target(8), MOVER)
        assert caught.value.exit == 15
    assert refs.read(MAIN) == new


def test_a_deleted_ref_remembers(refs: FolderRefs) -> None:
    state = advance(refs, 1)
    refs.advance_if_at(MAIN, state, None, MOVER)
    gone = refs.read(MAIN)
    assert gone is not None
    assert (gone.target, gone.generation) == (None, 2)
    assert list(refs.names()) == [MAIN]


def test_names_at_any_depth(refs: FolderRefs) -> None:
    for name in ("stores/012", "main", "tags/v1", "stores/012/extra"):
        advance(refs, 1, RefName(name))
    assert list(refs.names()) == ["main", "stores/012", "stores/012/extra", "tags/v1"]


def write(refs: FolderRefs, generation: int, data: bytes) -> None:
    path = refs.top / record_path(MAIN, generation)
    path.unlink(missing_ok=True)
    files.add_if_new(path, data)


def at_generation(refs: FolderRefs, generation: int) -> RefState:
    """A ref whose last two records are the ones before ``generation`` and it, as if all the others had been made."""
    record = msgspec.structs.replace(advance(refs, 2).record, generation=generation - 1)
    write(refs, generation - 1, encoding.encode(record))
    before = refs.at(MAIN, generation - 1)
    return refs.advance_if_at(MAIN, before, target(generation), MOVER)


@pytest.mark.parametrize("generation", [999, 1_000, 1_001, 2_000, 1_000_000])
def test_thousands_of_moves(refs: FolderRefs, generation: int) -> None:
    state = at_generation(refs, generation)
    assert refs.read(MAIN) == state
    assert refs.advance_if_at(MAIN, state, None, MOVER).generation == generation + 1


def test_a_crash_between_a_new_folder_and_its_first_record(refs: FolderRefs) -> None:
    state = at_generation(refs, 999)
    folder = (refs.top / record_path(MAIN, 1_000)).parent
    folder.mkdir()
    assert refs.read(MAIN) == state
    files.write_temporary(folder, b"never linked")
    assert refs.read(MAIN) == state
    assert refs.advance_if_at(MAIN, state, target(0), MOVER).generation == 1_000


def test_a_crash_before_the_link_leaves_the_old(refs: FolderRefs, monkeypatch: pytest.MonkeyPatch) -> None:
    state = advance(refs, 1)

    def dying(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "link_into_place", dying)
    with pytest.raises(KeyboardInterrupt):
        refs.advance_if_at(MAIN, state, target(2), MOVER)
    monkeypatch.undo()
    assert refs.read(MAIN) == state
    assert refs.advance_if_at(MAIN, state, target(2), MOVER).generation == 2


def test_strange_names_in_the_folder(refs: FolderRefs) -> None:
    state = advance(refs, 2)
    folder = (refs.top / record_path(MAIN, 1)).parent
    for name in ("9", "0000000000003", "٣" * 12, "-00000000003", "latest", "000000000003~"):
        (folder / name).write_bytes(b"")
    (folder.parent / "9").mkdir()
    (folder.parent / "99999999999999999999").mkdir()
    assert refs.read(MAIN) == state


def changed(state: RefState, **fields: object) -> bytes:
    return encoding.encode(msgspec.structs.replace(state.record, **fields))


@pytest.mark.parametrize(
    "forge",
    [
        lambda s: changed(s, hub="another"),
        lambda s: changed(s, ref="other"),
        lambda s: changed(s, generation=4),
        lambda s: changed(s, previous=target(99)),
        lambda s: changed(s, old=target(99)),
        lambda s: changed(s, previous=None),
        lambda s: changed(s, new="../../x"),
        lambda s: changed(s, previous="X" * 64),
        lambda _: b"",
        lambda _: b"{}",
        lambda s: encoding.encode(s.record) + b" ",
    ],
)
def test_a_record_that_does_not_belong(refs: FolderRefs, forge: Callable[[RefState], bytes]) -> None:
    state = advance(refs, 3)
    write(refs, 3, forge(state))
    with pytest.raises(Damaged) as caught:
        refs.read(MAIN)
    assert caught.value.exit == 14
    with pytest.raises(Damaged):
        list(refs.log(MAIN))


def test_a_gap(refs: FolderRefs) -> None:
    advance(refs, 5)
    (refs.top / record_path(MAIN, 4)).unlink()
    with pytest.raises(BrokenChain):
        refs.read(MAIN)
    write(refs, 4, b"")
    with pytest.raises(Damaged):
        refs.read(MAIN)


def test_a_gap_further_down(refs: FolderRefs) -> None:
    advance(refs, 5)
    (refs.top / record_path(MAIN, 2)).unlink()
    assert refs.read(MAIN) is not None
    with pytest.raises(BrokenChain):
        list(refs.log(MAIN))


_RACER = """
import sys
from pathlib import Path
from prontosync.disk.refs import FolderRefs, Mover, RefMoved
from prontosync.model.ids import object_id
refs, me, wanted = FolderRefs(Path(sys.argv[1]), sys.argv[2]), sys.argv[3], int(sys.argv[4])
mover = Mover(me, "2026-11-24T06:39:31Z")
print("ready", flush=True)
n = 0
while n < wanted or wanted < 0:
    try:
        refs.advance_if_at("main", refs.read("main"), object_id(f"{me} {n}".encode()), mover)
    except RefMoved:
        continue
    n += 1
"""


def racer(refs: FolderRefs, me: str, count: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _RACER, str(refs.top), HUB, me, str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def finish(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=60)
    return process.returncode


def test_many_processes_advance_one_ref(refs: FolderRefs) -> None:
    racers, count = 6, 20
    assert [finish(p) for p in [racer(refs, str(n), count) for n in range(racers)]] == [0] * racers
    log = list(refs.log(MAIN))
    assert [state.generation for state in log] == list(range(racers * count, 0, -1))
    expected = {object_id(f"{me} {n}".encode()) for me in range(racers) for n in range(count)}
    assert {state.target for state in log} == expected


def test_writers_that_are_killed_leave_a_sound_log(refs: FolderRefs) -> None:
    rng, seen = random.Random(5), 0
    for attempt in range(6):
        process = racer(refs, str(attempt), -1)
        time.sleep(rng.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        finish(process)
        log = [state.generation for state in refs.log(MAIN)]
        assert log == list(range(len(log), 0, -1))
        assert len(log) >= seen
        seen = len(log)
    assert advance(refs, 1).generation == seen + 1
