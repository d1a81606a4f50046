"""An OpenSSH server on loopback for the demo, with keys of its own, for as long as the demo runs."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from prontosync.errors import NotFound

_PLACES = "/usr/sbin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin"
_PATIENCE = 20.0


class NoServer(NotFound):
    """There is no OpenSSH server on this machine."""

    id = "no-sshd"


@dataclass(frozen=True)
class Server:
    """A running server, whose accounts see the folder ``hubs``, and how a client is told to trust it."""

    hubs: Path
    port: int
    user: str
    identity: Path
    fingerprint: str

    def url(self, hub: str) -> str:
        return f"sftp://{self.user}@127.0.0.1:{self.port}{self.hubs / hub}"

    @property
    def options(self) -> tuple[str, ...]:
        return ("--identity", str(self.identity), "--fingerprint", self.fingerprint)


@contextmanager
def running_server(folder: Path, hubs: Path) -> Iterator[Server]:
    """Start one with its files in ``folder``. Raises NoServer."""
    sshd, keygen = _program("sshd"), _program("ssh-keygen")
    folder.mkdir(mode=0o700)
    host_key, identity = _key(keygen, folder / "host_key"), _key(keygen, folder / "id_ed25519")
    printed = subprocess.run([keygen, "-l", "-f", str(host_key)], check=True, capture_output=True, text=True).stdout
    server = Server(hubs, _free_port(), pwd.getpwuid(os.getuid()).pw_name, identity, printed.split()[1])
    config = _write_config(folder, server, host_key)
    with _process([sshd, "-D", "-e", "-f", str(config)], folder / "log", server.port):
        yield server


def _program(name: str) -> str:
    found = shutil.which(name, path=_PLACES)
    if found is None:
        raise NoServer(
            f'there is no OpenSSH server on this machine ("{name}")',
            "apt-get install openssh-server, or leave out --sftp",
        )
    return found


def _key(keygen: str, path: Path) -> Path:
    command = [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "prontosync demo", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def _write_config(folder: Path, server: Server, host_key: Path) -> Path:
    public = server.identity.with_suffix(".pub").read_text()
    (folder / "authorized_keys").write_text(f'command="internal-sftp",restrict {public}')
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    config = folder / "sshd_config"
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": server.port,
        "HostKey": host_key,
        "PidFile": "none",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
    }
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    return config


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _process(command: list[str], log: Path, port: int) -> Iterator[None]:
    """In a process group of its own, so that its sessions end with it."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        _await_port(process, port, log)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(_PATIENCE)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise NoServer(f"the OpenSSH server did not start: {log.read_text(errors='replace').strip()}", "leave out --sftp")
