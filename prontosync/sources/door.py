"""One SQLite library on one file at a time in this process.

POSIX locks belong to the process: closing any descriptor of a file drops all of its locks, those of another SQLite
library in the same process too, and then a till writes in the middle of what we read. So whoever opens a live file goes
through here, and two libraries never hold one file together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prontosync.errors import ProntoError

_Inode = tuple[int, int]
_open: dict[_Inode, tuple[str, int]] = {}
_guard = threading.Lock()


class TwoLibraries(ProntoError):
    """A second SQLite library was about to open a file: a bug, caught before it could do harm."""

    id = "two-libraries"


@contextmanager
def door(path: Path, library: str) -> Iterator[None]:
    """Hold the file for ``library``. Raises TwoLibraries while another one holds it, FileNotFoundError."""
    inode = _enter(path, library)
    try:
        yield
    finally:
        _leave(inode)


def _enter(path: Path, library: str) -> _Inode:
    status = path.stat()
    inode = (status.st_dev, status.st_ino)
    with _guard:
        holder, count = _open.get(inode, (library, 0))
        if holder != library:
            raise TwoLibraries(f'"{path}" is open in {holder} and was about to be opened in {library}')
        _open[inode] = (library, count + 1)
    return inode


def _leave(inode: _Inode) -> None:
    with _guard:
        holder, count = _open[inode]
        if count == 1:
            del _open[inode]
        else:
            _open[inode] = (holder, count - 1)
