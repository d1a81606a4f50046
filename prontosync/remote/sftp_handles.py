"""Knowing a file's handle before the server has told it, so that opening and reading take one round trip.

OpenSSH numbers its handles: the handle closed last is given out first, else the next number. A guess is only ever read
from, and what was read counts only where the server's reply to the opening named the same handle.
"""

from __future__ import annotations

import struct


class HandleGuess:
    """A model of the server's handles. Wrong once, it guesses no more."""

    def __init__(self, trusted: bool) -> None:
        self.trusted = trusted
        self._free: list[bytes] = []
        self._next = 0

    def coming(self, count: int) -> list[bytes | None]:
        """The handles of the next ``count`` files, should all of them open."""
        if not self.trusted:
            return [None] * count
        reused: list[bytes | None] = list(reversed(self._free[-count:])) if count else []
        fresh = count - len(reused)
        return reused + [struct.pack(">I", self._next + i) for i in range(fresh)]

    def opened(self, handle: bytes) -> None:
        """To be told in the order of the replies."""
        if self._free:
            expected = self._free.pop()
        else:
            expected = struct.pack(">I", self._next)
            self._next += 1
        self.trusted = self.trusted and expected == handle

    def closed(self, handle: bytes) -> None:
        """To be told in the order of the requests."""
        self._free.append(handle)
