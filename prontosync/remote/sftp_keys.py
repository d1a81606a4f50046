"""Keys to log in with: one that was configured, or those of the agent and the usual files. Nothing ever prompts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko

from prontosync.remote.connection import ConnectionOptions
from prontosync.remote.sftp_errors import LoginRefused

DEFAULT_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")
ENCRYPTED_HINT = "add it to an agent (ssh-add), or use a key without a passphrase that may do nothing but reach the hub"


class _Encrypted(Exception):
    pass


class LoginKeys:
    """The keys to offer. A key of the agent can be used until ``close``."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._agent: paramiko.Agent | None = None

    def close(self) -> None:
        if self._agent:
            self._agent.close()

    def __iter__(self) -> Iterator[paramiko.PKey]:
        """In turn. Raises LoginRefused where the configured one cannot be used."""
        if self._options.identity is not None:
            yield self._configured(self._options.identity)
            return
        yield from self._agent_keys()
        if self._options.home is not None:
            yield from _usual_keys(self._options.home / ".ssh")

    def _configured(self, path: Path) -> paramiko.PKey:
        try:
            return _from_file(path)
        except _Encrypted:
            key = self._in_agent(path)
            if key is None:
                raise LoginRefused(
                    f'the key "{path}" has a passphrase, and no agent holds it', ENCRYPTED_HINT
                ) from None
            return key

    def _in_agent(self, path: Path) -> paramiko.PKey | None:
        try:
            public = paramiko.PublicBlob.from_file(f"{path}.pub")
        except (OSError, ValueError, paramiko.SSHException):
            return None
        return next((key for key in self._agent_keys() if key.asbytes() == public.key_blob), None)

    def _agent_keys(self) -> tuple[paramiko.PKey, ...]:
        if not self._options.agent:
            return ()
        try:
            self._agent = paramiko.Agent()
            return tuple(self._agent.get_keys())
        except (paramiko.SSHException, OSError):
            return ()


def _usual_keys(folder: Path) -> Iterator[paramiko.PKey]:
    for path in (folder / name for name in DEFAULT_NAMES):
        with suppress(LoginRefused, _Encrypted):  # one that cannot be used is as good as none
            if path.is_file():
                yield _from_file(path)


def _from_file(path: Path) -> paramiko.PKey:
    _check_mode(path)
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):
        raise _Encrypted from None
    except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError, OSError):
        message = f'"{path}" is not a private key that can be used'
        raise LoginRefused(message, "make one: ssh-keygen -t ed25519") from None


def _check_mode(path: Path) -> None:
    """As ssh does: our own key must not be open to others."""
    try:
        found = path.stat()
    except OSError as error:
        raise LoginRefused(f'the key "{path}" cannot be read: {error.strerror}') from None
    if found.st_uid == os.getuid() and found.st_mode & 0o077:
        raise LoginRefused(f'the key "{path}" can be read by others', f"chmod 600 {path}")
