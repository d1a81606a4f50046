"""One object on its way in: a temporary file that is checked against the object's name before anybody sees it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prontosync.disk import files
from prontosync.model.ids import Buffer, ObjectName, object_hasher
from prontosync.model.progress import UNTOLD, Task
from prontosync.remote.contract import RemoteDamaged

MAX_BYTES = {"json": 64 << 20, "parquet": 4 << 30}
"""What is read at most of an object whose size nobody has vouched for."""


class Download:
    """Takes an object's bytes in order. ``finish`` or ``discard`` ends it; nothing is left behind by ``discard``, and
    ``task`` is told that its bytes must come again."""

    def __init__(self, name: ObjectName, size: int | None, folder: Path, url: str, task: Task = UNTOLD) -> None:
        self.name, self.size, self.url, self._task = name, size, url, task
        self.received = self._told = 0
        self._hasher = object_hasher()
        self.path = files.write_temporary(folder, b"", mode=0o600, sync=False)
        self._file = open(self.path, "wb")  # noqa: SIM115  # closed by finish and discard

    def take(self, data: Buffer) -> None:
        """Raises RemoteDamaged with the first byte too many, NoSpaceHere where this disk is full."""
        self.received += len(data)
        if self.received > self.limit:
            self.discard()
            raise RemoteDamaged(f'object {self.name.id} on "{self.url}" is longer than its {self.limit} bytes')
        self._hasher.update(data)
        with _local(self.path):
            self._file.write(data)
        self._told += len(data)
        self._task.advance(len(data))

    @property
    def limit(self) -> int:
        return MAX_BYTES[self.name.suffix] if self.size is None else self.size

    def finish(self) -> Path:
        """The file, durable and read-only. Raises RemoteDamaged, and removes it, where the bytes are others."""
        if self._hasher.hexdigest() != self.name.id:
            received = self.received
            self.discard()
            raise RemoteDamaged(
                f'object {self.name.id} on "{self.url}" is damaged ({received} bytes)',
                "remove that file on the hub; then, on a machine that has it: prontosync push --repair",
            )
        with _local(self.path):
            self._file.flush()
            os.fchmod(self._file.fileno(), files.READ_ONLY)
            os.fsync(self._file.fileno())
            self._file.close()
        self._told = 0
        self._task.advance(0, 1)
        return self.path

    def discard(self) -> None:
        with suppress(OSError):  # what could not be flushed is thrown away anyway
            self._file.close()
        files.remove(self.path)
        self._task.advance(-self._told)
        self._told = 0


@contextmanager
def _local(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = files.free_bytes(path.parent)
            message = f'no space to write "{path}": {free} bytes are free'
            raise files.NoSpaceHere(message, "make room, then run it again") from None
        raise files.CannotWrite(f'cannot write "{path}": {error.strerror}') from None
