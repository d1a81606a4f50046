"""Fetching objects over SFTP: many at once, each checked, none longer than it may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from prontosync.model.ids import ObjectName
from prontosync.model.progress import UNTOLD, Task
from prontosync.remote.contract import RemoteDamaged
from prontosync.remote.download import MAX_BYTES, Download
from prontosync.remote.sftp_files import Opened, SftpFiles, read_request
from prontosync.remote.sftp_pipeline import Request
from prontosync.remote.sftp_replies import Reply

Wanted = tuple[ObjectName, int | None]


class _Incoming:
    """An object that was opened on the server."""

    def __init__(self, name: ObjectName, size: int, handle: bytes, download: Download) -> None:
        self.name, self.size, self.handle, self.download = name, size, handle, download

    def rest(self, chunk: int) -> Iterator[Request]:
        """Reads for all that has not come yet and one byte more, which must not be there."""
        if self.download.received == self.size < chunk:
            return  # that byte was asked for when the file was opened
        for offset in range(self.download.received, self.size + 1, chunk):
            yield read_request(self.handle, offset, min(chunk, self.size + 1 - offset), (self, offset))


class SftpDownload:
    """One batch of objects, no more than may be open at once."""

    def __init__(self, files: SftpFiles, folder: Path, task: Task = UNTOLD) -> None:
        self.files, self.folder, self.task = files, folder, task
        self.chunk = files.pipeline.chunk

    def fetch(self, wanted: Sequence[Wanted]) -> Iterator[tuple[ObjectName, Path | None]]:
        """As ``Remote.fetch`` promises."""
        incoming: list[_Incoming] = []
        opened: list[Opened] = []
        try:
            opened, sizes = self._open(wanted)
            for (name, _), file, size in zip(wanted, opened, sizes, strict=True):
                if file.handle is None or size is None:
                    yield name, None
                    continue
                download = Download(name, size, self.folder, self.files.url, self.task)
                incoming.append(_Incoming(name, size, file.handle, download))
                download.take(file.first)
            yield from self._receive(incoming)
        finally:
            for part in incoming:
                part.download.discard()
            self.files.close([file.handle for file in opened if file.handle])

    def _open(self, wanted: Sequence[Wanted]) -> tuple[list[Opened], list[int | None]]:
        """The files, and their sizes; no handle or no size: not there (yet)."""
        unknown = [name for name, size in wanted if size is None]
        lengths = [self.chunk if size is None else min(self.chunk, size + 1) for _, size in wanted]
        asked = [self.files.lstat(name.path) for name in unknown]
        replies, opened = self.files.open_to_read([name.path for name, _ in wanted], lengths, asked)
        found = dict(zip(unknown, replies, strict=True))
        try:
            return opened, [self._claimed(name, found[name]) if size is None else size for name, size in wanted]
        except RemoteDamaged:
            self.files.close([file.handle for file in opened if file.handle])
            raise

    def _claimed(self, name: ObjectName, reply: Reply) -> int | None:
        size = self.files.size(name.path, reply)
        if size is not None and size > MAX_BYTES[name.suffix]:
            raise RemoteDamaged(f'object {name.id} on "{self.files.url}" claims to have {size} bytes')
        return size

    def _receive(self, incoming: list[_Incoming]) -> Iterator[tuple[ObjectName, Path | None]]:
        """The objects in order, each yielded as soon as it is whole."""
        requests = (request for part in list(incoming) for request in part.rest(self.chunk))
        for request, reply in self.files.pipeline.stream(requests):
            part, offset = request.what
            while incoming[0] is not part:
                yield self._finished(incoming)
            if part.download.received == offset:
                part.download.take(self.files.data(reply))
        while incoming:
            yield self._finished(incoming)

    def _finished(self, incoming: list[_Incoming]) -> tuple[ObjectName, Path]:
        part = incoming.pop(0)
        try:
            self._read_slowly(part)
            return part.name, part.download.finish()
        except BaseException:
            part.download.discard()
            raise

    def _read_slowly(self, part: _Incoming) -> None:
        """A server may send less than was asked for; what lies behind is then asked for again."""
        while part.download.received < part.size:
            [(_, reply)] = self.files.pipeline.run(list(part.rest(self.chunk))[:1])
            data = self.files.data(reply)
            if not data:
                return
            part.download.take(data)
