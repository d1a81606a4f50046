"""Notes: local, never shared, and one that is missing or unreadable counts as none. Those that only save work are kept
in ``cache``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from prontosync.disk import files
from prontosync.model import encoding
from prontosync.model.ids import Digest, ObjectId, object_id
from prontosync.model.objects import TableState

N = TypeVar("N", bound=msgspec.Struct)


class LeftOutNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A table that was not read, and why."""

    name: str
    reason: str
    hint: str | None


class SourceNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the live database looked like from outside (``source``) when it held ``commit``, and by which settings it
    was read."""

    source: str
    settings: str
    commit: ObjectId
    counter: int
    left_out: tuple[LeftOutNote, ...]


class OrphanNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """How many rows of a table have no parent by one foreign key."""

    table: str
    columns: tuple[str, ...]
    parent: str
    rows: int


class OrphansNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows without parents in tables that are stored as ``layout`` says."""

    layout: ObjectId
    found: tuple[OrphanNote, ...]


class MarkNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Up to where a table's captured keys were read: the capture's token, the newest note's number and what was drawn
    for it; the rows that the table had then, and its highest key where that is its rowid; the number below which notes
    were removed."""

    token: str
    sequence: int
    random: int
    rows: int
    highest: int | None
    pruned: int

    @property
    def waiting(self) -> int:
        """About how many notes were read and are still there."""
        return self.sequence - self.pruned


class CaptureNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to where the captured keys are in ``commit``; ``exact`` where nothing else is in it. ``full`` is when all rows
    were last read, RFC 3339 in UTC."""

    commit: ObjectId
    exact: bool
    full: str
    marks: dict[str, MarkNote]

    def moved(self, commit: ObjectId) -> CaptureNote:
        """The same marks under another commit, in which more is than they tell."""
        return msgspec.structs.replace(self, commit=commit, exact=False)

    def pruned(self, tables: Iterable[str]) -> CaptureNote:
        """The notes below the marks of these tables are gone."""
        gone = {name: msgspec.structs.replace(self.marks[name], pruned=self.marks[name].sequence) for name in tables}
        return msgspec.structs.replace(self, marks={**self.marks, **gone})


class RunsNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The digests of a state's runs: the ranges of its segments with its patches laid over them."""

    checkpoint: ObjectId
    patches: tuple[ObjectId, ...]
    digests: tuple[Digest, ...]


class RulesNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of this place's file (``model.rules.rule_set_id``) when they were last those in force, and in which
    version: what tells a file that was changed from one that others have gone beyond."""

    rules: ObjectId
    version: int


class NoteFile(Generic[N]):
    def __init__(self, path: Path, kind: type[N]) -> None:
        self.path, self._kind = path, kind

    def read(self) -> N | None:
        try:
            return msgspec.json.decode(files.read_bytes(self.path), type=self._kind)
        except (files.FileMissing, msgspec.MsgspecError, UnicodeError):
            return None

    def write(self, note: N) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(self.path, encoding.encode(note))

    def remove(self) -> None:
        files.remove(self.path)


class RunNotes:
    """Of each table the runs of one state: that which was read last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, table: str, state: TableState) -> tuple[Digest, ...] | None:
        note = self._file(table).read()
        if note is None or (note.checkpoint, note.patches) != (state.checkpoint, state.patches):
            return None
        return note.digests

    def write(self, table: str, state: TableState, digests: tuple[Digest, ...]) -> None:
        self._file(table).write(RunsNote(state.checkpoint, state.patches, digests))

    def _file(self, table: str) -> NoteFile[RunsNote]:
        return NoteFile(self._folder / f"{object_id(table.encode())[:32]}.json", RunsNote)
