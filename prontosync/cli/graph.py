"""How commits descend from each other, drawn in the margin of a log."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 8
"""Of a merge of many branches only so many lines are drawn; the other branches begin a line of their own."""

STAR, LINE, OUT, IN = "*", "|", "\\", "/"


class Graph:
    """Columns of lines, each waiting for one commit. No commit comes before one that descends from it."""

    def __init__(self) -> None:
        self._waiting: list[str] = []

    def margins(self, commit: str, parents: Sequence[str], lines: int) -> list[str]:
        """The margins of at least ``lines`` lines: the first has the commit's star, the last leads to its parents."""
        if commit not in self._waiting:
            self._waiting.append(commit)
        column = self._waiting.index(commit)
        count = len(self._waiting)
        first = self._row({column: STAR}, count)
        self._waiting[column : column + 1] = list(parents)[:MOST]
        self._drop_twins()
        grown = len(self._waiting) - count
        turn = [OUT] * grown if grown > 0 else [IN] * -grown
        turned = self._row({}, min(count, len(self._waiting))).rstrip() + "".join(turn)
        rest = self._row({}, len(self._waiting))
        width = max(len(first), len(turned) if grown else 0, len(rest))
        body = [turned if grown and lines > 1 else rest, *[rest] * max(0, lines - 2)]
        return [margin.ljust(width) + " " for margin in [first, *body][:lines]]

    def _drop_twins(self) -> None:
        """Two lines that wait for one commit become one."""
        self._waiting = list(dict.fromkeys(self._waiting))

    @staticmethod
    def _row(marks: dict[int, str], count: int) -> str:
        return " ".join(marks.get(i, LINE) for i in range(count))
