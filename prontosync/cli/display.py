"""What a text is shown on: a terminal, coloured and so many columns wide, or anything else, where nothing is cut."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from prontosync.cli import output
from prontosync.cli.context import Context

_LEAST, _MOST = 16, 60
"""How many columns a cell has at least and at most on a terminal."""
NOT_NARROW = 40
"""Columns up to which a cell widens its whole column where nothing is cut."""


@dataclass
class Display:
    """``columns`` is None where it is no terminal. ``shortened`` becomes true as soon as something is not shown
    whole."""

    context: Context
    columns: int | None
    shortened: bool = False

    @property
    def cell(self) -> int | None:
        """How many columns a cell may take; None for any number."""
        if self.columns is None or self.context.wide:
            return None
        return min(max(self.columns // 3, _LEAST), _MOST)

    @property
    def short(self) -> bool:
        """Whether a long list is cut."""
        return self.columns is not None and not self.context.wide

    def paint(self, text: str, style: output.Style) -> str:
        """As ``output.paint``, without colours where it is no terminal."""
        return output.paint(self.context, text, style)

    def tell(self) -> None:
        """Say, after all else, how to see what was not shown whole."""
        if self.shortened:
            output.hint(self.context, "not all is shown: add --wide to see it whole")


def display(context: Context, to: str | None = None) -> Display:
    """Where data goes, as ``-o`` says it."""
    columns = output.terminal_columns(to)
    colour = context.colour and columns is not None
    return Display(dataclasses.replace(context, colour=colour), columns)
