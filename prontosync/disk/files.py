"""The one door for writing to our own disk: temporary file beside it, write, fsync, link or rename, fsync the folder.

Foreign errors end here: a full disk is NoSpaceHere (16), a permission is NotAllowed (13).
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prontosync.errors import Damaged, NoSpace, NotFound, Refused
from prontosync.model.ids import Buffer

READ_ONLY = 0o444


class NoSpaceHere(NoSpace):
    id = "no-space-here"


class NotAllowed(Refused):
    id = "not-allowed"


class CannotWrite(Refused):
    id = "cannot-write"


class NotAFile(Damaged):
    """A folder, FIFO or device where a regular file should be."""

    id = "not-a-file"


class FileMissing(NotFound):
    id = "file-missing"


def add_if_new(path: Path, data: Buffer, mode: int = READ_ONLY) -> bool:
    """Write ``data`` under a name that nobody holds yet, durably. False, and nothing written, where the name is taken.

    link(2) never overwrites, so of several writers exactly one gets True.
    """
    if path.exists():
        return False
    fresh = _missing_folders(path.parent)
    temporary = write_temporary(path.parent, data, mode)
    added = link_into_place(temporary, path)
    sync_folders([path.parent, *(folder.parent for folder in fresh)])
    return added


def replace(path: Path, data: Buffer, mode: int = 0o644) -> None:
    """Write ``data`` under ``path``, durably; a reader sees the old bytes or the new ones."""
    fresh = _missing_folders(path.parent)
    temporary = write_temporary(path.parent, data, mode)
    with translated(path):
        os.replace(temporary, path)
    sync_folders([path.parent, *(folder.parent for folder in fresh)])


def replace_by_pieces(path: Path, pieces: Iterable[Buffer], mode: int = 0o644) -> None:
    """The same with bytes that come in pieces; nothing is replaced where they end in an error."""
    temporary = write_temporary(path.parent, b"", mode, sync=False)
    try:
        with translated(path), open(temporary, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        with translated(path):
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            os.unlink(temporary)
    sync_folders([path.parent])


def append_line(path: Path, line: bytes) -> None:
    """Add one line with a single write, so that lines of several processes do not mix."""
    with translated(path):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


def write_temporary(folder: Path, data: Buffer, mode: int = READ_ONLY, sync: bool = True) -> Path:
    """A new file in ``folder`` with these bytes; the caller links or renames it."""
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f".tmp-{os.urandom(8).hex()}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            _write_all(fd, data)
            if sync:
                os.fsync(fd)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(fd)
    return path


def link_into_place(temporary: Path, path: Path) -> bool:
    """Give a temporary file its name and remove the temporary one. False where the name is taken."""
    with translated(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(temporary, path)
            return True
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                os.unlink(temporary)


def _missing_folders(folder: Path) -> list[Path]:
    """The folders that must be made so that this one is there; their own names must become durable too."""
    return list(itertools.takewhile(lambda one: not one.exists(), (folder, *folder.parents)))


def move_into_place(temporary: Path, path: Path) -> None:
    """Give a temporary file, which was synced, the name of another that it replaces; durable."""
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)
    sync_folders([path.parent])


def sync_file(path: Path) -> None:
    """fsync a file that was written without."""
    with translated(path):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync_folders(folders: Iterable[Path]) -> None:
    """fsync folders, so that the names in them outlive a power cut."""
    for folder in dict.fromkeys(folders):
        sync_file(folder)


def remove(path: Path) -> None:
    """Remove a file; a file that is not there is fine."""
    with translated(path), suppress(FileNotFoundError):
        os.unlink(path)


def read_bytes(path: Path) -> bytes:
    """All bytes of a regular file. Raises FileMissing, NotAllowed, and NotAFile where it is something else."""
    with translated(path), open(path, "rb", buffering=0, opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotAFile(f'"{path}" is not a regular file')
        return file.readall()


def free_bytes(path: Path) -> int:
    """What an unprivileged user may still write on the file system of ``path`` (or of its nearest existing parent)."""
    while not path.exists():
        path = path.parent
    stats = os.statvfs(path)
    return stats.f_bavail * stats.f_frsize


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for a writer, where somebody put a FIFO in a file's place."""
    return os.open(path, flags | os.O_NONBLOCK)


def _write_all(fd: int, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _ours(path, error) from error


def _ours(path: Path, error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = free_bytes(path)
        return NoSpaceHere(f'no space to write "{path}": {free} bytes are free', "make room, then run it again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotAllowed(f'not allowed to use "{path}": {error.strerror}')
    if error.errno == errno.ENOENT:
        return FileMissing(f'"{path}" does not exist')
    if error.errno == errno.EISDIR:
        return NotAFile(f'"{path}" is not a regular file')
    return CannotWrite(f'cannot use "{path}": {error.strerror}')
