"""The server of the benchmark: a real sshd on loopback, reached by every client over a wire that counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.wire import Wire
from tests.fixtures.sshd import Sshd, make_key, running_sshd

HOST = "bench"


@dataclass(frozen=True)
class Access:
    """How clients reach the server. ``config`` is for OpenSSH, which calls it ``bench``."""

    user: str
    port: int
    key: Path
    known_hosts: Path
    config: Path

    @property
    def ssh(self) -> str:
        """The command line of ssh, for programs that start it."""
        return f"ssh -F {self.config}"

    def url(self, folder: Path) -> str:
        return f"sftp://{self.user}@127.0.0.1:{self.port}{folder}"


@dataclass(frozen=True)
class Server:
    access: Access
    wire: Wire


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A server for as long as the context lasts. Its key may run programs, as git, borg and rsync must."""
    with running_sshd(folder) as sshd, Wire(sshd.port) as wire:
        yield Server(_access(sshd, wire.port), wire)


def _access(sshd: Sshd, port: int) -> Access:
    key = make_key(sshd.folder / "key-bench")
    with (sshd.folder / "authorized_keys").open("a") as file:
        file.write(f"restrict {key.with_suffix('.pub').read_text().strip()}\n")
    known_hosts = sshd.folder / "known_hosts-bench"
    host_key = sshd.known_hosts.read_text().split(maxsplit=1)[1]
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key}")
    config = sshd.folder / "ssh_config"
    config.write_text(
        f"""
Host {HOST}
    HostName 127.0.0.1
    Port {port}
    User {sshd.user}
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
"""
    )
    return Access(sshd.user, port, key, known_hosts, config)
