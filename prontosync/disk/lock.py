"""One writer at a time in a repository: an advisory lock that the kernel drops when its holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prontosync.disk import files
from prontosync.errors import Busy


class RepositoryBusy(Busy):
    id = "repository-busy"


@contextmanager
def repository_lock(path: Path) -> Iterator[None]:
    """Hold the lock for the block. Raises RepositoryBusy at once where another process holds it; enters again in one
    process freely."""
    import filelock

    lock = filelock.FileLock(path, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RepositoryBusy("another run is working in this repository", "wait until it has finished") from None
    except OSError as error:
        with files.translated(path):
            raise error
    try:
        yield
    finally:
        lock.release()
