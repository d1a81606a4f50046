"""What head office says of a table's schema: columns that got another name, and ends that it confirms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hints:
    """``renamed`` has new names by old ones: both are one column. ``dropped`` are columns that are to end everywhere,
    ``gone`` says so of the whole table."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    gone: bool = False

    def name(self, column: str) -> str:
        """The newest name of a column."""
        seen = {column}
        while (following := self.renamed.get(column)) is not None and following not in seen:
            seen.add(column := following)
        return column

    def names(self, columns: Iterable[str]) -> dict[str, str]:
        """The newest name of each of a table's columns, in order, without those that end. A column whose new name the
        table has besides keeps its own."""
        every = list(columns)
        found: dict[str, str] = {}
        for column in every:
            new = self.name(column)
            taken = new != column and (new in every or new in found.values())
            if column not in self.dropped and new not in self.dropped:
                found[column] = column if taken else new
        return found


NO_HINTS = Hints()
HintsOf = Callable[[str], Hints]
"""The hints of a table by its name."""


def no_hints(table: str) -> Hints:
    """For where nothing is known of schemas."""
    return NO_HINTS
