"""A hub on a plain SFTP server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

import paramiko

from prontosync.disk.refs import PER_FOLDER, Mover, RefState, next_record, record_path
from prontosync.model import encoding
from prontosync.model.ids import ObjectId, ObjectName, object_id
from prontosync.model.names import RefName
from prontosync.model.progress import UNTOLD, Task
from prontosync.remote import hub_format
from prontosync.remote.connection import Address, ConnectionOptions
from prontosync.remote.contract import Remembered, RemoteRefused, RemoteUnreachable, RolledBack, Upload
from prontosync.remote.ref_log import NewRecords, RefLog
from prontosync.remote.sftp_connection import Connection
from prontosync.remote.sftp_download import SftpDownload
from prontosync.remote.sftp_errors import translated
from prontosync.remote.sftp_files import SftpFiles
from prontosync.remote.sftp_listing import SftpListing
from prontosync.remote.sftp_probe import SftpProbe
from prontosync.remote.sftp_upload import Outgoing, SftpUpload, batches
from prontosync.remote.source import Source

T = TypeVar("T")
FETCH_AT_ONCE = 48
GOODBYE = 2.0
"""Seconds given to the last, unimportant replies before the connection is closed."""


class SftpRemote:
    """A Remote. Connects when first used, once; connects anew only after the link failed.

    ``round_trips`` counts from after the login. To be used by one thread.
    """

    def __init__(self, url: str, address: Address, options: ConnectionOptions) -> None:
        self.url = url
        self._address, self._options = address, options
        self._deadline_at = time.monotonic() + options.deadline if options.deadline is not None else None
        self._connection: Connection | None = None
        self._past = [0, 0, 0]
        self._hub: str | None = None

    def __enter__(self) -> SftpRemote:
        return self

    def __exit__(self, *args: object) -> None:
        if self._connection:
            with suppress(OSError, EOFError, paramiko.SSHException):
                self._connection.pipeline.drain(GOODBYE)
            self._discard()

    @property
    def bytes_sent(self) -> int:
        return self._past[0] + (self._connection.pipeline.bytes_sent if self._connection else 0)

    @property
    def bytes_received(self) -> int:
        return self._past[1] + (self._connection.pipeline.bytes_received if self._connection else 0)

    @property
    def round_trips(self) -> int:
        return self._past[2] + (self._connection.pipeline.round_trips if self._connection else 0)

    def hub_id(self) -> str:
        if self._hub is None:
            self._hub = self._run(lambda files: hub_format.hub_id(files.look([], [hub_format.PATH])[1][0], self.url))
        return self._hub

    def create(self, repository: str) -> None:
        self._run(lambda files: self._create(files, hub_format.hub_bytes(repository)))
        self._hub = repository

    def read_refs(self, remembered: dict[RefName, Remembered | None]) -> dict[RefName, NewRecords]:
        return self._run(lambda files: self._read_refs(files, remembered))

    def list_refs(self) -> list[RefName]:
        return self._run(lambda files: SftpListing(files).refs())

    def advance(
        self,
        name: RefName,
        current: RefState | None,
        new: ObjectId | None,
        mover: Mover,
        uploads: Sequence[Upload] = (),
        task: Task = UNTOLD,
    ) -> Remembered | None:
        hub = current.record.hub if current else self.hub_id()
        record = next_record(hub, name, current, new, mover)
        state = Remembered(RefState(record, object_id(data := encoding.encode(record))), data)
        ours = self._run(lambda files: self._advance(files, state, current, uploads, task))
        return state if ours else None

    def publish(self, uploads: Sequence[Upload], task: Task = UNTOLD) -> None:
        self._run(lambda files: self._publish(files, uploads, task))

    def missing(self, names: Sequence[ObjectName]) -> list[ObjectName]:
        found = self._run(lambda files: files.attributes([name.path for name in names]))
        return [name for name, there in zip(names, found, strict=True) if there is None]

    def fetch(
        self, wanted: Iterable[tuple[ObjectName, int | None]], folder: Path, task: Task = UNTOLD
    ) -> Iterator[tuple[ObjectName, Path | None]]:
        source = iter(wanted)
        while batch := list(islice(source, FETCH_AT_ONCE)):
            yield from self._fetch_batch(batch, folder, task)

    def probe(self) -> list[str]:
        refs = self.list_refs()
        return self._run(lambda files: SftpProbe(files, self._options.store).run(refs))

    def _fetch_batch(
        self, batch: list[tuple[ObjectName, int | None]], folder: Path, task: Task
    ) -> Iterator[tuple[ObjectName, Path | None]]:
        for attempt in range(self._options.tries):
            try:
                connection = self._connected()
                with translated(self.url, connection.reason):
                    for name, path in SftpDownload(self._files(connection), folder, task).fetch(batch):
                        batch = [item for item in batch if item[0] != name]
                        yield name, path
                return
            except RemoteUnreachable as error:
                self._give_up_or_wait(attempt, error)

    def _read_refs(self, files: SftpFiles, remembered: dict[RefName, Remembered | None]) -> dict[RefName, NewRecords]:
        log = RefLog(_Records(files, self._options.store), self._hub)
        try:
            return log.read(remembered)
        finally:
            self._hub = log.hub

    def _publish(self, files: SftpFiles, uploads: Sequence[Upload], task: Task) -> None:
        upload = SftpUpload(files, self._options.store, task)
        outgoing = [_outgoing(item) for item in uploads]
        with upload.tidy(outgoing):
            upload.look(outgoing, [])
            self._send(upload, outgoing)

    def _advance(
        self, files: SftpFiles, state: Remembered, current: RefState | None, uploads: Sequence[Upload], task: Task
    ) -> bool:
        """Whether the record at the next generation is ours; also where it was linked by an earlier try."""
        upload = SftpUpload(files, self._options.store, task)
        name, generation = RefName(state.state.record.ref), state.state.generation
        record = _outgoing_record(record_path(name, generation), state.data)
        outgoing = [*map(_outgoing, uploads), record]
        before = [record_path(name, current.generation)] if current else []
        with upload.tidy(outgoing):
            moved, *intact = upload.look(outgoing, [record.path, *before])
            if not all(intact):
                raise RolledBack(
                    f'ref "{name}" on "{self.url}" has lost generation {generation - 1}', "prontosync fetch"
                )
            if moved:
                upload.drop([record])
                record.there = True
            self._send(upload, outgoing)
            if moved:
                return files.look([], [record.path])[1] == [state.data]
            return upload.link_record(record, state.data, new_folder=generation == 1 or generation % PER_FOLDER == 0)

    def _send(self, upload: SftpUpload, outgoing: Sequence[Outgoing]) -> None:
        for batch in batches(outgoing):
            upload.write(batch)
            objects = [file for file in batch if not file.contested]
            upload.link(objects)
            upload.remove(objects)

    def _create(self, files: SftpFiles, data: bytes) -> None:
        files.make_folders(["", *hub_format.FOLDERS])
        strangers = [name for name, _ in files.entries("") if not _belongs(name)]
        if strangers:
            raise RemoteRefused(f'"{self.url}" is not empty: it holds "{strangers[0].decode(errors="replace")}"')
        if not _Records(files, self._options.store).put(hub_format.PATH, data):
            raise RemoteRefused(f'there is a hub at "{self.url}" already')

    def _run(self, work: Callable[[SftpFiles], T]) -> T:
        """Do something that may be done twice; again where the link failed."""
        for attempt in range(self._options.tries):
            try:
                connection = self._connected()
                with translated(self.url, connection.reason):
                    return work(self._files(connection))
            except RemoteUnreachable as error:
                self._give_up_or_wait(attempt, error)
        raise AssertionError("the last try raises")

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self.url, self._address, self._options, self._deadline_at)
        return self._connection

    def _files(self, connection: Connection) -> SftpFiles:
        return SftpFiles(self.url, self._address, connection.pipeline)

    def _give_up_or_wait(self, attempt: int, error: RemoteUnreachable) -> None:
        """Raises ``error`` after the last try and where the deadline leaves no time for another."""
        self._discard()
        pause = SystemRandom().uniform(0, self._options.backoff * 2**attempt)
        late = self._deadline_at is not None and time.monotonic() + pause >= self._deadline_at
        if attempt + 1 >= self._options.tries or late:
            raise error
        time.sleep(pause)

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            done = connection.pipeline
            counts = (done.bytes_sent, done.bytes_received, done.round_trips)
            self._past = [past + now for past, now in zip(self._past, counts, strict=True)]
            connection.close()


class _Records:
    """The RecordFiles of an SFTP hub."""

    def __init__(self, files: SftpFiles, store: str) -> None:
        self._files, self._store, self.url = files, store, files.url

    def look(self, stats: Sequence[str], reads: Sequence[str]) -> tuple[list[int | None], list[bytes | None]]:
        return self._files.look(stats, reads)

    def put(self, path: str, data: bytes) -> bool:
        upload = SftpUpload(self._files, self._store)
        record = _outgoing_record(path, data)
        with upload.tidy([record]):
            upload.write([record])
            return upload.link_record(record, data, new_folder=True)


def _outgoing(upload: Upload) -> Outgoing:
    return Outgoing(upload.name.path, Source(upload.name.id, upload.size, upload.source))


def _outgoing_record(path: str, data: bytes) -> Outgoing:
    return Outgoing(path, Source(object_id(data), len(data), data), contested=True)


def _belongs(name: bytes) -> bool:
    """Dot files are an account's own, where the hub is its home."""
    return name.startswith(b".") or name.decode(errors="replace") in (*hub_format.FOLDERS, hub_format.PATH)
