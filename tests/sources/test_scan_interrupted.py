"""A scan that is interrupted: nobody reads on behind its back, in a connection that is about to be closed."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from prontosync.sources.scan import _read_ahead


class _Slow:
    """A reader that takes its time."""

    def __init__(self) -> None:
        self.begun = self.done = 0

    def read_next_batch(self) -> str:
        self.begun += 1
        time.sleep(0.2)
        self.done += 1
        return "batch"


def test_an_interrupt_while_the_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    reader: Any = _Slow()
    with pytest.raises(KeyboardInterrupt):
        next(_read_ahead(reader))
    ended = (reader.begun, reader.done)
    assert reader.begun == reader.done
    time.sleep(0.5)
    assert (reader.begun, reader.done) == ended


def test_a_scan_that_is_left_early() -> None:
    reader: Any = _Slow()
    batches = _read_ahead(reader)
    assert next(batches) == "batch"
    batches.close()
    assert reader.begun == reader.done
