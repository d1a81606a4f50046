"""What a hub must do, over SFTP or as a folder: keep write-once files and give them back.

Promises that every remote keeps, held by one contract suite: an object or record appears whole and durable or not at
all; publishing over an existing name never changes it; every byte is checked on both ways; nothing is ever locked. A
``task`` is advanced by bytes of objects and by objects: of uploads those that are acknowledged, or were there already,
so that in the end it got all of them; of a fetch those that arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from prontosync.disk.refs import Mover, RefState
from prontosync.errors import Damaged, NoSpace, Refused, Unreachable
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.names import RefName
from prontosync.model.progress import UNTOLD, Task


class RemoteUnreachable(Unreachable):
    """DNS, connection, time-out, end of stream; may pass by itself."""

    id = "unreachable"


class RemoteRefused(Refused):
    """Login, host key, permission: not tried again."""

    id = "remote-refused"


class RemoteFull(NoSpace):
    id = "remote-full"


class RemoteDamaged(Damaged):
    """What the remote holds is not what it should be: bytes, sizes, records."""

    id = "remote-damaged"


class RolledBack(Damaged):
    """The remote's ref log is shorter than, or differs from, what was seen before."""

    id = "rolled-back"


@dataclass(frozen=True)
class Upload:
    """An object to publish, and the file that holds its bytes."""

    name: ObjectName
    source: Path
    size: int


@dataclass(frozen=True)
class Remembered:
    """What this machine last knew of a remote ref: the newest record's bytes, checked then."""

    state: RefState
    data: bytes


class Remote(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def round_trips(self) -> int:
        """Waits for the other side since the login, a pipelined stage counting once."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...

    def hub_id(self) -> str:
        """The repository id in ``format.json``. Raises NotFound where there is no hub, RepositoryError for a newer."""
        ...

    def create(self, repository: str) -> None:
        """Make an empty hub here with this id. Raises Refused where something else is there."""
        ...

    def read_refs(self, remembered: dict[RefName, Remembered | None]) -> dict[RefName, list[tuple[RefState, bytes]]]:
        """For each named ref its new records since what is remembered (all records where nothing is), oldest first,
        chain checked from the remembered one on; an empty list where nothing is new or there is no such ref.

        In one stage of round trips for all names where nothing moved. Raises RolledBack where the remembered record is
        not there or is another, BrokenChain (``disk.refs``) where a record does not follow. Where the newest
        acknowledged record is missing, its predecessor is intact and newest and the commit it names is there, it is
        linked again from ``remembered`` (a power cut on the hub) instead of raising.
        """
        ...

    def list_refs(self) -> list[RefName]:
        """The refs that have a record. Names that are not ref names are left out. For first contact only."""
        ...

    def advance(
        self,
        name: RefName,
        current: RefState | None,
        new: ObjectId | None,
        mover: Mover,
        uploads: Sequence[Upload] = (),
        task: Task = UNTOLD,
    ) -> Remembered | None:
        """Publish ``uploads``, then move the ref on from ``current`` by one record. None where another client moved it
        first (the uploads stay). Uploads that are there already are fine. All writes in pipelined stages; the record
        is linked only when every upload is acknowledged, synced and linked. Raises RemoteFull naming path and free
        bytes, RolledBack where the record of ``current`` is gone."""
        ...

    def publish(self, uploads: Sequence[Upload], task: Task = UNTOLD) -> None:
        """Publish objects without moving a ref."""
        ...

    def missing(self, names: Sequence[ObjectName]) -> list[ObjectName]:
        """Those of the named objects that the remote lacks, in one pipelined stage."""
        ...

    def fetch(
        self, wanted: Iterable[tuple[ObjectName, int | None]], folder: Path, task: Task = UNTOLD
    ) -> Iterator[tuple[ObjectName, Path | None]]:
        """Download objects, pipelined, each into a temporary file in ``folder`` (fsynced, mode 0444), verified against
        its name, never more bytes than the expected size (where given) plus one. Yields as they arrive, in no order;
        None where the remote has no such object. Raises RemoteDamaged naming the object whose bytes are wrong; its file
        is removed."""
        ...

    def probe(self) -> list[str]:
        """Try what this remote must do, for ``remote add`` and ``check``: publishing over an existing name must fail,
        exclusive creation must hold, links must work (else Refused, with the reason). Returns warnings, such as a
        missing fsync, and says which of the hub's refs other than its own this account could move."""
        ...
