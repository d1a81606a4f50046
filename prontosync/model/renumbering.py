"""Renumberings: which rows got another key in a merge, as an object that the merge commit names."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from prontosync.model import encoding
from prontosync.model.ids import ObjectId, object_id

RENUMBER = "renumber"
"""The feature that commits with a renumbering require."""


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of ``table`` whose key was ``old`` and is ``new`` (``model.keys.key_argument``). ``parent`` says whose row
    it was: 0 for the commit's first parent, 1 for the second."""

    table: str
    old: str
    new: str
    parent: int


class Renumbering(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="renumbering"
):
    """All moves of one merge commit, and by table the lowest number that was given out up to then."""

    moves: tuple[Move, ...]
    lowest: dict[str, int] = {}
    requires: tuple[str, ...] = ()


class NewKey(NamedTuple):
    """For people: a row of ``branch`` has another key now."""

    table: str
    old: str
    new: str
    branch: str


def encode_renumbering(value: Renumbering) -> tuple[ObjectId, bytes]:
    """The address and the bytes of the object."""
    data = encoding.encode(value)
    return object_id(data), data


def decode_renumbering(data: bytes) -> Renumbering:
    """Raises MalformedObject or NewerFormat (``model.encoding``)."""
    found = encoding.decode(data, Renumbering)
    if not found.moves or any(move.parent not in (0, 1) or move.old == move.new for move in found.moves):
        raise encoding.MalformedObject("a renumbering without moves, or with one that is none")
    return found
