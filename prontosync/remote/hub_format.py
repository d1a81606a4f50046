"""``format.json`` at the top of a hub: which format it is in, and which repository it belongs to."""

from __future__ import annotations

import msgspec

from prontosync.errors import NotFound, RepositoryError
from prontosync.model import encoding
from prontosync.model.objects import Format

PATH = "format.json"
FORMAT = 1
FOLDERS = ("objects", "refs", "tmp")


class NoHub(NotFound):
    id = "no-hub"


class NewerHub(RepositoryError):
    id = "newer-hub"


def hub_bytes(repository: str) -> bytes:
    return encoding.encode(Format(FORMAT, repository))


def hub_id(data: bytes | None, url: str) -> str:
    """The repository id in the bytes of a ``format.json``; None: there is no such file.

    Raises NoHub, NewerHub, and MalformedObject (``model.encoding``).
    """
    if data is None:
        raise NoHub(
            f'there is no hub at "{url}"', f"check the address; to make a hub there: prontosync init --bare {url}"
        )
    if _claimed_format(data) > FORMAT:
        raise NewerHub(f'the hub at "{url}" was written by a newer version', "upgrade prontosync on this machine")
    return encoding.decode(data, Format).repository


def _claimed_format(data: bytes) -> int:
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return 0
    number = plain.get("format") if isinstance(plain, dict) else None
    return number if isinstance(number, int) else 0
