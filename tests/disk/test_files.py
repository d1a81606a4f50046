"""The one door to our disk: what is written is whole, or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from prontosync.disk import files
from prontosync.errors import ProntoError


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.name.startswith(".tmp-")]


def test_a_name_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "x"
    assert files.add_if_new(path, b"one")
    assert not files.add_if_new(path, b"two")
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o444
    assert leftovers(tmp_path) == []


def test_of_two_that_race_one_wins(tmp_path: Path) -> None:
    first, second = (files.write_temporary(tmp_path, data) for data in (b"one", b"two"))
    assert files.link_into_place(first, tmp_path / "x")
    assert not files.link_into_place(second, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"one"
    assert leftovers(tmp_path) == []


def test_replacing(tmp_path: Path) -> None:
    files.replace(tmp_path / "x", b"one")
    files.replace(tmp_path / "x", b"two")
    assert files.read_bytes(tmp_path / "x") == b"two"
    assert leftovers(tmp_path) == []


def test_replacing_by_pieces_that_end_in_an_error(tmp_path: Path) -> None:
    files.replace_by_pieces(tmp_path / "x", [b"on", b"e"])

    def failing() -> object:
        yield b"tw"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        files.replace_by_pieces(tmp_path / "x", failing())  # type: ignore[arg-type]
    assert files.read_bytes(tmp_path / "x") == b"one"
    assert leftovers(tmp_path) == []


def test_lines(tmp_path: Path) -> None:
    for line in (b"one\n", b"two\n"):
        files.append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


def test_removing_what_is_gone(tmp_path: Path) -> None:
    files.remove(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "link to a fifo", "device", "below a file"])
def test_only_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link to a fifo":
        os.mkfifo(tmp_path / "fifo")
        path.symlink_to(tmp_path / "fifo")
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "below a file":
        (tmp_path / "file").write_bytes(b"")
        path = tmp_path / "file" / "x"
    with pytest.raises(ProntoError):
        files.read_bytes(path)


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 16), (errno.EDQUOT, 16), (errno.EACCES, 13), (errno.EROFS, 13), (errno.EIO, 13)]
)
@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_what_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: int
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(ProntoError) as caught:
        files.add_if_new(tmp_path / "x", b"data")
    monkeypatch.undo()
    assert caught.value.exit == code
    assert str(tmp_path) in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    files.add_if_new(tmp_path / "x", bytes(range(200)))
    monkeypatch.undo()
    assert (tmp_path / "x").read_bytes() == bytes(range(200))


def test_free_space_of_a_folder_to_come(tmp_path: Path) -> None:
    assert files.free_bytes(tmp_path / "not" / "yet") > 0
