"""Connecting and logging in to an SFTP server, and ending it for certain."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress

import paramiko

from prontosync.remote.connection import Address, ConnectionOptions, Timeouts
from prontosync.remote.contract import RemoteUnreachable
from prontosync.remote.known_hosts import HostKey, KnownHosts
from prontosync.remote.sftp_errors import HostKeyRefused, LoginRefused, silence, translated
from prontosync.remote.sftp_keys import LoginKeys
from prontosync.remote.sftp_pipeline import Pipeline
from prontosync.remote.sftp_watchdog import STEP, Watchdog

WINDOW = 16 << 20
SOCKET_OPTIONS = (
    ("TCP_KEEPIDLE", 30),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 60_000),
)
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
COMPRESSION = ("zlib@openssh.com", "none")
"""After the login. What a store sends in five minutes is commits, footers of Parquet and names of files, and shrinks by
half; the rest is compressed already, and costs 20 ms a MB once."""
KEY_KINDS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Kinds of host key, and the algorithms that sign with them."""


class _Socket(socket.socket):
    """Acknowledges what it receives at once, until ``patient``: while logging in, a server holds its next words back
    until the last ones are acknowledged (Nagle), which systems do 40 ms late."""

    patient = False

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if not self.patient:
            with suppress(OSError, AttributeError):  # closed meanwhile; not everywhere
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


class Connection:
    """A logged-in SFTP channel; ``close`` may be called twice.

    Raises RemoteUnreachable, HostKeyRefused, LoginRefused.
    """

    def __init__(self, url: str, address: Address, options: ConnectionOptions, deadline_at: float | None) -> None:
        silence()
        self.url, self._address, self._options = url, address, options
        self._watchdog: Watchdog | None = None
        self._transport: paramiko.Transport | None = None
        try:
            with translated(url, self.reason):
                self.pipeline = self._open(deadline_at)
        except BaseException:
            self.close()
            raise

    def reason(self) -> str | None:
        """Why our own watchdog ended the connection; None where it did not."""
        return self._watchdog.reason if self._watchdog else None

    def close(self) -> None:
        if self._watchdog:
            self._watchdog.stop()
        if self._transport:
            with suppress(OSError, EOFError, paramiko.SSHException):
                self._transport.close()

    def _open(self, deadline_at: float | None) -> Pipeline:
        times = self._options.timeouts
        sock = _connected(self._address, times, deadline_at)
        self._watchdog = watchdog = Watchdog(sock, deadline_at)
        known = self._known_hosts()
        kinds = [key.kind for key in known.keys(self._address.host, self._address.port)]
        self._transport = transport = _transport(sock, times, kinds)
        watchdog.allow(times.banner)
        _negotiate(transport, times)
        self._check_host_key(transport, known)
        watchdog.allow(times.login)
        self._log_in(transport)
        watchdog.allow(times.channel)
        channel = transport.open_session(window_size=WINDOW, timeout=times.channel)
        channel.settimeout(times.io)
        pipeline = Pipeline(channel, watchdog, times.io)
        pipeline.round_trips += 1  # the opening of the channel
        sock.patient = True
        return pipeline

    def _known_hosts(self) -> KnownHosts:
        """Read before the key is asked for, so that the server is asked for a kind that can be compared."""
        path = self._options.known_hosts_file
        return KnownHosts.read(path) if path and self._options.fingerprint is None else KnownHosts("")

    def _check_host_key(self, transport: paramiko.Transport, known: KnownHosts) -> None:
        remote = transport.get_remote_server_key()
        key = HostKey(remote.get_name(), remote.asbytes())
        host, port, pinned = self._address.host, self._address.port, self._options.fingerprint
        if pinned is not None:
            if key.fingerprint != pinned.rstrip("="):
                raise HostKeyRefused(f'the host key of "{host}" is {key.fingerprint}, not {pinned}', _CHANGED)
            return
        verdict = known.verdict(host, port, key)
        if verdict == "unknown":
            raise HostKeyRefused(f'the host key of "{host}" is not known: {key.kind} {key.fingerprint}', _UNKNOWN)
        if verdict != "known":
            raise HostKeyRefused(f'the host key of "{host}" is {verdict}: {key.kind} {key.fingerprint}', _CHANGED)

    def _log_in(self, transport: paramiko.Transport) -> None:
        """Raises LoginRefused. Where the server hangs up instead of answering the first key, it is the link's fault."""
        offered = 0
        with closing(LoginKeys(self._options)) as keys:
            for key in keys:
                if self._opens_with(transport, key, last_chance=offered > 0):
                    return
                offered += 1
                if not transport.is_active():
                    break
        who = f'"{self._address.user}" at "{self._address.host}"'
        if not offered:
            raise LoginRefused(f"no key to log in as {who}", "name one with --identity, or add one to an agent")
        raise LoginRefused(f"the login as {who} was refused", "is the public key in that account's authorized_keys?")

    def _opens_with(self, transport: paramiko.Transport, key: paramiko.PKey, *, last_chance: bool) -> bool:
        """``last_chance``: servers hang up after a number of keys, which is a refusal then."""
        try:
            return not transport.auth_publickey(self._address.user, key)
        except paramiko.AuthenticationException:
            if self.reason() or (not transport.is_active() and not last_chance):
                raise EOFError from None
            return False


_CHANGED = "if the server has a new key, ask its administrator for the fingerprint, and pin it with --fingerprint"
_UNKNOWN = "compare it with the administrator's, then pin it with --fingerprint, or add it to known_hosts"


def _connected(address: Address, times: Timeouts, deadline_at: float | None) -> _Socket:
    left = times.connect if deadline_at is None else min(times.connect, deadline_at - time.monotonic())
    if left <= 0:
        raise RemoteUnreachable(f'"{address.host}" was not reached: the time limit of this run is used up')
    sock = _Socket(fileno=socket.create_connection((address.host, address.port), left).detach())
    sock.settimeout(left)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in SOCKET_OPTIONS:
        if hasattr(socket, option):  # not everywhere
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


def _transport(sock: socket.socket, times: Timeouts, kinds: list[str]) -> paramiko.Transport:
    transport = paramiko.Transport(sock, default_window_size=WINDOW)
    transport.banner_timeout = transport.handshake_timeout = times.banner
    transport.auth_timeout = times.login + 2 * STEP  # the watchdog comes first: it is a time-out, not a refusal
    transport.channel_timeout = times.channel
    security = transport.get_security_options()
    security.ciphers, security.digests, security.compression = CIPHERS, MACS, COMPRESSION
    preferred = [kind for kind in KEY_KINDS if kind in kinds] + [kind for kind in KEY_KINDS if kind not in kinds]
    security.key_types = tuple(name for kind in preferred for name in KEY_KINDS[kind])
    security.kex = tuple(name for name in security.kex if "sha1" not in name)
    return transport


def _negotiate(transport: paramiko.Transport, times: Timeouts) -> None:
    done = threading.Event()
    transport.start_client(event=done)
    if not done.wait(2 * times.banner):
        raise TimeoutError
    if not transport.is_active():
        raise transport.get_exception() or EOFError()
