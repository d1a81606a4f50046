"""What was last seen of each remote's refs: the newest record's bytes, so that going back is noticed."""

from __future__ import annotations

from pathlib import Path

from prontosync.disk import files
from prontosync.model.ids import ObjectId, object_id
from prontosync.model.names import RefName

_PUSHING = ".pushing"
_SLASH = "%"  # no ref name holds it


class RememberedRecords:
    """One file a remote ref, below ``remembered/<remote>/``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, remote: str, ref: RefName) -> bytes | None:
        try:
            return files.read_bytes(self._path(remote, ref))
        except files.FileMissing:
            return None

    def write(self, remote: str, ref: RefName, data: bytes) -> ObjectId:
        """Durable before it returns; gives the record's address."""
        files.replace(self._path(remote, ref), data)
        return object_id(data)

    def refs(self, remote: str) -> list[RefName]:
        """The refs of a remote that were seen, in name order."""
        folder = self.folder / remote
        if not folder.is_dir():
            return []
        names = (entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        return sorted(RefName(name.replace(_SLASH, "/")) for name in names)

    def forget(self, remote: str) -> None:
        for ref in self.refs(remote):
            files.remove(self._path(remote, ref))
        self.push_ended(remote)

    def push_began(self, remote: str) -> None:
        """Note that objects are being sent, so that a push that is cut is known to have left some there."""
        files.replace(self.folder / remote / _PUSHING, b"")

    def push_ended(self, remote: str) -> None:
        files.remove(self.folder / remote / _PUSHING)

    def push_was_cut(self, remote: str) -> bool:
        return (self.folder / remote / _PUSHING).exists()

    def _path(self, remote: str, ref: RefName) -> Path:
        return self.folder / remote / ref.replace("/", _SLASH)
