"""A private copy of a database in rollback-journal mode, where a long reader would make the till's writes fail.

Another process makes it, in one step: it has its own locks, and no second SQLite library opens the live file here.
Measured on 190 MB: the till is held for 0.25 s, against 0.48 s with ``VACUUM INTO``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prontosync.model.progress import SILENT, Progress, Task
from prontosync.sources import copying_child
from prontosync.sources.connection import SourceFull, missing, translated

PERIOD = 0.2
"""Seconds between two looks at how much was copied."""


class CopyFailed(Exception):
    """SQLite's words in the other process. Never leaves this room."""


@contextmanager
def copied(path: Path, folder: Path, busy_seconds: float, progress: Progress = SILENT) -> Iterator[tuple[Path, float]]:
    """The copy, readable by its owner only, and for how many seconds the till was held; removed on leaving.

    Raises SourceBusy, SourceUnfit, SourceMissing, SourceFull.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="copy-", suffix=".db", dir=folder)
    os.close(handle)
    copy = Path(name)
    try:
        yield copy, _copy(path, copy, busy_seconds, progress)
    finally:
        for leftover in (copy, Path(name + "-journal"), Path(name + "-wal"), Path(name + "-shm")):
            leftover.unlink(missing_ok=True)


def _copy(path: Path, copy: Path, busy_seconds: float, progress: Progress) -> float:
    task = {"source": str(path.absolute()), "target": str(copy.absolute()), "busy_seconds": busy_seconds}
    size = path.stat().st_size if path.exists() else None
    with progress.task(f'copying "{path.name}"', size, "bytes") as told:
        code, words, complaint = _run(json.dumps(task), copy, told)
    if code != 0:
        raise translated(CopyFailed(complaint.strip() or "the copy was interrupted"), path)
    answer = json.loads(words)
    if "error" in answer:
        raise _meant(answer["error"], path, copy)
    return float(answer["held"])


def _run(task: str, copy: Path, told: Task) -> tuple[int, str, str]:
    """The other process's exit code, and what it wrote to its output and of errors."""
    command = [sys.executable, "-I", "-S", str(Path(copying_child.__file__))]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            words, complaint = _awaited(child, task, copy, told)
        except BaseException:
            child.kill()
            raise
    return child.returncode, words, complaint


def _awaited(child: subprocess.Popen[str], task: str, copy: Path, told: Task) -> tuple[str, str]:
    given: str | None = task
    size = 0
    while True:
        try:
            return child.communicate(given, timeout=PERIOD)
        except subprocess.TimeoutExpired:
            given, before, size = None, size, copy.stat().st_size
            told.advance(size - before)


def _meant(words: str, path: Path, copy: Path) -> Exception:
    if "disk is full" in words or "disk I/O error" in words:
        return SourceFull(f'no space for a copy of database "{path}" in "{copy.parent}"', "free some space there")
    if not path.exists():
        return missing(path)
    return translated(CopyFailed(words), path)
