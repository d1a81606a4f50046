"""``journal.jsonl``: what was run here, when, by whom, with what outcome. Holds no row data. Local, never shared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from prontosync.disk import files
from prontosync.model import encoding

_TAIL = 1 << 16


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, entry: dict[str, Any]) -> None:
        """Append one entry: plain values, an ``event`` and a ``time`` (RFC 3339 in UTC) among them."""
        files.append_line(self.path, encoding.encode(entry) + b"\n")

    def newest_first(self) -> Iterator[dict[str, Any]]:
        """All entries from the end; a line torn by a power cut is passed over."""
        for line in _lines_backwards(self.path):
            try:
                entry = msgspec.json.decode(line)
            except (msgspec.MsgspecError, UnicodeError):
                continue
            if isinstance(entry, dict):
                yield entry

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest entry of an event."""
        return next((entry for entry in self.newest_first() if entry.get("event") == event), None)


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        end, tail = file.seek(0, os.SEEK_END), b""
        while end:
            start = max(0, end - _TAIL)
            file.seek(start)
            pieces = (file.read(end - start) + tail).split(b"\n")
            tail, end = pieces[0], start
            yield from (piece for piece in reversed(pieces[1:]) if piece)
        if tail:
            yield tail
