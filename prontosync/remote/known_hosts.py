"""OpenSSH's known_hosts: which host keys a person has accepted for which hosts.

Our own reader, because one ``@cert-authority`` line breaks paramiko's. Certificates of hosts are not supported; their
lines are passed over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from prontosync.remote.contract import RemoteRefused

Verdict = Literal["known", "unknown", "changed", "revoked"]
DEFAULT_PORT = 22


@dataclass(frozen=True)
class HostKey:
    """A public key as it goes over the wire."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


@dataclass(frozen=True)
class _Line:
    marker: str
    hosts: str
    key: HostKey


class KnownHosts:
    """The lines of a known_hosts file that can be understood; the others are passed over, as ssh does."""

    def __init__(self, text: str) -> None:
        self._lines = [line for raw in text.splitlines() if (line := _parsed(raw))]

    @classmethod
    def read(cls, path: Path) -> KnownHosts:
        """A missing file knows nobody. Raises RemoteRefused where it cannot be read."""
        try:
            return cls(path.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            return cls("")
        except OSError as error:
            raise RemoteRefused(f'cannot read the known hosts in "{path}": {error.strerror}') from None

    def keys(self, host: str, port: int) -> list[HostKey]:
        """The accepted keys of a host; those for the bare name where there are none for the name with its port."""
        exact = list(self._matching("", _name(host, port)))
        return exact or list(self._matching("", host.lower()))

    def verdict(self, host: str, port: int, key: HostKey) -> Verdict:
        revoked = [*self._matching("@revoked", _name(host, port)), *self._matching("@revoked", host.lower())]
        if key in revoked:
            return "revoked"
        accepted = self.keys(host, port)
        if key in accepted:
            return "known"
        return "changed" if accepted else "unknown"

    def _matching(self, marker: str, name: str) -> Iterator[HostKey]:
        return (line.key for line in self._lines if line.marker == marker and _matches(line.hosts, name))


def _name(host: str, port: int) -> str:
    return host.lower() if port == DEFAULT_PORT else f"[{host.lower()}]:{port}"


def _parsed(raw: str) -> _Line | None:
    fields = raw.split()
    if not fields or fields[0].startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else ""
    if len(fields) < 3:
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    return _Line(marker, fields[0], HostKey(fields[1], blob))


def _matches(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        return _matches_hashed(hosts, name)
    patterns = hosts.lower().split(",")
    if any(p.startswith("!") and _fits(p[1:], name) for p in patterns):
        return False
    return any(not p.startswith("!") and _fits(p, name) for p in patterns)


def _fits(pattern: str, name: str) -> bool:
    """``*`` and ``?`` are the only wildcards; brackets stand for themselves."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _matches_hashed(hosts: str, name: str) -> bool:
    try:
        _, _, salt, digest = hosts.split("|")
        expected = base64.b64decode(digest, validate=True)
        actual = hmac.digest(base64.b64decode(salt, validate=True), name.encode(), "sha1")
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(expected, actual)
