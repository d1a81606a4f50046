"""What ends a wait that would never end: paramiko has waits without a time-out, and a frozen peer still acknowledges
what it is sent.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

STEP = 0.1


class Watchdog:
    """Shuts a socket down when nothing moved for the time allowed, or when the run's deadline has passed.

    ``reason`` says which, and is None until then.
    """

    def __init__(self, sock: socket.socket, deadline_at: float | None) -> None:
        self.reason: str | None = None
        self._sock = sock
        self._deadline_at = deadline_at
        self._until: float | None = None
        self._allowed = 0.0
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="prontosync-watchdog", daemon=True).start()

    def allow(self, seconds: float) -> None:
        """From now on, so long without another call."""
        self._allowed = seconds
        self._until = time.monotonic() + seconds

    def rest(self) -> None:
        """Nothing is being waited for; only the deadline counts."""
        self._until = None

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(STEP):
            now, until = time.monotonic(), self._until
            if self._deadline_at is not None and now > self._deadline_at:
                self.reason = "the time limit of this run is used up"
            elif until is not None and now > until:
                self.reason = f"nothing came for {self._allowed:g} s"
            if self.reason:
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)
                return
