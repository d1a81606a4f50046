"""Where objects are kept: write-once files named by the hash of their bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from prontosync.disk import files
from prontosync.errors import Damaged
from prontosync.model.ids import Buffer, ObjectId, ObjectName, Suffix, is_object_id, object_id


class MissingObject(Damaged):
    id = "missing-object"


class DamagedObject(Damaged):
    """Bytes that are not those the name was given for."""

    id = "damaged-object"


class ObjectStore(Protocol):
    """Promises: what was added can be read back for ever; adding twice is like once; nothing is read unverified."""

    def has(self, name: ObjectName) -> bool:
        """Whether there is such an object (its bytes are not looked at)."""
        ...

    def read(self, name: ObjectName) -> bytes:
        """The verified bytes. Raises MissingObject or DamagedObject."""
        ...

    def add(self, data: Buffer, suffix: Suffix) -> ObjectName:
        """Keep these bytes. Within ``batch`` they may become durable only at its end."""
        ...

    def batch(self) -> AbstractContextManager[None]:
        """A context at whose end everything added inside is durable; cheaper than one by one."""
        ...

    def names(self) -> Iterator[ObjectName]:
        """Every object, in no order."""
        ...


class MemoryObjectStore:
    """An ObjectStore that forgets."""

    def __init__(self) -> None:
        self._objects: dict[ObjectName, bytes] = {}

    def has(self, name: ObjectName) -> bool:
        return name in self._objects

    def read(self, name: ObjectName) -> bytes:
        if name not in self._objects:
            raise MissingObject(f"object {name.id} is missing")
        return self._objects[name]

    def add(self, data: Buffer, suffix: Suffix) -> ObjectName:
        name = ObjectName(object_id(data), suffix)
        self._objects[name] = bytes(data)
        return name

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield

    def names(self) -> Iterator[ObjectName]:
        return iter(list(self._objects))


class FolderObjectStore:
    """An ObjectStore in the folder that holds ``objects/``."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self._pending: list[tuple[Path, Path]] | None = None
        self._known: set[ObjectName] = set()

    def path(self, name: ObjectName) -> Path:
        """Where the object lies, whether or not it is there."""
        return self.top / name.path

    def has(self, name: ObjectName) -> bool:
        return name in self._known or self.path(name).is_file()

    def size(self, name: ObjectName) -> int:
        """Bytes on disk. Raises MissingObject."""
        try:
            return self.path(name).stat().st_size
        except FileNotFoundError:
            raise _missing(name) from None

    def read(self, name: ObjectName) -> bytes:
        try:
            data = files.read_bytes(self._readable(name))
        except files.FileMissing:
            raise _missing(name) from None
        if object_id(data) != name.id:
            raise DamagedObject(f"object {name.id} is damaged", "get it again from a remote: prontosync fetch --repair")
        return data

    def verified_path(self, name: ObjectName) -> Path:
        """The object's path, after its bytes were found to be right. Raises MissingObject or DamagedObject."""
        self.read(name)
        return self._readable(name)

    def add(self, data: Buffer, suffix: Suffix) -> ObjectName:
        name = ObjectName(object_id(data), suffix)
        if name in self._known:
            return name
        path = self.path(name)
        if not path.exists():
            self._write(path, data)
        self._known.add(name)
        return name

    def adopt(self, name: ObjectName, path: Path) -> None:
        """Take over a file whose bytes were verified against ``name`` and synced, and which is on this file system."""
        files.link_into_place(path, self.path(name))
        self._known.add(name)

    def put_right(self, name: ObjectName, path: Path) -> None:
        """The same for an object that is there with the wrong bytes, or not at all; durable."""
        files.move_into_place(path, self.path(name))
        self._known.add(name)

    def remove_damaged(self) -> None:
        """Remove what is not what its name says. Only for a store whose objects can all be computed again."""
        for name in list(self.names()):
            try:
                self.read(name)
            except Damaged:
                files.remove(self.path(name))
                self._known.discard(name)

    def sync(self, names: Iterable[ObjectName]) -> None:
        """Make the names of adopted objects durable."""
        self._sync_folders(self.path(name) for name in names)

    @contextmanager
    def batch(self) -> Iterator[None]:
        if self._pending is not None:
            yield
            return
        self._pending = []
        try:
            yield
            self._publish(self._pending)
        finally:
            self._forget(self._pending)
            self._pending = None

    def names(self) -> Iterator[ObjectName]:
        root = self.top / "objects"
        for shard in sorted(os.scandir(root), key=lambda e: e.name) if root.is_dir() else ():
            if len(shard.name) == 2 and shard.is_dir(follow_symlinks=False):
                yield from _names_in(shard.name, shard.path)

    def _write(self, path: Path, data: Buffer) -> None:
        if self._pending is None:
            files.add_if_new(path, data)
        else:
            temporary = files.write_temporary(self.top / "tmp", data, sync=False)
            self._pending.append((temporary, path))

    def _readable(self, name: ObjectName) -> Path:
        """An object added in the present batch is still under its temporary name."""
        path = self.path(name)
        if self._pending and not path.exists():
            return next((t for t, p in self._pending if p == path), path)
        return path

    def _publish(self, pending: list[tuple[Path, Path]]) -> None:
        for temporary, _ in pending:
            files.sync_file(temporary)
        for temporary, path in pending:
            files.link_into_place(temporary, path)
        self._sync_folders(path for _, path in pending)
        pending.clear()

    def _sync_folders(self, paths: Iterable[Path]) -> None:
        """The shards, and the folder that they are in: some may be new."""
        shards = list(dict.fromkeys(path.parent for path in paths))
        files.sync_folders([*shards, self.top / "objects"] if shards else [])

    def _forget(self, pending: list[tuple[Path, Path]]) -> None:
        for temporary, _ in pending:
            files.remove(temporary)
        gone = {path for _, path in pending}
        self._known = {name for name in self._known if self.path(name) not in gone} if gone else self._known


class ScratchObjectStore(FolderObjectStore):
    """An ObjectStore for one command: nothing in it is made durable."""

    def _write(self, path: Path, data: Buffer) -> None:
        files.link_into_place(files.write_temporary(self.top / "tmp", data, sync=False), path)


class OverlayObjectStore:
    """Reads from two stores and writes to the upper only. ``sparing``: what the lower holds is not written again."""

    def __init__(self, upper: FolderObjectStore, lower: ObjectStore, sparing: bool) -> None:
        self.upper, self.lower, self._sparing = upper, lower, sparing

    def has(self, name: ObjectName) -> bool:
        return self.upper.has(name) or self.lower.has(name)

    def read(self, name: ObjectName) -> bytes:
        return (self.upper if self.upper.has(name) else self.lower).read(name)

    def verified_path(self, name: ObjectName) -> Path:
        """As of a folder; only where both stores are folders, or the lower is such an overlay itself."""
        store = self.upper if self.upper.has(name) else self.lower
        assert isinstance(store, FolderObjectStore | OverlayObjectStore)
        return store.verified_path(name)

    def add(self, data: Buffer, suffix: Suffix) -> ObjectName:
        name = ObjectName(object_id(data), suffix)
        return name if self._sparing and self.lower.has(name) else self.upper.add(data, suffix)

    def batch(self) -> AbstractContextManager[None]:
        return self.upper.batch()

    def names(self) -> Iterator[ObjectName]:
        yield from self.upper.names()
        yield from self.lower.names()


def _names_in(shard: str, path: str) -> Iterator[ObjectName]:
    for entry in os.scandir(path):
        stem, _, suffix = entry.name.partition(".")
        identity = shard + stem
        if is_object_id(identity) and entry.is_file(follow_symlinks=False):
            if suffix == "json":
                yield ObjectName(ObjectId(identity), "json")
            elif suffix == "parquet":
                yield ObjectName(ObjectId(identity), "parquet")


def _missing(name: ObjectName) -> MissingObject:
    return MissingObject(f"object {name.id} is missing", "get it again from a remote: prontosync fetch --repair")
