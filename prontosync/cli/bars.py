"""Bars on a terminal: one line for each task, drawn again and again in the same place. The home of rich."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prontosync.cli.escape import escape

if TYPE_CHECKING:
    from prontosync.cli.progress import Shown

MOST_LINES = 4
MARGIN = 4
"""Columns that stay free, also for a ^C that the terminal writes at the end of the last line."""
LONGEST_WAIT = 100 * 3600
"""Seconds; what seems to last longer still is no estimate."""
_NARROWEST_LABEL, _WHOLE_LABEL, _NARROWEST_BAR, _WIDEST_BAR = 16, 32, 8, 30
_GAP = "  "
_EVEN = {"rows", "bytes", "objects"}
"""Units of which one takes about as long as the next: how fast they go tells how long the rest will take."""
_SIZES = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


class _Terminal(Console):
    """Leaves the cursor visible: whatever ends the program, a signal that nobody can catch included, the terminal is
    as it was."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


class Bars:
    """What is drawn, on a terminal that ``stream`` writes to. To be used by one thread at a time."""

    def __init__(self, stream: TextIO, colour: bool) -> None:
        self._console = _Terminal(
            file=stream, force_terminal=True, force_interactive=True, no_color=not colour, highlight=False
        )
        self._live: Live | None = None

    def draw(self, tasks: Sequence[Shown]) -> None:
        """Draw these in place of what was drawn last. Raises OSError where the terminal is gone."""
        size = os.get_terminal_size(self._console.file.fileno())
        self._console.size = ConsoleDimensions(size.columns or 80, size.lines or 25)
        width = max(1, self._console.width - MARGIN)
        lines = Group(*(_line(task, width) for task in tasks[:MOST_LINES]))
        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start()
        self._live.update(lines, refresh=True)

    def clear(self) -> None:
        """Take away what was drawn; the cursor is where it was before."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def _line(task: Shown, width: int) -> Table:
    """As much of a task as fits: its label always, then how much is done, a bar, the time, and the rate."""
    label = Text(escape(task.label))
    tail = _tail(task, width - _NARROWEST_BAR - min(label.cell_len, _WHOLE_LABEL))
    room = width - cell_len(tail) - len(_GAP)
    named = min(label.cell_len, max(room - _NARROWEST_BAR, _NARROWEST_LABEL), width)
    label.truncate(named, overflow="ellipsis")
    grid = Table.grid()
    grid.add_column(width=named + len(_GAP), no_wrap=True)
    cells: list[Text | ProgressBar] = [label]
    bar = min(room - named, _WIDEST_BAR)
    if bar >= _NARROWEST_BAR:
        grid.add_column(width=bar)
        total, done = _measure(task)
        cells.append(ProgressBar(total=total, completed=done, width=bar))
    if tail:
        grid.add_column(no_wrap=True, overflow="crop")
        cells.append(Text(tail))
    grid.add_row(*cells)
    return grid


def _tail(task: Shown, width: int) -> str:
    amount, time, rate = _amount(task), _time(task), _rate(task)
    for words in ((amount, rate, time), (amount, time), (amount,)):
        tail = "".join(f"{_GAP}{word}" for word in words if word)
        if cell_len(tail) + len(_GAP) <= width:
            return tail
    return ""


def _measure(task: Shown) -> tuple[int | None, int]:
    """The total, and how much of it is done: of objects, where only they are known."""
    by_objects = task.total is None and task.objects is not None
    total, done = (task.objects, task.objects_done) if by_objects else (task.total, task.done)
    return _at_least(total, done), done


def _at_least(total: int | None, done: int) -> int | None:
    """An estimate gives way to what is done."""
    return None if total is None else max(total, done)


def _amount(task: Shown) -> str:
    words = [_of(task.done, task.total, task.unit)] if task.done or task.total is not None else []
    if task.objects is not None:
        words.append(_of(task.objects_done, task.objects, "objects"))
    return ", ".join(words)


def _of(done: int, total: int | None, unit: str) -> str:
    total = _at_least(total, done)
    if unit == "bytes":
        size, unit = _size(done if total is None else total)
        parts = [f"{n / size:,.1f}" if size > 1 else f"{n:,}" for n in (done, total) if n is not None]
    else:
        parts = [f"{n:,}" for n in (done, total) if n is not None]
    return f"{'/'.join(parts)} {unit}"


def _rate(task: Shown) -> str:
    if not task.done or task.seconds <= 0 or task.unit not in _EVEN:
        return ""
    rate = task.done / task.seconds
    if task.unit == "bytes":
        size, unit = _size(int(rate))
        return f"{rate / size:,.1f} {unit}/s"
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:,.1f}/s"


def _time(task: Shown) -> str:
    """How long it has lasted, and how long it will at this rate."""
    passed = _clock(task.seconds)
    total, done = _measure(task)
    if not total or not done or done == total or task.unit not in _EVEN:
        return passed
    rest = task.seconds * (total - done) / done
    return f"{passed}, {_clock(rest)} left" if rest < LONGEST_WAIT else passed


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _size(amount: int) -> tuple[int, str]:
    return next(((size, unit) for size, unit in _SIZES if amount >= size), (1, "bytes"))
