"""SFTP requests by the batch, with every reply looked at.

paramiko's own pipelined writes lose errors, and its ``get`` returns success on a truncated file; hence this. It is the
only place that uses paramiko's private methods, and a contract test names each of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import paramiko
from paramiko import sftp as protocol
from paramiko.common import cMSG_CHANNEL_REQUEST

from prontosync.remote.sftp_handles import HandleGuess
from prontosync.remote.sftp_replies import Reply, parse_reply
from prontosync.remote.sftp_watchdog import Watchdog

MAX_IN_FLIGHT = 64
CHUNK = 32_704
"""What every server of protocol 3 takes in one packet, headers and all."""

PACKET = 32_768
"""What one packet of an SSH channel carries."""

FSYNC = "fsync@openssh.com"
HARDLINK = "hardlink@openssh.com"
STATVFS = "statvfs@openssh.com"
LIMITS = "limits@openssh.com"


@dataclass(frozen=True)
class Request:
    """``what`` is the caller's own mark, to know the reply by."""

    kind: int
    args: tuple[Any, ...]
    what: Any = None


class Pipeline(paramiko.SFTPClient):  # type: ignore[misc]
    """One SFTP channel. To be used by one thread. Raises EOFError, OSError and SSHException when the link fails."""

    def __init__(self, channel: paramiko.Channel, watchdog: Watchdog, io_timeout: float) -> None:
        self.extensions: dict[str, bytes] = {}
        self.bytes_sent = self.bytes_received = self.round_trips = 0
        self.chunk = CHUNK
        self._watchdog, self._io_timeout = watchdog, io_timeout
        self._in_flight = 0
        self._wanted: set[int] = set()
        self._arrived: dict[int, Reply] = {}
        self._limits: int | None = None
        self._unsent = bytearray()
        self.handles = HandleGuess("OpenSSH" in channel.get_transport().remote_version)
        _request_subsystem(channel)
        self.round_trips += 1
        super().__init__(channel)
        if LIMITS in self.extensions:
            self._limits = self._send(Request(protocol.CMD_EXTENDED, (LIMITS,)))
            self._wanted.add(self._limits)

    def run(self, requests: Iterable[Request]) -> list[tuple[Request, Reply]]:
        return list(self.stream(requests))

    def stream(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Reply]]:
        """Each request with its reply, in order. Requests are taken, and sent, only as room for them comes."""
        waiting: deque[tuple[Request, int]] = deque()
        try:
            for count, request in enumerate(requests):
                while self._in_flight >= MAX_IN_FLIGHT:
                    if waiting and waiting[0][1] in self._arrived:
                        yield self._take(waiting)
                    else:
                        self._read_one()
                self.round_trips += count % MAX_IN_FLIGHT == 0
                waiting.append((request, self._send(request)))
                self._wanted.add(waiting[-1][1])
            while waiting:
                if waiting[0][1] in self._arrived:
                    yield self._take(waiting)
                else:
                    self._read_one()
        finally:
            self._wanted.difference_update(number for _, number in waiting)
            self._watchdog.rest()

    def later(self, requests: Iterable[Request]) -> None:
        """Send, and let the replies go unseen whenever they come."""
        for request in requests:
            while self._in_flight >= MAX_IN_FLIGHT:
                self._read_one()
            self._send(request)
        self._watchdog.rest()

    def drain(self, seconds: float) -> None:
        """Wait for the replies to what was sent by ``later``."""
        self.sock.settimeout(seconds)
        while self._in_flight:
            self._read_one()

    def _take(self, waiting: deque[tuple[Request, int]]) -> tuple[Request, Reply]:
        request, number = waiting.popleft()
        return request, self._arrived.pop(number)

    def _send(self, request: Request) -> int:
        self._watchdog.allow(self._io_timeout)
        if request.kind == protocol.CMD_CLOSE:
            self.handles.closed(request.args[0])
        self._in_flight += 1
        number: int = self._async_request(self, request.kind, *request.args)
        return number

    def _write_all(self, out: bytes) -> None:
        """Requests wait for others until replies are waited for: one packet of SSH for a stage of small requests, which
        compresses well, instead of one for each."""
        if len(self._unsent) + len(out) > PACKET:
            self._flush()
        self._unsent += out

    def _flush(self) -> None:
        out, self._unsent = bytes(self._unsent), bytearray()
        if out:
            super()._write_all(out)

    def _read_one(self) -> None:
        self._watchdog.allow(self._io_timeout)
        self._flush()
        self._read_response()

    def _async_response(self, kind: int, message: paramiko.Message, number: int) -> None:
        """Called by ``_read_response``, which knows us as the file that the request was for."""
        self._in_flight -= 1
        reply = parse_reply(kind, message)
        if reply.handle is not None:
            self.handles.opened(reply.handle)
        if number == self._limits:
            self._learn_limits(reply)
        elif number in self._wanted:
            self._arrived[number] = reply
        self._wanted.discard(number)

    def _learn_limits(self, reply: Reply) -> None:
        if len(reply.numbers) >= 3:
            self.chunk = min(CHUNK, *(n for n in reply.numbers[1:3] if n > 0), CHUNK)

    def _send_version(self) -> int:
        """Overridden to keep the server's extensions, which paramiko throws away."""
        self._watchdog.allow(self._io_timeout)
        hello = paramiko.Message()
        hello.add_int(3)
        self._send_packet(protocol.CMD_INIT, hello)
        self._flush()
        kind, data = self._read_packet()
        if kind != protocol.CMD_VERSION:
            raise paramiko.SSHException("it does not speak SFTP")
        message = paramiko.Message(data)
        version: int = message.get_int()
        while message.get_remainder():
            name = message.get_binary().decode(errors="replace")
            self.extensions[name] = message.get_binary()
        self._watchdog.rest()
        return version

    def _send_packet(self, kind: int, packet: paramiko.Message) -> None:
        self.bytes_sent += len(packet.asbytes()) + 5
        super()._send_packet(kind, packet)

    def _read_packet(self) -> tuple[int, bytes]:
        kind, data = super()._read_packet()
        self.bytes_received += len(data) + 5
        return kind, data


def _request_subsystem(channel: paramiko.Channel) -> None:
    """Ask for the SFTP server without waiting for the answer, which comes before the server's first words or closes
    the channel; paramiko's own call waits for ever, and costs a round trip."""
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("subsystem")
    message.add_boolean(True)
    message.add_string("sftp")
    channel.get_transport()._send_user_message(message)
