"""From the address of a remote, as people write it, to the remote."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from prontosync.errors import UsageError
from prontosync.remote.connection import Address, ConnectionOptions
from prontosync.remote.folder import FolderRemote

if TYPE_CHECKING:
    from prontosync.remote.contract import Remote

_SCP_LIKE = re.compile(r"(?P<login>[^/:@\s]+@)?(?P<host>[^/:@\s]+):(?P<path>.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FORMS = "write a path, or sftp://user@host/path"


class BadUrl(UsageError):
    id = "bad-url"


def locate(url: str, options: ConnectionOptions, base: Path) -> Remote:
    """The remote at ``url``: a folder (relative paths start from ``base``) or ``sftp://user@host:port/path``.

    Nothing is connected yet. Raises BadUrl.
    """
    if _CONTROL.search(url) or not url:
        raise BadUrl("the address of a remote is empty or holds control characters", FORMS)
    if "://" in url:
        with _without_invoke():
            from prontosync.remote.sftp import SftpRemote

        return SftpRemote(url, sftp_address(url, options.user), options)
    _refuse_scp_like(url)
    return FolderRemote(base / url, url=url)


def sftp_address(url: str, default_user: str | None = None) -> Address:
    """The parts of an ``sftp://`` URL. A path from ``/~/`` on starts in the account's home. Raises BadUrl."""
    parts = _split(url)
    if parts.scheme != "sftp":
        raise BadUrl(f'a remote cannot be reached by "{parts.scheme}://"', FORMS)
    if parts.password is not None:
        raise BadUrl("a password in the address of a remote is refused", "log in with a key: --identity FILE")
    if parts.query or parts.fragment:
        raise BadUrl(f'"{url}" holds "?" or "#"', "write them in a path as %3F and %23")
    user = unquote(parts.username) if parts.username else default_user
    if not parts.hostname or not user:
        raise BadUrl(f'"{url}" names no {"user" if parts.hostname else "host"}', "write sftp://user@host/path")
    if _CONTROL.search(unquote(url)):
        raise BadUrl("the address of a remote holds control characters", FORMS)
    return Address(user, parts.hostname, _port(parts, url), _path(unquote(parts.path)))


@contextmanager
def _without_invoke() -> Iterator[None]:
    """paramiko tries to load ``invoke``, and with it asyncio and unittest.mock, for one kind of line in ssh_config, a
    file that is not read here: 45 ms at every start."""
    absent = sys.modules.setdefault("invoke", None) is None  # type: ignore[arg-type]
    try:
        yield
    finally:
        if absent:
            del sys.modules["invoke"]


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise BadUrl(f'"{url}" is not an address: {error}', FORMS) from None


def _port(parts: SplitResult, url: str) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise BadUrl(f'"{url}" has no valid port', "ports are 1 to 65535")
    return port or 22


def _path(path: str) -> str:
    if path == "/~" or path.startswith("/~/"):
        return path[3:].strip("/") or "."
    return path.rstrip("/") or "/"


def _refuse_scp_like(url: str) -> None:
    found = _SCP_LIKE.fullmatch(url)
    if found:
        login, host, path = found["login"] or "", found["host"], found["path"]
        way = path if path.startswith("/") else f"/~/{path}"
        raise BadUrl(f'"{url}" is not an address here', f"write sftp://{login or 'user@'}{host}{way}")
