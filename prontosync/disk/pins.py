"""Pins: what the live database held in the disputed rows of a commit. Files only; their rows are ``history``'s."""

from __future__ import annotations

from pathlib import Path

from prontosync.disk import files
from prontosync.model.ids import ObjectId, object_id


class PinFiles:
    """``pins/<commit>/<table>.parquet``; a table's name is hashed, because it can be anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, commit: ObjectId, table: str, data: bytes) -> None:
        """Durable before it returns."""
        files.replace(self._path(commit, table), data, files.READ_ONLY)

    def read(self, commit: ObjectId, table: str) -> bytes | None:
        """The bytes, or None where nothing was pinned."""
        try:
            return files.read_bytes(self._path(commit, table))
        except files.FileMissing:
            return None

    def keep_only(self, commits: set[ObjectId]) -> None:
        """Forget the pins of all other commits."""
        if self.folder.is_dir():
            import shutil

            for entry in self.folder.iterdir():
                if entry.name not in commits:
                    shutil.rmtree(entry, ignore_errors=True)

    def _path(self, commit: ObjectId, table: str) -> Path:
        return self.folder / commit / f"{object_id(table.encode())[:32]}.parquet"
