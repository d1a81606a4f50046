"""Whole small files and folders on an SFTP server, in as few round trips as there can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paramiko import sftp as protocol
from paramiko.sftp_attr import SFTPAttributes

from prontosync.remote.connection import Address
from prontosync.remote.contract import RemoteDamaged, RemoteRefused
from prontosync.remote.sftp_pipeline import STATVFS, Pipeline, Request
from prontosync.remote.sftp_replies import Attributes, Reply

NOTHING = SFTPAttributes()
NAMES_AHEAD = 4
"""READDIR requests sent at once for a folder; OpenSSH answers each with up to 100 names."""


@dataclass
class Opened:
    """A file opened for reading, and its first piece. No handle: it is not there."""

    handle: bytes | None
    first: bytes = b""


@dataclass(frozen=True)
class Room:
    """What statvfs said, in bytes and files."""

    free: int
    block: int
    files: int

    def fits(self, sizes: Sequence[int]) -> bool:
        return sum(-(-size // self.block) * self.block for size in sizes) <= self.free and self.files > 0


class SftpFiles:
    """The files of one hub over one connection, by their paths in the hub."""

    def __init__(self, url: str, address: Address, pipeline: Pipeline) -> None:
        self.url, self.address, self.pipeline = url, address, pipeline

    def at(self, path: str) -> bytes:
        return self.address.below(path).encode()

    def lstat(self, path: str, what: object = None) -> Request:
        return Request(protocol.CMD_LSTAT, (self.at(path),), what)

    def statvfs(self, what: object = None) -> Request:
        return Request(protocol.CMD_EXTENDED, (STATVFS, self.at("")), what)

    def attributes(self, paths: Sequence[str]) -> list[Attributes | None]:
        """None for what is not there."""
        replies = self.pipeline.run(map(self.lstat, paths))
        return [self.found(path, reply) for path, (_, reply) in zip(paths, replies, strict=True)]

    def look(self, stats: Sequence[str], reads: Sequence[str]) -> tuple[list[int | None], list[bytes | None]]:
        """As ``RecordFiles.look`` promises, in one round trip where the server's handles can be guessed."""
        replies, opened = self.open_to_read(reads, [self.pipeline.chunk] * len(reads), list(map(self.lstat, stats)))
        self.close([file.handle for file in opened if file.handle])
        sizes = [self.size(path, reply) for path, reply in zip(stats, replies, strict=True)]
        return sizes, [file.first if file.handle else None for file in opened]

    def open_to_read(
        self, paths: Sequence[str], lengths: Sequence[int], also: Sequence[Request] = ()
    ) -> tuple[list[Reply], list[Opened]]:
        """``also`` and its replies go first; then each file is opened and its first ``lengths`` bytes are read."""
        guesses = self.pipeline.handles.coming(len(paths))
        requests = list(also)
        for path, guess, length in zip(paths, guesses, lengths, strict=True):
            requests.append(Request(protocol.CMD_OPEN, (self.at(path), protocol.SFTP_FLAG_READ, NOTHING)))
            if guess is not None:
                requests.append(read_request(guess, 0, length))
        replies = [reply for _, reply in self.pipeline.run(requests)]
        rest = iter(replies[len(also) :])
        pairs = [(next(rest), None if guess is None else next(rest)) for guess in guesses]
        opened = [self._opened(path, reply) for path, (reply, _) in zip(paths, pairs, strict=True)]
        again = []
        for file, guess, (_, first), length in zip(opened, guesses, pairs, lengths, strict=True):
            if file.handle and file.handle == guess and first is not None:
                file.first = self.data(first)
            elif file.handle:
                again.append(read_request(file.handle, 0, length, file))
        for request, reply in self.pipeline.run(again):
            request.what.first = self.data(reply)
        return replies[: len(also)], opened

    def close(self, handles: Sequence[bytes]) -> None:
        """Last opened first, so that the next files get the same handles in the same order."""
        self.pipeline.later(Request(protocol.CMD_CLOSE, (handle,)) for handle in reversed(handles))

    def remove(self, paths: Sequence[str]) -> None:
        """Best effort: an append-only hub refuses, and that is fine."""
        self.pipeline.later(Request(protocol.CMD_REMOVE, (self.at(path),)) for path in paths)

    def make_folders(self, paths: Sequence[str]) -> None:
        """With their parents, where they are missing. Whether it worked shows when they are used."""
        wanted = dict.fromkeys(parent for path in paths for parent in _with_parents(path))
        self.pipeline.run(map(self.mkdir, wanted))

    def mkdir(self, path: str) -> Request:
        """Make a folder; one that is there is refused, which does no harm."""
        return Request(protocol.CMD_MKDIR, (self.at(path), NOTHING))

    def entries(self, path: str) -> Iterator[tuple[bytes, Attributes]]:
        """What a folder holds, without "." and ".."; nothing where there is no such folder."""
        [(_, reply)] = self.pipeline.run([Request(protocol.CMD_OPENDIR, (self.at(path),))])
        if reply.absent:
            return
        if reply.handle is None:
            raise self.refused(path, reply)
        try:
            yield from self._read_folder(path, reply.handle)
        finally:
            self.close([reply.handle])

    def room(self, reply: Reply) -> Room | None:
        """None where the server does not say."""
        if len(reply.numbers) < 8:
            return None
        _, fragment, _, _, available, files_in_all, _, files_free = reply.numbers[:8]
        return Room(available * fragment, fragment or 1, files_free if files_in_all else 1)

    def found(self, path: str, reply: Reply) -> Attributes | None:
        if reply.absent:
            return None
        if reply.attributes is None:
            raise self.refused(path, reply)
        return reply.attributes

    def refused(self, path: str, reply: Reply) -> RemoteRefused:
        why = "permission denied" if reply.refused else reply.text or "failure"
        message = f'"{self.url}" refused the use of "{path}": {why.lower()}'
        return RemoteRefused(message, "see the account's rights on the hub")

    def data(self, reply: Reply) -> bytes:
        if reply.data is not None:
            return reply.data
        if reply.ended:
            return b""
        raise RemoteDamaged(f'"{self.url}" cannot read a file that it opened: {reply.text.lower()}')

    def _opened(self, path: str, reply: Reply) -> Opened:
        if reply.handle is None and not reply.absent:
            raise self.refused(path, reply)
        return Opened(reply.handle)

    def size(self, path: str, reply: Reply) -> int | None:
        """None for what is not there. Raises RemoteDamaged for what is not a regular file."""
        found = self.found(path, reply)
        if found is not None and not found.is_file:
            raise RemoteDamaged(f'"{path}" on "{self.url}" is not a regular file')
        return found.size or 0 if found else None

    def _read_folder(self, path: str, handle: bytes) -> Iterator[tuple[bytes, Attributes]]:
        while True:
            for _, reply in self.pipeline.run([Request(protocol.CMD_READDIR, (handle,))] * NAMES_AHEAD):
                if reply.ended:
                    return
                if not reply.names:
                    raise self.refused(path, reply)
                yield from (entry for entry in reply.names if entry[0] not in (b".", b".."))


def read_request(handle: bytes, offset: int, length: int, what: object = None) -> Request:
    return Request(protocol.CMD_READ, (handle, protocol.int64(offset), length), what)


def _with_parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts) + 1))
