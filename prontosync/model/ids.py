"""Addresses and digests: BLAKE3-256, written as 64 lower-case hex digits.

An object's address is the hash of its file's bytes and nothing else, so ``b3sum`` alone verifies it.
A digest is a hash over canonically encoded values under a domain prefix, so no digest is ever an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NewType, Protocol

from blake3 import blake3

ObjectId = NewType("ObjectId", str)
Digest = NewType("Digest", str)
Suffix = Literal["json", "parquet"]
Buffer = bytes | bytearray | memoryview

_HEX = re.compile(r"[0-9a-f]{64}")
_PARALLEL_FROM = 1 << 20


@dataclass(frozen=True, order=True)
class ObjectName:
    """What an object is filed under: its address and what kind of file it is."""

    id: ObjectId
    suffix: Suffix

    @property
    def path(self) -> str:
        """Where it lies below a repository or hub folder, with forward slashes."""
        return f"objects/{self.id[:2]}/{self.id[2:]}.{self.suffix}"


class Hasher(Protocol):
    """Takes bytes in pieces; ``hexdigest`` may be called at any time."""

    def update(self, data: Buffer, /) -> object: ...
    def hexdigest(self) -> str: ...


def object_id(data: Buffer) -> ObjectId:
    """The address of an object with these bytes."""
    threads = blake3.AUTO if len(data) >= _PARALLEL_FROM else 1
    return ObjectId(blake3(data, max_threads=threads).hexdigest())


def object_hasher() -> Hasher:
    """For an address of bytes that arrive in pieces."""
    return blake3()


def domain_hasher(domain: str) -> Hasher:
    """For a digest: begins with the domain's name and a zero byte."""
    hasher = blake3()
    hasher.update(f"prontosync-1 {domain}\0".encode())
    return hasher


def is_object_id(text: str) -> bool:
    return _HEX.fullmatch(text) is not None
