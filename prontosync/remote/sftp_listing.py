"""Finding a hub's refs by listing folders, without believing what the server lists."""

from __future__ import annotations

from prontosync.disk.refs import record_path
from prontosync.model.names import BadName, RefName, ref_name
from prontosync.remote.contract import RemoteDamaged
from prontosync.remote.sftp_files import SftpFiles

MAX_ENTRIES = 500_000
RECORDS = "@"


class SftpListing:
    """One walk through ``refs/``. Links are not followed; names that no ref can have are passed over."""

    def __init__(self, files: SftpFiles) -> None:
        self.files = files
        self._seen = 0

    def refs(self) -> list[RefName]:
        """The refs that have a first record, in name order. Raises RemoteDamaged where there is no end to it."""
        found: list[RefName] = []
        folders = [""]
        while folders:
            folders += self._walk(folders.pop(), found)
        there = self.files.attributes([record_path(name, 1) for name in found])
        return sorted(name for name, record in zip(found, there, strict=True) if record and record.is_file)

    def _walk(self, parent: str, found: list[RefName]) -> list[str]:
        """The folders below ``parent`` that may hold refs; the ref ``parent`` itself goes to ``found``."""
        below = []
        for raw, attributes in self.files.entries(f"refs/{parent}".rstrip("/")):
            self._count()
            if not attributes.is_folder:
                continue
            if raw == RECORDS.encode():
                if _is_ref(parent):
                    found.append(RefName(parent))
                continue
            name = raw.decode(errors="replace")
            path = f"{parent}/{name}" if parent else name
            if "/" not in name and _may_lead_to_refs(path):
                below.append(path)
        return below

    def _count(self) -> None:
        self._seen += 1
        if self._seen > MAX_ENTRIES:
            raise RemoteDamaged(f'"{self.files.url}" lists more than {MAX_ENTRIES} entries below "refs"')


def _is_ref(name: str) -> bool:
    try:
        ref_name(name)
    except BadName:
        return False
    return True


def _may_lead_to_refs(path: str) -> bool:
    return _is_ref(f"{path}/x")
