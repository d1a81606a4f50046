"""The JSON objects of a repository: commits, table states, ref records."""

from __future__ import annotations

from typing import Any

import msgspec

from prontosync.model import encoding
from prontosync.model.ids import ObjectId, is_object_id, object_id
from prontosync.model.renumbering import RENUMBER
from prontosync.model.schema import DatabaseDdl, Ddl, TableSchema


class Changes(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How many rows differ from the first parent's state."""

    inserted: int
    updated: int
    deleted: int

    def __bool__(self) -> bool:
        return bool(self.inserted or self.updated or self.deleted)

    def __add__(self, other: Changes) -> Changes:
        return Changes(self.inserted + other.inserted, self.updated + other.updated, self.deleted + other.deleted)

    @property
    def total(self) -> int:
        return self.inserted + self.updated + self.deleted


class TableState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rows of one table are. ``digest`` is null where it was not at hand when the state was written."""

    schema: ObjectId
    ddl: ObjectId
    rows: int
    digest: str | None
    checkpoint: ObjectId
    patches: tuple[ObjectId, ...]
    changes: Changes


class Parent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A parent commit and the branch it came from."""

    commit: ObjectId
    branch: str


class Commit(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="commit"
):
    """One state of the chosen tables.

    ``tables`` lists the tables whose state differs from the first parent's, or all where ``full``. ``conflicts`` lists
    every table with open conflicts, never inherited. ``time`` is RFC 3339 in UTC, a claim of ``store``.
    ``database`` is the source's own definition beyond its tables, null where there is no source. ``unmerged`` names
    the tables of other parents whose rows are not in this state, because their schemas do not go together;
    ``renumbered`` names the rows that got another key in this merge. Neither field is there where there are none.
    """

    parents: tuple[Parent, ...]
    tables: dict[str, TableState]
    dropped: tuple[str, ...]
    full: bool
    conflicts: dict[str, ObjectId]
    database: ObjectId | None
    store: str
    author: str
    time: str
    message: str
    merge: bool
    policy: ObjectId | None
    requires: tuple[str, ...]
    signature: str | None
    unmerged: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    renumbered: ObjectId | None = None

    @property
    def aside(self) -> tuple[str, ...]:
        """``unmerged``, empty where there are none."""
        return () if isinstance(self.unmerged, msgspec.UnsetType) else self.unmerged


class RefRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="ref"):
    """One move of a ref. ``previous`` is the address of the record before it, null in generation 1."""

    hub: str
    ref: str
    generation: int
    previous: ObjectId | None
    old: ObjectId | None
    new: ObjectId | None
    store: str
    time: str
    nonce: str
    requires: tuple[str, ...]
    signature: str | None


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``format.json``: which format, and which repository this is."""

    format: int
    repository: str


def with_aside(commit: Commit, tables: tuple[str, ...]) -> Commit:
    """A commit that names tables as ``unmerged``, and the feature that its readers need for that."""
    if not tables:
        return commit
    return msgspec.structs.replace(commit, unmerged=tables, requires=(*commit.requires, encoding.UNMERGED))


def encode_object(value: Commit | RefRecord | TableSchema | Ddl | DatabaseDdl) -> tuple[ObjectId, bytes]:
    """The address and the bytes of an object."""
    data = encoding.encode(value)
    return object_id(data), data


def decode_commit(data: bytes) -> Commit:
    """Raises MalformedObject or NewerFormat (``model.encoding``)."""
    commit = encoding.decode(data, Commit)
    ids = [p.commit for p in commit.parents] + list(commit.conflicts.values())
    ids += [i for i in (commit.database, commit.policy, commit.renumbered) if i is not None]
    for state in commit.tables.values():
        ids += [state.schema, state.ddl, state.checkpoint, *state.patches]
        ids += [ObjectId(state.digest)] if state.digest is not None else []
        if state.rows < 0 or min(state.changes.inserted, state.changes.updated, state.changes.deleted) < 0:
            raise encoding.MalformedObject("a commit with a negative count of rows")
    _check_ids(ids)
    if commit.unmerged == ():
        raise encoding.MalformedObject("a commit that lists no unmerged tables")
    if (commit.renumbered is not None) != (RENUMBER in commit.requires) or (
        commit.renumbered is not None and len(commit.parents) != 2
    ):
        raise encoding.MalformedObject("a commit with a renumbering that does not say so, or that is no merge")
    if not commit.parents and not commit.full:
        raise encoding.MalformedObject("a root commit that does not list all its tables")
    return commit


def decode_record(data: bytes) -> RefRecord:
    """Raises MalformedObject or NewerFormat (``model.encoding``)."""
    record = encoding.decode(data, RefRecord)
    _check_ids([i for i in (record.previous, record.old, record.new) if i is not None])
    if record.generation < 1 or (record.generation == 1) != (record.previous is None):
        raise encoding.MalformedObject(f'a record of ref "{record.ref}" whose generation does not fit its chain')
    return record


def _check_ids(ids: list[Any]) -> None:
    for value in ids:
        if not is_object_id(value):
            raise encoding.MalformedObject(f'"{value}" is not an object id')
