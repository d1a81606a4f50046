"""What an SFTP server answers, taken apart without trusting its counts and lengths."""

from __future__ import annotations

import stat
from dataclasses import dataclass

import paramiko
from paramiko import sftp as protocol
from paramiko.sftp_attr import SFTPAttributes as Flags

SMALLEST_NAME = 12
"""Bytes of an entry in a listing: two lengths and the flags of its attributes."""


@dataclass(frozen=True)
class Attributes:
    """None for what the server did not say."""

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None

    @property
    def is_file(self) -> bool:
        return self.mode is not None and stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        return self.mode is not None and stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class Reply:
    """``status`` is OK for every reply that carries something; ``numbers`` are those of an extended reply."""

    status: int
    text: str = ""
    handle: bytes | None = None
    data: bytes | None = None
    attributes: Attributes | None = None
    names: tuple[tuple[bytes, Attributes], ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        return self.status == int(protocol.SFTP_OK)

    @property
    def absent(self) -> bool:
        return self.status == int(protocol.SFTP_NO_SUCH_FILE)

    @property
    def refused(self) -> bool:
        return self.status in (protocol.SFTP_PERMISSION_DENIED, protocol.SFTP_OP_UNSUPPORTED)

    @property
    def ended(self) -> bool:
        return self.status == int(protocol.SFTP_EOF)


def parse_reply(kind: int, message: paramiko.Message) -> Reply:
    """The reply in ``message``, whose request number was taken off. Raises SSHException for what is not one."""
    if kind == protocol.CMD_STATUS:
        return Reply(message.get_int(), message.get_binary().decode(errors="replace"))
    if kind == protocol.CMD_HANDLE:
        return Reply(protocol.SFTP_OK, handle=message.get_binary())
    if kind == protocol.CMD_DATA:
        return Reply(protocol.SFTP_OK, data=message.get_binary())
    if kind == protocol.CMD_ATTRS:
        return Reply(protocol.SFTP_OK, attributes=_attributes(message))
    if kind == protocol.CMD_NAME:
        return Reply(protocol.SFTP_OK, names=_names(message))
    if kind == protocol.CMD_EXTENDED_REPLY:
        rest = message.get_remainder()
        numbers = (rest[at : at + 8] for at in range(0, len(rest) - 7, 8))
        return Reply(protocol.SFTP_OK, numbers=tuple(int.from_bytes(number, "big") for number in numbers))
    raise paramiko.SSHException(f"its reply {kind} is not SFTP")


def _names(message: paramiko.Message) -> tuple[tuple[bytes, Attributes], ...]:
    claimed = message.get_int()
    room = len(message.asbytes()) // SMALLEST_NAME
    return tuple(_name(message) for _ in range(min(claimed, room)))


def _name(message: paramiko.Message) -> tuple[bytes, Attributes]:
    name = message.get_binary()
    message.get_binary()  # the line that ls would print
    return name, _attributes(message)


def _attributes(message: paramiko.Message) -> Attributes:
    flags = message.get_int()
    size = message.get_int64() if flags & Flags.FLAG_SIZE else None
    uid = message.get_int() if flags & Flags.FLAG_UIDGID else None
    gid = message.get_int() if flags & Flags.FLAG_UIDGID else None
    mode = message.get_int() if flags & Flags.FLAG_PERMISSIONS else None
    if flags & Flags.FLAG_AMTIME:
        message.get_int64()
    if flags & Flags.FLAG_EXTENDED:
        for _ in range(min(message.get_int(), len(message.asbytes()) // 8)):
            message.get_binary()
            message.get_binary()
    return Attributes(size, uid, gid, mode)
