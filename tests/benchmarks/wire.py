"""A TCP proxy that counts the bytes of both directions and, when told to, is as long and as narrow as a real line."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

BUFFERED = 0.25
"""A line takes in what it can send in so many seconds, then makes the sender wait."""


@dataclass(frozen=True)
class Link:
    """``round_trip`` in seconds, ``rate`` in bytes a second and direction."""

    round_trip: float
    rate: float


@dataclass(frozen=True)
class Counts:
    """Payload bytes of TCP, so with what SSH or HTTP adds, and without the headers of TCP and IP."""

    sent: int
    received: int


class Wire:
    """The way to ``target``, a port on loopback: connect to ``port``. Use it as a context manager."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.server.getsockname()[1]
        self.sent, self.received = _Direction(), _Direction()
        self.link: Link | None = None
        self._open = 0
        self._change = threading.Condition()

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    @contextmanager
    def linked(self, link: Link | None) -> Iterator[None]:
        """Connections made inside go over this line."""
        self.link = link
        try:
            yield
        finally:
            self.link = None

    def settled(self, patience: float = 20.0) -> Counts:
        """The counts so far, once every client that has gone is counted to its last byte."""
        with self._change:
            self._change.wait_for(lambda: self._open == 0, patience)
        return Counts(self.sent.count, self.received.count)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.server.accept()
                with self._change:
                    self._open += 1
                threading.Thread(target=self._connect, args=(near, self.link), daemon=True).start()

    def _connect(self, near: socket.socket, link: Link | None) -> None:
        """One connection, from its start to its end. A long line's handshake takes a round trip too."""
        try:
            with near, socket.create_connection(("127.0.0.1", self.target)) as far:
                for sock in (near, far):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if link:
                    time.sleep(link.round_trip)
                back = threading.Thread(target=self.received.carry, args=(far, near, link), daemon=True)
                back.start()
                self.sent.carry(near, far, link)
                back.join()
        except OSError:
            pass
        finally:
            with self._change:
                self._open -= 1
                self._change.notify_all()


class _Direction:
    """One direction of a line, which all its connections share."""

    def __init__(self) -> None:
        self.count = 0
        self.free_at = 0.0
        self.lock = threading.Lock()

    def carry(self, source: socket.socket, target: socket.socket, link: Link | None) -> None:
        """Hand bytes on until the source ends, then end the target."""
        if link is None:
            self._hand_on(lambda: self._taken(source, 1 << 18), target)
            return
        due: queue.Queue[tuple[float, bytes]] = queue.Queue()
        taker = threading.Thread(target=self._take, args=(source, due, link), daemon=True)
        taker.start()
        self._hand_on(lambda: _awaited(due), target)
        taker.join()

    def _take(self, source: socket.socket, due: queue.Queue[tuple[float, bytes]], link: Link) -> None:
        data = b"-"
        while data:
            data = self._taken(source, 1 << 14)
            with self.lock:
                self.free_at = max(self.free_at, time.monotonic()) + len(data) / link.rate
                full = self.free_at
            due.put((full + link.round_trip / 2, data))
            time.sleep(max(0.0, full - time.monotonic() - BUFFERED))

    def _taken(self, source: socket.socket, limit: int) -> bytes:
        try:
            data = source.recv(limit)
        except OSError:
            data = b""
        with self.lock:
            self.count += len(data)
        return data

    def _hand_on(self, take: Callable[[], bytes], target: socket.socket) -> None:
        """What the target no longer wants is still taken, and so counted."""
        while data := take():
            with suppress(OSError):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _awaited(due: queue.Queue[tuple[float, bytes]]) -> bytes:
    when, data = due.get()
    time.sleep(max(0.0, when - time.monotonic()))
    return data
