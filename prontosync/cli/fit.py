"""Text that fits on a line of a terminal: how wide it is, and what of it is shown where there is too little room."""

from __future__ import annotations

import re
import unicodedata

_NARROW = "\x00-\u02ff\u0370-\u0482\u048a-\u058f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf\u2190-\u2199"
_UNUSUAL = re.compile(f"[^{_NARROW}]")
"""What may take another number of columns than one."""


def width(text: str) -> int:
    """How many terminal columns the text takes: East Asian wide characters two, combining ones none."""
    if text.isascii() or _UNUSUAL.search(text) is None:
        return len(text)
    return sum(_character_width(character) for character in text)


def fits(text: str, columns: int) -> bool:
    """Whether the text takes no more columns, without a look at all of a very long one."""
    if len(text) <= columns // 2 or text.isascii():
        return len(text) <= columns
    return len(text) <= 8 * columns and width(text) <= columns


def cut(text: str, columns: int | None) -> str:
    """The beginning of the text, with an ellipsis where the rest is missing; None cuts nothing."""
    return text if columns is None or fits(text, columns) else _window(text, 0, columns)


def cut_around(old: str, new: str, columns: int | None) -> tuple[str, str]:
    """Both texts cut to the place where they begin to differ, with an ellipsis where something is missing; None cuts
    nothing, and where both fit nothing is cut either."""
    if columns is None or (fits(old, columns) and fits(new, columns)):
        return old, new
    room = columns - 1 if old.isascii() and new.isascii() else columns // 2 - 2
    start = min(shared_start(old, new) - columns // 4, max(len(old), len(new)) - room)
    start = start if start > 1 else 0
    return _window(old, start, columns), _window(new, start, columns)


def shared_start(old: str, new: str) -> int:
    """How many characters both begin with."""
    least, most = 0, min(len(old), len(new))
    while least < most:
        middle = (least + most + 1) // 2
        if new.startswith(old[least:middle], least):
            least = middle
        else:
            most = middle - 1
    return least


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """The text with spaces behind it, or before it (``right``), so that it takes so many columns."""
    space = " " * (columns - width(text))
    return space + text if right else text + space


def _window(text: str, start: int, columns: int) -> str:
    """What fits of the text from a place on, ellipses included."""
    before = "…" if start else ""
    room = columns - len(before)
    rest = text[start : start + 8 * columns + 1]
    if len(rest) <= 8 * columns and width(rest) <= room:
        return before + rest
    taken, used = 0, 0
    for character in rest:
        used += _character_width(character)
        if used > room - 1:
            break
        taken += 1
    return f"{before}{rest[:taken]}…"


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
