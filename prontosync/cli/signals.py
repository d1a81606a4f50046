"""The signals that end a run, as exceptions, so that every ``with`` and ``finally`` on the way out is honoured."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Not an ``Exception``: nobody who catches those may swallow it."""


@contextmanager
def heeded() -> Iterator[None]:
    """While inside, SIGTERM and SIGHUP raise ``Terminated`` once; whichever was being ignored stays ignored."""
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    caught = [number for number, handler in previous.items() if handler != signal.SIG_IGN]
    try:
        for number in caught:
            signal.signal(number, _raise)
    except ValueError:  # not the main thread, where signals are not ours to heed
        caught = []
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, previous[number])


def _raise(number: int, frame: FrameType | None) -> None:
    # The way out must not be cut short by the same signal once more.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated
