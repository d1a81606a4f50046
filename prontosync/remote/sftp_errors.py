"""The border of this room: what paramiko and sockets raise becomes the contract's errors."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paramiko

from prontosync.errors import ProntoError
from prontosync.remote.contract import RemoteRefused, RemoteUnreachable


class LoginRefused(RemoteRefused):
    id = "login-refused"


class HostKeyRefused(RemoteRefused):
    """The server is not, or cannot be shown to be, the one that was meant."""

    id = "host-key-refused"


@contextmanager
def translated(url: str, reason: Callable[[], str | None]) -> Iterator[None]:
    """``reason`` says why our own watchdog ended the connection, or None where it did not."""
    try:
        yield
    except ProntoError:
        raise
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise ours(url, error, reason()) from error


def ours(url: str, error: Exception, reason: str | None) -> ProntoError:
    if reason:
        return _unreachable(url, reason)
    if isinstance(error, socket.gaierror):
        return _unreachable(url, "its name cannot be resolved")
    if isinstance(error, TimeoutError):
        return _unreachable(url, "it does not answer")
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return RemoteRefused(f'"{url}" offers only outdated encryption: {error}', "update the SSH server")
    if isinstance(error, paramiko.AuthenticationException):
        return LoginRefused(f'"{url}" refused the login', "is the public key in the account's authorized_keys?")
    if isinstance(error, OSError):
        return _unreachable(url, error.strerror or "the connection failed")
    return _unreachable(url, _words(error))


def silence() -> None:
    """Keep paramiko's log, with its tracebacks, off stderr."""
    logger = logging.getLogger("paramiko")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


def _unreachable(url: str, why: str) -> RemoteUnreachable:
    return RemoteUnreachable(f'"{url}" cannot be reached: {why}', "run it again when the link is back")


def _words(error: Exception) -> str:
    text = str(error)
    if "banner" in text:
        return "it does not answer as an SSH server"
    if not text or "EOF" in text or "dropped" in text:
        return "the connection was cut"
    return text[:1].lower() + text[1:].rstrip(".")
