"""How to reach an SFTP hub: its address, who logs in, whom to trust, and how long to wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Address:
    """``path`` as the server takes it: absolute, or relative to the account's home."""

    user: str
    host: str
    port: int
    path: str

    def below(self, path: str) -> str:
        """Where a path of the hub lies on the server."""
        return self.path.rstrip("/") + "/" + path if path else self.path


@dataclass(frozen=True)
class Timeouts:
    """Seconds. ``io`` is how long nothing at all may move; after any of them the connection is given up."""

    connect: float = 15
    banner: float = 30
    login: float = 30
    channel: float = 30
    io: float = 60


@dataclass(frozen=True)
class ConnectionOptions:
    """What a URL does not say. Nothing here is looked up in the environment: ``home`` and ``user`` are handed in.

    ``identity``: the one key to log in with; else the agent (where ``agent``) and the default keys below ``home``.
    ``fingerprint``: "SHA256:…" of the host key, instead of ``known_hosts`` (default: ``home``/.ssh/known_hosts).
    ``deadline``: seconds from the making of the remote until its connection is closed, whatever it is doing.
    ``tries``: how often in all an operation is begun when the link fails; pauses between are random, up to ``backoff``
    seconds at first and twice as long each time.
    """

    store: str = "prontosync"
    user: str | None = None
    home: Path | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    fingerprint: str | None = None
    agent: bool = True
    timeouts: Timeouts = field(default_factory=Timeouts)
    deadline: float | None = None
    tries: int = 4
    backoff: float = 1.0

    @property
    def known_hosts_file(self) -> Path | None:
        if self.known_hosts is not None:
            return self.known_hosts
        return self.home / ".ssh" / "known_hosts" if self.home else None
