"""Pieces of SQL: quoted names, literals, and long chains that stay within the depth SQLite's parser allows."""

from __future__ import annotations

from collections.abc import Sequence


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal; ``text`` holds no NUL."""
    return "'" + text.replace("'", "''") + "'"


def chain(operator: str, terms: Sequence[str]) -> str:
    """``terms`` joined by an associative operator, nested as a balanced tree; at least one term."""
    if len(terms) == 1:
        return f"({terms[0]})"
    half = len(terms) // 2
    return f"({chain(operator, terms[:half])} {operator} {chain(operator, terms[half:])})"
