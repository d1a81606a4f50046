"""On which line of a TOML text each key stands; the standard library's reader does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from prontosync.disk.config import KeyPath

_DEEPEST = 8
"""Parts of a path after which nothing is looked for: no key has as many."""

_LONGEST = 1000
"""Lines of one statement after which the search ends, because each line is read again with the next."""


def line_of(text: str, path: KeyPath) -> int | None:
    """The line (from 1) where ``path``, or else what holds it, first stands in a valid text, or None."""
    lines = _lines(text)
    return next((lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in lines), None)


def _lines(text: str) -> dict[KeyPath, int]:
    found: dict[KeyPath, int] = {}
    header: KeyPath = ()
    for number, statement, parsed in _statements(text):
        paths = list(_paths(parsed))
        if statement.lstrip().startswith("["):
            header = paths[-1]
        else:
            paths = [header + path for path in paths]
        for path in paths:
            found.setdefault(path, number)
    return found


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, object]]]:
    """Line, text and content of each statement: the fewest lines that are valid alone."""
    start, pending = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        pending += line + "\n"
        try:
            yield start, pending, tomllib.loads(pending)
        except (ValueError, RecursionError):
            if number - start > _LONGEST:
                return
            continue
        start, pending = number + 1, ""


def _paths(value: object, prefix: KeyPath = ()) -> Iterator[KeyPath]:
    if prefix:
        yield prefix
    if isinstance(value, dict) and len(prefix) < _DEEPEST:
        for name, inner in value.items():
            yield from _paths(inner, (*prefix, name))
