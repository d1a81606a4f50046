"""A hub that is a folder on this machine, or on a mounted disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prontosync.disk import files
from prontosync.disk.refs import Mover, RefState, next_record, record_path
from prontosync.model import encoding
from prontosync.model.ids import ObjectId, ObjectName, object_id
from prontosync.model.names import BadName, RefName, ref_name
from prontosync.model.progress import UNTOLD, Task
from prontosync.remote import hub_format
from prontosync.remote.contract import Remembered, RemoteDamaged, RemoteFull, RemoteRefused, RolledBack, Upload
from prontosync.remote.download import Download
from prontosync.remote.ref_log import MAX_RECORD_BYTES, NewRecords, RefLog
from prontosync.remote.source import Source

PIECE = 1 << 20
RECORDS = "@"


class FolderRemote:
    """A Remote. Raises RemoteRefused with the reason where the file system has no hard links."""

    def __init__(self, top: Path, url: str | None = None) -> None:
        self.top, self.url = top, url or str(top)
        self.bytes_sent = self.bytes_received = self.round_trips = 0
        self._hub: str | None = None

    def __enter__(self) -> FolderRemote:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def hub_id(self) -> str:
        if self._hub is None:
            self._hub = hub_format.hub_id(self.look([], [hub_format.PATH])[1][0], self.url)
        return self._hub

    def create(self, repository: str) -> None:
        with self._translated():
            self._refuse_strangers()
            for folder in hub_format.FOLDERS:
                (self.top / folder).mkdir(parents=True, exist_ok=True)
            self._check_links()
            if not self.put(hub_format.PATH, hub_format.hub_bytes(repository)):
                raise RemoteRefused(f'there is a hub at "{self.url}" already')
        self._hub = repository

    def read_refs(self, remembered: dict[RefName, Remembered | None]) -> dict[RefName, NewRecords]:
        log = RefLog(self, self._hub)
        return log.read(remembered)

    def list_refs(self) -> list[RefName]:
        with self._translated():
            return sorted(name for name in self._ref_names("") if self._has_record(name))

    def advance(
        self,
        name: RefName,
        current: RefState | None,
        new: ObjectId | None,
        mover: Mover,
        uploads: Sequence[Upload] = (),
        task: Task = UNTOLD,
    ) -> Remembered | None:
        record = next_record(current.record.hub if current else self.hub_id(), name, current, new, mover)
        data = encoding.encode(record)
        if current and not self._is_file(record_path(name, current.generation)):
            raise RolledBack(
                f'ref "{name}" on "{self.url}" has lost generation {current.generation}', "prontosync fetch"
            )
        self.publish(uploads, task)
        if not self.put(record_path(name, record.generation), data):
            return None
        return Remembered(RefState(record, object_id(data)), data)

    def publish(self, uploads: Sequence[Upload], task: Task = UNTOLD) -> None:
        with self._translated():
            waiting = [upload for upload in uploads if not self._has(upload)]
            there = len(uploads) - len(waiting)
            task.advance(sum(upload.size for upload in uploads) - sum(upload.size for upload in waiting), there)
            self._check_room(waiting)
            for upload in waiting:
                self._add(upload)
                task.advance(upload.size, 1)
            shards = [(self.top / upload.name.path).parent for upload in waiting]
            files.sync_folders([*shards, self.top / "objects"] if shards else [])

    def missing(self, names: Sequence[ObjectName]) -> list[ObjectName]:
        with self._translated():
            return [name for name in names if not self._is_file(name.path)]

    def fetch(
        self, wanted: Iterable[tuple[ObjectName, int | None]], folder: Path, task: Task = UNTOLD
    ) -> Iterator[tuple[ObjectName, Path | None]]:
        for name, size in wanted:
            yield name, self._fetch(name, size, folder, task)

    def probe(self) -> list[str]:
        with self._translated():
            self._check_links()
        return []

    def look(self, stats: Sequence[str], reads: Sequence[str]) -> tuple[list[int | None], list[bytes | None]]:
        """As ``RecordFiles.look`` promises."""
        with self._translated():
            return [self._size(path) for path in stats], [self._start_of(path) for path in reads]

    def put(self, path: str, data: bytes) -> bool:
        """As ``RecordFiles.put`` promises."""
        self.bytes_sent += len(data)
        with self._translated():
            return files.add_if_new(self.top / path, data)

    def _has(self, upload: Upload) -> bool:
        size = self._size(upload.name.path)
        if size is not None and size != upload.size:
            raise RemoteDamaged(
                f'"{upload.name.path}" on "{self.url}" has {size} bytes instead of {upload.size}',
                "remove that file on the hub, then publish it again",
            )
        return size is not None

    def _add(self, upload: Upload) -> None:
        data = Source(upload.name.id, upload.size, upload.source).read()
        temporary = files.write_temporary(self.top / "tmp", data)
        files.link_into_place(temporary, self.top / upload.name.path)
        self.bytes_sent += len(data)

    def _fetch(self, name: ObjectName, size: int | None, folder: Path, task: Task) -> Path | None:
        with self._translated():
            if self._size(name.path) is None:
                return None
        download = Download(name, size, folder, self.url, task)
        try:
            with self._opened(name) as pieces:
                for piece in pieces:
                    self.bytes_received += len(piece)
                    download.take(piece)
            return download.finish()
        except BaseException:
            download.discard()
            raise

    @contextmanager
    def _opened(self, name: ObjectName) -> Iterator[Iterator[bytes]]:
        try:
            with open(self.top / name.path, "rb") as file:
                yield iter(lambda: file.read(PIECE), b"")
        except OSError as error:
            raise RemoteDamaged(f'object {name.id} on "{self.url}" cannot be read: {error.strerror}') from None

    def _size(self, path: str) -> int | None:
        try:
            found = os.lstat(self.top / path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            raise RemoteDamaged(f'"{path}" on "{self.url}" is not a regular file')
        return found.st_size

    def _is_file(self, path: str) -> bool:
        return self._size(path) is not None

    def _has_record(self, name: RefName) -> bool:
        try:
            return self._is_file(record_path(name, 1))
        except RemoteDamaged:
            return False

    def _start_of(self, path: str) -> bytes | None:
        if self._size(path) is None:
            return None
        with open(self.top / path, "rb") as file:
            data = file.read(MAX_RECORD_BYTES)
        self.bytes_received += len(data)
        return data

    def _ref_names(self, parent: str) -> Iterator[RefName]:
        """Names of refs by their folders. Links are not followed; names that no ref can have are passed over."""
        with suppress(FileNotFoundError), os.scandir(self.top / "refs" / parent) as entries:
            for entry in entries:
                path = f"{parent}/{entry.name}".lstrip("/")
                if not entry.is_dir(follow_symlinks=False):
                    continue
                if entry.name == RECORDS and _is_ref(parent):
                    yield RefName(parent)
                elif _is_ref(f"{path}/x"):
                    yield from self._ref_names(path)

    def _refuse_strangers(self) -> None:
        known = (*hub_format.FOLDERS, hub_format.PATH)
        strangers = [name for name in os.listdir(self.top) if name not in known] if self.top.exists() else []
        if strangers:
            raise RemoteRefused(f'"{self.url}" is not empty: it holds "{strangers[0]}"')

    def _check_links(self) -> None:
        """Try a link, and that a second one does not replace it."""
        folder = self.top / "tmp"
        first, second = files.write_temporary(folder, b"first"), files.write_temporary(folder, b"second")
        target = folder / f".tmp-{os.urandom(8).hex()}"
        try:
            os.link(first, target)
            if files.link_into_place(second, target) or files.read_bytes(target) != b"first":
                raise RemoteRefused(f'a link on the file system of "{self.url}" replaces the file that is there')
        except OSError as error:
            raise RemoteRefused(
                f'the file system of "{self.url}" has no hard links: {error.strerror}',
                "use a disk with a file system such as ext4, xfs or btrfs",
            ) from None
        finally:
            for path in (first, second, target):
                files.remove(path)

    def _check_room(self, waiting: Sequence[Upload]) -> None:
        needed = sum(upload.size for upload in waiting)
        free = files.free_bytes(self.top)
        if needed > free:
            raise RemoteFull(
                f'no room at "{self.url}": {needed} bytes are needed, {free} bytes are free', "make room there"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except files.NoSpaceHere as error:
            raise RemoteFull(error.message, error.hint) from None
        except (files.NotAllowed, files.CannotWrite, files.FileMissing) as error:
            raise RemoteRefused(error.message, error.hint) from None
        except OSError as error:
            raise RemoteRefused(f'"{self.url}" cannot be used: {error.strerror}') from None


def _is_ref(name: str) -> bool:
    try:
        ref_name(name)
    except BadName:
        return False
    return True
