"""What a database's files look like from outside: equal fingerprints mean that nothing was written in between."""

from __future__ import annotations

import os
from pathlib import Path

from prontosync.model.ids import object_id
from prontosync.sources.door import door

_HEADER = 100
_MAGIC = 8
_LOG = "-wal"
FINE_NS, COARSE_NS = 100_000_000, 2_000_000_000
"""A file that was written to just now is not relied on: a second write in one tick of the clock would not show (what
git calls racy). The coarsest file systems tick every two seconds; those that tell parts of a second, every 10 ms."""


def fingerprint(path: Path, now_ns: int) -> str | None:
    """Of the database and its write-ahead log: which files, their sizes and times, their headers with SQLite's own
    change counter. None where that says nothing: just written, in the midst of a transaction, or not there.

    ``now_ns`` is the time in ns since 1970. No SQLite library may hold the file in this process (``sources.door``).
    """
    parts: list[bytes] = []
    path = Path(os.path.realpath(path))  # a log or journal lies beside the file itself, not beside a link to it
    try:
        if _is_hot(path.with_name(path.name + "-journal")):
            return None
        with door(path, "fingerprint"):
            for ending in ("", _LOG):
                part = _of_file(path.with_name(path.name + ending), now_ns)
                if part is None:
                    return None
                parts.append(part)
    except OSError:
        return None
    return object_id(b"\0".join(parts))


def _is_hot(journal: Path) -> bool:
    """Whether a rollback journal holds anything; some modes keep the file, empty or with its header cleared."""
    try:
        with journal.open("rb", buffering=0) as file:
            return any(file.read(_MAGIC))
    except FileNotFoundError:
        return False


def _of_file(path: Path, now_ns: int) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"none"
    try:
        status = os.fstat(fd)
        header = os.pread(fd, _HEADER, 0)
    finally:
        os.close(fd)
    coarse = status.st_mtime_ns % 1_000_000_000 == 0
    if now_ns - max(status.st_mtime_ns, status.st_ctime_ns) < (COARSE_NS if coarse else FINE_NS):
        return None
    # SQLite, where root runs it, sets the log's owner whenever it opens it, which is a change of status and no write.
    changed = 0 if path.name.endswith(_LOG) else status.st_ctime_ns
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, changed)
    return repr(numbers).encode() + header
