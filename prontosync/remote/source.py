"""One file on its way out: read in pieces, and checked against the name it will be published under."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prontosync.disk.objects import DamagedObject, MissingObject
from prontosync.model.ids import ObjectId, object_hasher


class Source:
    """Promises that ``pieces`` end without an error only where they were exactly the bytes of ``identity``."""

    def __init__(self, identity: ObjectId, size: int, origin: Path | bytes) -> None:
        self.identity, self.size, self._origin = identity, size, origin

    def pieces(self, length: int) -> Iterator[tuple[int, bytes]]:
        """Offsets and bytes. Raises MissingObject, or DamagedObject before anything beyond ``size`` is yielded."""
        hasher = object_hasher()
        offset = 0
        for piece in self._raw(length):
            if offset + len(piece) > self.size:
                raise self._damaged()
            hasher.update(piece)
            yield offset, piece
            offset += len(piece)
        if hasher.hexdigest() != self.identity or offset != self.size:
            raise self._damaged()

    def read(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces(1 << 20))

    def _raw(self, length: int) -> Iterator[bytes]:
        if isinstance(self._origin, bytes):
            yield from (self._origin[i : i + length] for i in range(0, len(self._origin), length))
            return
        try:
            with open(self._origin, "rb") as file:
                while piece := file.read(length):
                    yield piece
        except FileNotFoundError:
            raise MissingObject(f"object {self.identity} is missing", "prontosync verify") from None
        except OSError as error:
            message = f"object {self.identity} cannot be read: {error.strerror}"
            raise DamagedObject(message, "prontosync verify") from None

    def _damaged(self) -> DamagedObject:
        return DamagedObject(f"object {self.identity} is damaged here; it was not published", "prontosync verify")
