"""Progress on a terminal: from the second second of work on, below all else that is written, and gone at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, TextIO

from prontosync.model.progress import Task

if TYPE_CHECKING:
    from prontosync.cli.bars import Bars

DELAY = 1.0
"""Seconds of work before anything is drawn, and before what draws is loaded: most commands end sooner."""
PERIOD = 0.125
"""Seconds between two drawings."""
LAST_WORDS = 2.0
"""Seconds that the thread that draws is given to end: it may just be loading what draws."""


@dataclass(frozen=True)
class Shown:
    """A task as it stands: ``objects`` of its objects in all, ``objects_done`` of them done; ``seconds`` that it has
    lasted."""

    label: str
    total: int | None
    unit: str
    done: int
    objects: int | None
    objects_done: int
    seconds: float


class TerminalProgress:
    """The contract's Progress, and a Drawing, on the terminal that ``stream`` writes to.

    Another thread draws; none that works ever waits for the terminal. ``delay`` is in seconds of work: the time in
    which some task was being done.
    """

    def __init__(self, stream: TextIO, *, colour: bool, delay: float = DELAY) -> None:
        self._stream, self._colour, self._delay = stream, colour, delay
        self._changed = Condition()
        self._screen = Lock()
        self._tasks: list[_Running] = []
        self._busy, self._since = 0.0, 0.0
        self._thread: Thread | None = None
        self._bars: Bars | None = None
        self._ended = False

    @contextmanager
    def task(self, label: str, total: int | None, unit: str, objects: int | None = None) -> Iterator[Task]:
        running = _Running(label, total, unit, objects)
        with self._changed:
            if not self._tasks:
                self._since = running.began
            self._tasks.append(running)
            if self._thread is None and not self._ended:
                self._thread = Thread(target=self._draw_all, name="progress", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield running
        finally:
            with self._changed:
                self._tasks.remove(running)
                if not self._tasks:
                    self._busy += time.monotonic() - self._since

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Nothing is drawn while inside, and what was is gone."""
        with self._screen:
            self._clear()
            yield

    def end(self) -> None:
        """Nothing is drawn any more."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        with self._screen:
            self._clear()

    def close(self) -> None:
        """The same, and no thread is left for the end of the interpreter to stop in the midst of something."""
        self.end()
        if self._thread is not None:
            self._thread.join(LAST_WORDS)

    def _draw_all(self) -> None:
        try:
            if not self._wait_until_due():
                return
            # Not under a lock: whoever ends the drawing does not wait for the library.
            from prontosync.cli.bars import Bars

            while not self._ended:
                with self._screen:
                    self._draw(Bars)
                self._pause()
        except (OSError, ValueError):  # the terminal is gone, or closed
            pass
        finally:
            self._ended = True

    def _pause(self) -> None:
        """Until it is time to draw again; where there was nothing to draw, until there is."""
        with self._changed:
            if not self._bars:
                self._changed.wait_for(lambda: self._ended or self._tasks)
            self._changed.wait_for(lambda: self._ended, PERIOD)

    def _wait_until_due(self) -> bool:
        """Whether there has been work for long enough, and there still is; waits for it until the end."""
        with self._changed:
            while not self._ended:
                left = None
                if self._tasks:
                    left = self._delay - self._busy - (time.monotonic() - self._since)
                    if left <= 0:
                        return True
                self._changed.wait(left)
        return False

    def _draw(self, bars: type[Bars]) -> None:
        tasks = self._shown()
        if self._ended or not tasks or not self._in_front():
            self._clear()
            return
        self._bars = self._bars or bars(self._stream, self._colour)
        self._bars.draw(tasks)

    def _clear(self) -> None:
        bars, self._bars = self._bars, None
        if bars is not None and self._in_front():
            with suppress(OSError, ValueError):
                bars.clear()

    def _shown(self) -> Sequence[Shown]:
        with self._changed:
            return [task.shown() for task in self._tasks]

    def _in_front(self) -> bool:
        """Whether the shell has this program in front; one in the background leaves the terminal alone."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):  # a terminal that controls nobody
            return True


class _Running:
    """The contract's Task."""

    def __init__(self, label: str, total: int | None, unit: str, objects: int | None) -> None:
        self.began = time.monotonic()
        self._label, self._total, self._unit, self._objects = label, total, unit, objects
        self._done = self._objects_done = 0
        self._lock = Lock()

    def advance(self, amount: int, objects: int = 0) -> None:
        with self._lock:
            self._done += amount
            self._objects_done += objects

    def at(self, label: str) -> None:
        self._label = label

    def shown(self) -> Shown:
        with self._lock:
            done, objects_done = self._done, self._objects_done
        seconds = time.monotonic() - self.began
        return Shown(self._label, self._total, self._unit, done, self._objects, objects_done, seconds)
