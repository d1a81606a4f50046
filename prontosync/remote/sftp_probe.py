"""Trying out whether an SFTP server keeps the promises that a hub rests on."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from paramiko import sftp as protocol
from paramiko.sftp_attr import SFTPAttributes

from prontosync.disk.files import READ_ONLY
from prontosync.disk.refs import record_path
from prontosync.model.names import RefName
from prontosync.remote.contract import RemoteRefused
from prontosync.remote.sftp_files import SftpFiles
from prontosync.remote.sftp_pipeline import CHUNK, FSYNC, HARDLINK, STATVFS, Request
from prontosync.remote.sftp_replies import Attributes, Reply

_HINT = "a hub needs OpenSSH's SFTP server on a file system with hard links"
_NEW = protocol.SFTP_FLAG_WRITE | protocol.SFTP_FLAG_CREATE | protocol.SFTP_FLAG_EXCL


class SftpProbe:
    """Makes a few files below ``tmp/`` and removes them as far as the hub allows."""

    def __init__(self, files: SftpFiles, store: str) -> None:
        self.files, self.pipeline, self.store = files, files.pipeline, store
        self._made: list[str] = []
        self._us = Attributes()

    def run(self, refs: Sequence[RefName]) -> list[str]:
        """Warnings. Raises RemoteRefused for what a hub cannot do without."""
        if HARDLINK not in self.pipeline.extensions:
            raise self._unfit("cannot make hard links")
        try:
            first, second = self._file(b"first"), self._file(b"second")
            self._check_exclusive(self._file(b"writable", 0o644))
            self._check_links(first, second)
        finally:
            self.files.remove(self._made)
        return [*self._shortcomings(), *self._writable(refs)]

    def _file(self, data: bytes, mode: int = READ_ONLY) -> str:
        path = self._name()
        reply = self._open(path, mode)
        if reply.absent:
            self.files.make_folders(["tmp"])
            reply = self._open(path, mode)
        if reply.handle is None:
            raise self.files.refused(path, reply)
        write = Request(protocol.CMD_WRITE, (reply.handle, protocol.int64(0), data))
        replies = self.pipeline.run([write, Request(protocol.CMD_FSTAT, (reply.handle,))])
        self.files.close([reply.handle])
        self._us = replies[1][1].attributes or self._us
        if not replies[0][1].ok:
            raise self.files.refused(path, replies[0][1])
        return path

    def _check_exclusive(self, path: str) -> None:
        """``path`` is writable: a refusal to open it again is then for the right reason."""
        reply = self._open(path, 0o644)
        if reply.handle is not None:
            self.files.close([reply.handle])
            raise self._unfit("opens a file for exclusive creation that is there already")

    def _check_links(self, first: str, second: str) -> None:
        target = self._name()
        if not self._link(first, target).ok:
            raise self._unfit("failed to make a hard link")
        overwritten = self._link(second, target).ok
        if overwritten or self.files.look([], [target])[1] != [b"first"]:
            raise self._unfit("lets a link replace a file that is there already")

    def _shortcomings(self) -> list[str]:
        extensions = self.pipeline.extensions
        warnings = []
        if FSYNC not in extensions:
            warnings.append("the server cannot fsync: what it acknowledged may be lost in a power cut")
        if STATVFS not in extensions:
            warnings.append("the server does not say how much room it has: a full disk is noticed only half-way")
        if self.pipeline.chunk < CHUNK:
            warnings.append(f"the server takes only {self.pipeline.chunk} bytes at once: transfers are slow")
        return warnings

    def _writable(self, refs: Sequence[RefName]) -> list[str]:
        """By the rights of the refs' folders; nothing is written to them."""
        own = f"stores/{self.store}"
        others = [name for name in refs if name != own]
        folders = self.files.attributes([record_path(name, 1).rpartition("/")[0] for name in others])
        writable = [name for name, folder in zip(others, folders, strict=True) if folder and self._may_write(folder)]
        return [f"this account could move the refs {', '.join(writable)}"] if writable else []

    def _may_write(self, folder: Attributes) -> bool:
        mode, us = folder.mode or 0, self._us
        if us.uid == 0:
            return True
        if us.uid == folder.uid:
            return bool(mode & 0o200)
        return bool(mode & (0o020 if us.gid == folder.gid else 0o002))

    def _name(self) -> str:
        self._made.append(f"tmp/{self.store}-probe-{secrets.token_hex(8)}")
        return self._made[-1]

    def _open(self, path: str, mode: int) -> Reply:
        attributes = SFTPAttributes()
        attributes.st_mode = mode
        [(_, reply)] = self.pipeline.run([Request(protocol.CMD_OPEN, (self.files.at(path), _NEW, attributes))])
        return reply

    def _link(self, old: str, new: str) -> Reply:
        request = Request(protocol.CMD_EXTENDED, (HARDLINK, self.files.at(old), self.files.at(new)))
        return self.pipeline.run([request])[0][1]

    def _unfit(self, what: str) -> RemoteRefused:
        return RemoteRefused(f'the server of "{self.files.url}" {what}', _HINT)
