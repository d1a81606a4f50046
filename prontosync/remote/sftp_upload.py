"""Publishing files over SFTP, in pipelined stages: open, write and sync, link, remove.

A file appears under its name whole, durable and checked, or not at all; link(2) never overwrites.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from paramiko import sftp as protocol
from paramiko.sftp_attr import SFTPAttributes

from prontosync.disk.files import READ_ONLY
from prontosync.errors import ProntoError
from prontosync.model.ids import ObjectId
from prontosync.model.progress import UNTOLD, Task
from prontosync.remote.contract import RemoteDamaged, RemoteFull, RemoteRefused, RemoteUnreachable
from prontosync.remote.sftp_files import Room, SftpFiles
from prontosync.remote.sftp_pipeline import FSYNC, HARDLINK, STATVFS, Request
from prontosync.remote.sftp_replies import Reply
from prontosync.remote.source import Source

MAX_BATCH_FILES = 64
MAX_BATCH_BYTES = 16 << 20
LINK_TRIES = 3
PROBE_BYTES = 32_000


@dataclass(eq=False)
class Outgoing:
    """A file to publish: ``path`` in the hub, and what happened so far.

    ``contested``: others may take the name, so only linking it tells whose it is.
    """

    path: str
    source: Source
    contested: bool = False
    temporary: str = ""
    handle: bytes | None = None
    there: bool = False
    failed: tuple[str, Reply] | None = field(default=None, repr=False)


class SftpUpload:
    """Publishes over one connection, in stages that the caller calls in turn inside ``tidy``."""

    def __init__(self, files: SftpFiles, store: str, task: Task = UNTOLD) -> None:
        self.files, self.store, self._task = files, store, task
        self._told = [0, 0]
        self.pipeline = files.pipeline
        self._syncs = FSYNC in self.pipeline.extensions
        self._room: Room | None = None
        if HARDLINK not in self.pipeline.extensions:
            raise RemoteRefused(f'the server of "{files.url}" cannot make hard links', "a hub needs OpenSSH")

    @contextmanager
    def tidy(self, files: Sequence[Outgoing]) -> Iterator[None]:
        """Where the body raises one of our errors, and so the link still stands, no temporary file is left behind, as
        far as the hub allows. Whatever it raises, the task is told that all must be done again."""
        try:
            yield
        except BaseException as error:
            self._task.advance(-self._told[0], -self._told[1])
            if isinstance(error, ProntoError) and not isinstance(error, RemoteUnreachable):
                self.drop(files)
            raise

    def look(self, files: Sequence[Outgoing], also: Sequence[str]) -> list[bool]:
        """One stage: finds which files are there, whether the others fit, and opens as many of these as go into the
        first batch; whether the paths of ``also`` are there. Raises RemoteFull before anything was sent."""
        first = next(batches(files), [])
        requests = [self.files.lstat(path, path) for path in also]
        requests += [self.files.lstat(file.path, file) for file in files if not file.contested]
        requests += [self.files.statvfs()] if STATVFS in self.pipeline.extensions else []
        requests += [self._open_request(file) for file in first]
        # Unasked: to learn at the linking that a folder is missing costs two round trips more.
        folders = sorted({file.path.rpartition("/")[0] for file in first if not file.contested})
        requests += map(self.files.mkdir, folders)
        replies = self.pipeline.run(requests)
        self._take_handles((r.what, reply) for r, reply in replies if r.kind == protocol.CMD_OPEN)
        there = [self.files.found(r.what, reply) is not None for r, reply in replies[: len(also)]]
        for request, reply in replies[len(also) :]:
            if request.kind == protocol.CMD_LSTAT:
                self._note_presence(request.what, reply)
            elif request.kind == protocol.CMD_EXTENDED:
                self._room = self.files.room(reply)
        self._check_room([file for file in files if not file.there])
        self._check_opened(first)
        self.drop([file for file in first if file.there])
        return there

    def write(self, batch: Sequence[Outgoing]) -> None:
        """Send what is not there, each file synced, measured and closed. Raises RemoteFull, RemoteRefused, and where a
        file here is not what it was: DamagedObject, MissingObject (``disk.objects``)."""
        pending = [file for file in batch if not file.there]
        self._open([file for file in pending if file.handle is None])
        for request, reply in self.pipeline.stream(self._write_requests(pending)):
            file, doing = request.what
            if not file.failed and not _went_well(file, doing, reply):
                file.failed = (doing, reply)
            elif doing == "write":
                self._tell(file, len(request.args[-1]))
            elif doing == "close":
                self._tell(file, 0, 1)
        self._check(pending)

    def link(self, batch: Sequence[Outgoing]) -> None:
        """Give the files their names. Somebody else's file of the same size under the name is fine."""
        pending = [file for file in batch if not file.there]
        for _ in range(LINK_TRIES):
            replies = self.pipeline.run(self._link_request(file) for file in pending)
            pending = self._not_linked([(request.what, reply) for request, reply in replies])
            if not pending:
                break
            self.files.make_folders(sorted({file.path.rpartition("/")[0] for file in pending}))
        if pending:
            raise RemoteRefused(f'"{self.files.url}" cannot make the folder of "{pending[0].path}"')

    def link_record(self, record: Outgoing, data: bytes, new_folder: bool) -> bool:
        """Give a contested file its name; whether it is ours. The temporary file goes in the same stage, unless the
        link is likely to fail for want of a folder."""
        tidy = not new_folder
        for _ in range(LINK_TRIES):
            if not record.temporary:
                self.write([record])
            removal = [Request(protocol.CMD_REMOVE, (self.files.at(record.temporary),))] if tidy else []
            reply = self.pipeline.run([self._link_request(record), *removal])[0][1]
            record.temporary = "" if tidy else record.temporary
            if not reply.ok and reply.absent:
                self.files.make_folders([record.path.rpartition("/")[0]])
                continue
            [there] = [data] if reply.ok else self.files.look([], [record.path])[1]
            if there is not None:
                self.remove([record])
                return there == data
            tidy = False
        raise self._diagnosis(record, "link", reply)

    def _link_request(self, file: Outgoing) -> Request:
        at = self.files.at
        return Request(protocol.CMD_EXTENDED, (HARDLINK, at(file.temporary), at(file.path)), file)

    def remove(self, batch: Iterable[Outgoing]) -> None:
        """The temporary files; best effort."""
        for file in batch:
            if file.temporary:
                self.files.remove([file.temporary])
                file.temporary = ""

    def drop(self, batch: Sequence[Outgoing]) -> None:
        """Give up what was begun of these files."""
        self.files.close([file.handle for file in batch if file.handle])
        self.remove(batch)
        for file in batch:
            file.handle = None

    def _open_request(self, file: Outgoing) -> Request:
        file.temporary = f"tmp/{self.store}-{secrets.token_hex(8)}"
        flags = protocol.SFTP_FLAG_WRITE | protocol.SFTP_FLAG_CREATE | protocol.SFTP_FLAG_EXCL
        attributes = SFTPAttributes()
        attributes.st_mode = READ_ONLY
        return Request(protocol.CMD_OPEN, (self.files.at(file.temporary), flags, attributes), file)

    def _open(self, batch: Sequence[Outgoing]) -> None:
        if batch:
            self._take_handles((r.what, reply) for r, reply in self.pipeline.run(map(self._open_request, batch)))
            self._check_opened(batch)

    def _take_handles(self, replies: Iterable[tuple[Outgoing, Reply]]) -> None:
        for file, reply in replies:
            file.handle = reply.handle
            file.failed = None if reply.handle else ("open", reply)

    def _check_opened(self, batch: Sequence[Outgoing]) -> None:
        """The folder for temporary files is made where that is all that was missing."""
        if any(file.failed and file.failed[1].absent for file in batch):
            self.files.make_folders(["tmp"])
            again = [file for file in batch if file.failed]
            self._take_handles((r.what, reply) for r, reply in self.pipeline.run(map(self._open_request, again)))
        self._check(batch)

    def _note_presence(self, file: Outgoing, reply: Reply) -> None:
        size = self.files.size(file.path, reply)
        if size is not None and size != file.source.size:
            raise self._wrong_size(file, size)
        file.there = size is not None
        if file.there:
            self._tell(file, file.source.size, 1)

    def _tell(self, file: Outgoing, amount: int, objects: int = 0) -> None:
        if not file.contested:
            self._told = [self._told[0] + amount, self._told[1] + objects]
            self._task.advance(amount, objects)

    def _write_requests(self, batch: Sequence[Outgoing]) -> Iterator[Request]:
        for file in batch:
            handle = file.handle
            for offset, piece in file.source.pieces(self.pipeline.chunk):
                yield Request(protocol.CMD_WRITE, (handle, protocol.int64(offset), piece), (file, "write"))
                if any(other.failed for other in batch):
                    return
            if self._syncs:
                yield Request(protocol.CMD_EXTENDED, (FSYNC, handle), (file, "fsync"))
            yield Request(protocol.CMD_FSTAT, (handle,), (file, "fstat"))
            file.handle = None
            yield Request(protocol.CMD_CLOSE, (handle,), (file, "close"))

    def _not_linked(self, replies: Sequence[tuple[Outgoing, Reply]]) -> list[Outgoing]:
        """Those whose folder is missing. The others that failed must be there already, or it is an error."""
        failed = [(file, reply) for file, reply in replies if not reply.ok]
        others = [(file, reply) for file, reply in failed if not reply.absent]
        for (file, reply), there in zip(others, self.files.attributes([f.path for f, _ in others]), strict=True):
            if there is None:
                raise self._diagnosis(file, "link", reply)
            if not there.is_file or there.size != file.source.size:
                raise self._wrong_size(file, there.size or 0)
        return [file for file, reply in failed if reply.absent]

    def _check(self, batch: Sequence[Outgoing]) -> None:
        for file in batch:
            if file.failed:
                raise self._diagnosis(file, *file.failed)

    def _check_room(self, batch: Sequence[Outgoing]) -> None:
        sizes = [file.source.size for file in batch]
        if self._room and sizes and not self._room.fits(sizes):
            raise self._full(batch[0], f"{sum(sizes)} bytes are needed, {self._room.free} bytes are free")

    def _diagnosis(self, file: Outgoing, doing: str, reply: Reply) -> ProntoError:
        """SFTP has one word, failure, for a full disk, a quota and a broken disk."""
        if reply.refused or reply.absent:
            return self.files.refused(file.path, reply)
        room = self._ask_room()
        free = f"{room.free} bytes are free" if room else "it does not say how much is free"
        if room and not room.fits([file.source.size]):
            return self._full(file, free)
        if doing in ("open", "write", "fsync") and not self._takes_a_probe():
            return self._full(file, f"{free}, but a quota or a limit seems to be reached")
        message = f'"{self.files.url}" failed to {doing} "{file.path}", and {free}'
        return RemoteRefused(message, "see the hub's system log")

    def _ask_room(self) -> Room | None:
        if STATVFS not in self.pipeline.extensions:
            return None
        [(_, reply)] = self.pipeline.run([self.files.statvfs()])
        return self.files.room(reply)

    def _takes_a_probe(self) -> bool:
        """Whether another file can be written: space does not come back by itself, a passing fault goes away."""
        probe = Outgoing("", Source(ObjectId(""), PROBE_BYTES, b""))
        [(_, opened)] = self.pipeline.run([self._open_request(probe)])
        if opened.handle is None:
            return False
        requests = [Request(protocol.CMD_WRITE, (opened.handle, protocol.int64(0), secrets.token_bytes(PROBE_BYTES)))]
        requests += [Request(protocol.CMD_EXTENDED, (FSYNC, opened.handle))] if self._syncs else []
        went = all(reply.ok for _, reply in self.pipeline.run(requests))
        self.files.close([opened.handle])
        self.remove([probe])
        return went

    def _full(self, file: Outgoing, why: str) -> RemoteFull:
        where = f"{self.files.url.rstrip('/')}/{file.path}"
        return RemoteFull(f'no room for "{where}": {why}', "make room on the hub, then run it again")

    def _wrong_size(self, file: Outgoing, size: int) -> RemoteDamaged:
        return RemoteDamaged(
            f'"{file.path}" on "{self.files.url}" has {size} bytes instead of {file.source.size}',
            "remove that file on the hub, then publish it again",
        )


def batches(files: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Runs of files that are sent together: bounded in number and, beyond one file, in bytes."""
    batch: list[Outgoing] = []
    size = 0
    for file in files:
        if batch and (len(batch) == MAX_BATCH_FILES or size + file.source.size > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.source.size
    if batch:
        yield batch


def _went_well(file: Outgoing, doing: str, reply: Reply) -> bool:
    if doing == "fstat":
        return reply.attributes is not None and reply.attributes.size == file.source.size
    return reply.ok
