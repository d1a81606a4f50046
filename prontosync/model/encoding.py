"""Canonical JSON: UTF-8, sorted keys, no spaces, integers only; one value has exactly one encoding."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from prontosync.errors import Damaged, RepositoryError

T = TypeVar("T", bound=msgspec.Struct)
UNMERGED, RENUMBER = "unmerged", "renumber"
KNOWN_FEATURES: frozenset[str] = frozenset([UNMERGED, RENUMBER])
MAX_OBJECT_BYTES = 16 << 20

_encoder = msgspec.json.Encoder(order="sorted")


class MalformedObject(Damaged):
    """Bytes that no writer of this format writes."""

    id = "malformed-object"


class _Needs(msgspec.Struct):
    """The one field that a newer version's object must have; what else it holds is skipped, not built."""

    requires: tuple[str, ...] = ()


class NewerFormat(RepositoryError):
    """An object that says it needs features this version lacks."""

    id = "newer-format"


def encode(value: Any) -> bytes:
    """The one encoding of a struct or of plain dicts, lists, strings, integers, booleans and None."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """The struct that encodes to exactly these bytes.

    Raises NewerFormat when the bytes name features in ``requires`` that this version lacks, and MalformedObject for
    everything else that is not the canonical encoding of ``kind``: unknown fields, floats, spaces, another order.
    """
    if len(data) > MAX_OBJECT_BYTES:
        raise MalformedObject(f"a {kind.__name__} object of {len(data)} bytes is larger than any writer makes")
    try:
        value = msgspec.json.decode(data, type=kind)
        same = encode(value) == data
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError) as error:
        _refuse_newer(data)
        raise MalformedObject(f"not a valid {kind.__name__} object: {error}") from None
    if not same:
        raise MalformedObject(f"a {kind.__name__} object that is not in its canonical encoding")
    _refuse_newer(data)
    return value


def _refuse_newer(data: bytes) -> None:
    try:
        needs = msgspec.json.decode(data, type=_Needs).requires
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return
    missing = sorted(set(needs) - KNOWN_FEATURES)
    if missing:
        raise NewerFormat(
            f"written by a newer version that needs {', '.join(missing)}", "upgrade prontosync on this machine"
        )
