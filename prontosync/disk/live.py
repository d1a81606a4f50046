"""``live.json``: which commit the live database holds, which one is being written to it, and how often so far."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prontosync.disk import files
from prontosync.errors import RepositoryError
from prontosync.model import encoding
from prontosync.model.ids import ObjectId


class LiveNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``commit`` is what the live database held when last looked at; ``pending`` is being written; ``counter`` grows
    by one with every apply and stands in the live database too."""

    commit: ObjectId | None = None
    pending: ObjectId | None = None
    counter: int = 0


class BadNote(RepositoryError):
    id = "bad-note"


class LiveFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> LiveNote:
        try:
            return msgspec.json.decode(files.read_bytes(self.path), type=LiveNote)
        except files.FileMissing:
            return LiveNote()
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise BadNote(f'"{self.path}" is not readable: {error}') from None

    def write(self, note: LiveNote) -> None:
        """Durable before it returns."""
        files.replace(self.path, encoding.encode(note))
