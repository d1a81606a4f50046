"""Refs as append-only logs: a folder of write-once records, ``refs/<name>/@/<thousands>/<generation>``.

A ref moves when a record of the next generation is linked into place; link(2) never overwrites, so of several writers
one wins. No lock, hence no stale one. The same rules hold here and on a hub (``remote``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prontosync.disk import files
from prontosync.errors import Damaged, Moved, NotFound
from prontosync.model import encoding
from prontosync.model.ids import ObjectId, object_id
from prontosync.model.names import RefName
from prontosync.model.objects import RefRecord, decode_record

PER_FOLDER = 1000


class RefMissing(NotFound):
    id = "ref-missing"


class RefMoved(Moved):
    """Somebody else moved the ref first."""

    id = "ref-moved"


class BrokenChain(Damaged):
    """A record that is not the next one of its ref: another ref or hub, a gap, a wrong hash."""

    id = "broken-chain"


@dataclass(frozen=True)
class RefState:
    """A ref as it stands: its newest record, and that record's address."""

    record: RefRecord
    id: ObjectId

    @property
    def target(self) -> ObjectId | None:
        return self.record.new

    @property
    def generation(self) -> int:
        return self.record.generation


@dataclass(frozen=True)
class Mover:
    """Who moves a ref, for its record: the store's name and the time, RFC 3339 in UTC."""

    store: str
    time: str


def record_path(name: RefName, generation: int) -> str:
    """Where the record of a generation lies below a repository or hub folder."""
    return f"refs/{name}/@/{generation // PER_FOLDER:09d}/{generation:012d}"


def next_record(hub: str, name: RefName, current: RefState | None, new: ObjectId | None, mover: Mover) -> RefRecord:
    """The record that moves a ref on from ``current`` (None: it does not exist yet)."""
    return RefRecord(
        hub=hub,
        ref=name,
        generation=current.generation + 1 if current else 1,
        previous=current.id if current else None,
        old=current.target if current else None,
        new=new,
        store=mover.store,
        time=mover.time,
        nonce=os.urandom(16).hex(),
        requires=(),
        signature=None,
    )


def check_record(data: bytes, hub: str, name: RefName, generation: int, before: RefState | None = None) -> RefState:
    """The state that a record's bytes stand for. Raises BrokenChain where they belong elsewhere or do not follow
    ``before``."""
    record = decode_record(data)
    if record.hub != hub:
        raise BrokenChain(f'ref "{name}", generation {generation}: the record belongs to another repository')
    if record.ref != name or record.generation != generation:
        raise BrokenChain(
            f'ref "{name}", generation {generation}: the record says "{record.ref}", generation {record.generation}'
        )
    if before is not None and (record.previous != before.id or record.old != before.target):
        raise BrokenChain(f'ref "{name}", generation {generation}: it does not follow generation {before.generation}')
    return RefState(record, object_id(data))


class FolderRefs:
    """The refs below a folder on this machine."""

    def __init__(self, top: Path, hub: str) -> None:
        self.top, self.hub = top, hub

    def read(self, name: RefName) -> RefState | None:
        """The newest state, or None where the ref never was. A deleted ref has a state whose target is None."""
        newest = self._newest(name)
        if newest == 0:
            return None
        before = self._before(name, newest) if newest > 1 else None
        return check_record(self._bytes(name, newest), self.hub, name, newest, before)

    def target(self, name: RefName) -> ObjectId | None:
        state = self.read(name)
        return state.target if state else None

    def at(self, name: RefName, generation: int) -> RefState:
        """The state after a generation, without checking what came before it. Raises RefMissing."""
        return check_record(self._bytes(name, generation), self.hub, name, generation)

    def log(self, name: RefName) -> Iterator[RefState]:
        """Newest first, each checked against its predecessor."""
        state = self.read(name)
        while state:
            yield state
            if state.generation == 1:
                return
            before = self._before(name, state.generation)
            if before.id != state.record.previous:
                raise BrokenChain(f'ref "{name}", generation {state.generation}: it does not follow the one before')
            state = before

    def advance_if_at(self, name: RefName, current: RefState | None, new: ObjectId | None, mover: Mover) -> RefState:
        """Move the ref on from exactly ``current``. Raises RefMoved where it is elsewhere by now."""
        record = next_record(self.hub, name, current, new, mover)
        data = encoding.encode(record)
        if not files.add_if_new(self.top / record_path(name, record.generation), data):
            raise RefMoved(f'ref "{name}" was moved by another run meanwhile', "run it again")
        return RefState(record, object_id(data))

    def names(self) -> Iterator[RefName]:
        """Every ref that has a record, deleted ones too, in name order."""
        root = self.top / "refs"
        found = []
        for folder, folders, _ in os.walk(root):
            if "@" in folders:
                found.append(Path(folder).relative_to(root).as_posix())
                folders.remove("@")
        return (RefName(name) for name in sorted(found))

    def _before(self, name: RefName, generation: int) -> RefState:
        """The state that a generation followed. Raises BrokenChain where there is a gap."""
        try:
            return self.at(name, generation - 1)
        except RefMissing:
            raise BrokenChain(f'ref "{name}", generation {generation}: the one before is missing') from None

    def _bytes(self, name: RefName, generation: int) -> bytes:
        try:
            return files.read_bytes(self.top / record_path(name, generation))
        except files.FileMissing:
            raise RefMissing(f'ref "{name}" has no generation {generation}') from None

    def _newest(self, name: RefName) -> int:
        folder = self.top / "refs" / name / "@"
        # The newest folder is empty where a writer died between making it and linking its first record.
        for thousands in sorted(_numbers(folder, 9), reverse=True):
            if newest := max(_numbers(folder / f"{thousands:09d}", 12), default=0):
                return newest
        return 0


def _numbers(folder: Path, digits: int) -> Iterator[int]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return iter(())
    return (int(name) for name in names if len(name) == digits and name.isascii() and name.isdigit())
