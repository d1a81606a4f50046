"""The harness at a tiny scale: whole processes are measured, and every byte that leaves is counted."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from tests.benchmarks.bench import Bench
from tests.benchmarks.command import Command, command
from tests.benchmarks.days import FIRST_PUSH, FIRST_SNAPSHOT, NEXT_PUSH, PULL, play_days
from tests.benchmarks.meter import Failed, Meter
from tests.benchmarks.peers.peer import Peer, sftp, sftp_batch
from tests.benchmarks.peers.prontosync import Prontosync
from tests.benchmarks.report import page
from tests.benchmarks.server import running_server
from tests.benchmarks.shop import build_shop
from tests.benchmarks.wire import Link, Wire


class WholeFile(Peer):
    """The one peer that is always there: sftp of the whole file. What it sends is known to the byte."""

    name = "file"
    title = "sftp of the file"
    sizes: ClassVar[list[int]] = []

    def snapshot(self, number: int) -> Command | None:
        return command("cp", self.stage.till, self.stage.state / "copy.db")

    def push(self, number: int) -> Command | None:
        copy = self.stage.state / "copy.db"
        if copy.exists():
            self.sizes.append(copy.stat().st_size)
        put = sftp_batch(self.stage, "put", f"put {copy} {self.stage.hub}/shop.db")
        return command(*sftp(self.stage, put))

    def pull(self) -> Command | None:
        get = sftp_batch(self.stage, "get", f"get {self.stage.hub}/shop.db {self.stage.folder}/came.db")
        return command(*sftp(self.stage, get))


class Sender(Prontosync):
    """This program, without the steps that would only make the test longer."""

    def start_pull(self) -> None:
        pass

    def diff(self) -> Command | None:
        return None

    pull = pull_live = past = diff


def test_two_days_are_measured_byte_by_byte(tmp_path: Path) -> None:
    shop = tmp_path / "shop.db"
    build_shop(shop, 0.001)
    kinds = (Sender, WholeFile)
    with running_server(tmp_path / "server") as server:
        bench = Bench(tmp_path, server, 0.001, 1, kinds, shop)
        play_days(bench, links=False)
    results = bench.results
    assert results.failures == {}
    size = WholeFile.sizes[0]
    whole, back = results.median(FIRST_PUSH, "file"), results.median(PULL, "file")
    ours, ours_next = results.median(FIRST_PUSH, "prontosync"), results.median(NEXT_PUSH, "prontosync")
    assert whole
    assert back
    assert ours
    assert ours_next
    assert size < whole.sent < size + 30_000
    assert size < back.received < back.sent + size + 30_000
    assert size / 20 < ours.sent < size
    assert 1000 < ours_next.sent < ours.sent
    snapshot = results.median(FIRST_SNAPSHOT, "prontosync")
    assert snapshot
    assert snapshot.sent == snapshot.received == 0
    assert 0 < snapshot.cpu < 60
    assert snapshot.memory > 20_000_000
    told = page(bench, kinds)
    assert f"{whole.sent:,}" in told
    assert str(tmp_path) not in told


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets, one connection after the other."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                with sock:
                    while data := sock.recv(65536):
                        sock.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def sent_and_back(port: int, size: int) -> float:
    """Seconds that so many bytes take to the echo and back."""
    start = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", port))) as sock:
        sock.sendall(bytes(size))
        sock.shutdown(socket.SHUT_WR)
        came = 0
        while data := sock.recv(65536):
            came += len(data)
    assert came == size
    return time.monotonic() - start


def test_a_wire_counts_both_ways_and_is_as_slow_as_it_is_told() -> None:
    with echo() as port, Wire(port) as wire:
        sent_and_back(wire.port, 123_456)
        counts = wire.settled()
        assert (counts.sent, counts.received) == (123_456, 123_456)
        with wire.linked(Link(0.1, 500_000)):
            seconds = sent_and_back(wire.port, 100_000)
        counts = wire.settled()
        assert (counts.sent, counts.received) == (223_456, 223_456)
        # Connecting and going there and back are two round trips; at that rate the bytes alone take 0.2 s.
        assert 0.4 <= seconds < 4


def test_a_command_that_fails_is_no_figure(tmp_path: Path) -> None:
    assert shutil.which("false")
    with pytest.raises(Failed, match="ended with 1"):
        Meter(tmp_path).run(command("false"))
    assert Meter(tmp_path).run(command("false", fine=(1,))).wall > 0
