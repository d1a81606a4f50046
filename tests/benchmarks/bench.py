"""One run of the benchmark: where it happens, what takes part, and how one step is measured."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.command import Command
from tests.benchmarks.hub_files import Listing
from tests.benchmarks.meter import Failed, Figure, Meter
from tests.benchmarks.peers.peer import Peer, Stage
from tests.benchmarks.peers.prontosync import Prontosync
from tests.benchmarks.results import Results
from tests.benchmarks.server import Server
from tests.benchmarks.wire import Link


@dataclass
class Bench:
    """``peers`` are those that can take part. ``shop`` is the database that every stage begins with.
    ``setting``: what the page says of the machine."""

    folder: Path
    server: Server
    scale: float
    runs: int
    peers: Sequence[type[Peer]]
    shop: Path
    keep: bool = False
    syncs: int = 144
    setting: Sequence[tuple[str, str]] = ()
    results: Results = field(default_factory=Results)

    def peer(self, kind: type[Peer], shop: Path | None = None) -> Peer:
        """One peer on a fresh stage of its own."""
        folder = self.folder / "stages" / kind.name
        stage = Stage(folder, self.server.access, Meter(folder, [self.server.wire]))
        stage.open(shop or self.shop)
        return kind(stage)

    @contextmanager
    def staged(self, kinds: Sequence[type[Peer]], shop: Path | None = None) -> Iterator[list[Turn]]:
        """Those peers, ready for their first snapshot."""
        turns = [Turn(self, self.peer(kind, shop)) for kind in kinds]
        with ExitStack() as stack:
            for turn in turns:
                stack.callback(turn.close)
                turn.quietly("setting up", turn.peer.prepare)
            yield turns

    def say(self, text: str) -> None:
        print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclass
class Turn:
    """A peer in the course of one run. Where a step fails, what would follow is left out, and the reason is kept."""

    bench: Bench
    peer: Peer
    failed: bool = False

    @property
    def name(self) -> str:
        return self.peer.name

    def take(self, step: str, *commands: Command | None, name: str = "") -> Figure | None:
        """Measure a step that is one command, or several one after the other; ``name``: of a yardstick in its place."""
        wanted = [command for command in commands if command]
        if self.failed or not wanted:
            return None
        try:
            figure = self.peer.stage.meter.run(wanted[0])
            for command in wanted[1:]:
                figure = figure.then(self.peer.stage.meter.run(command))
        except Failed as failure:
            self._fail(step, failure)
            return None
        self.bench.say(f"{step}: {self.name} {figure.wall:.2f} s, {figure.sent:,} bytes sent")
        self.bench.results.add(step, name or self.name, figure)
        return figure

    def begin(self) -> None:
        """The first snapshot and push, and what follows once, unmeasured."""
        for number_of in (self.peer.snapshot, self.peer.push):
            if not self.failed and (command := number_of(0)):
                self.quietly("beginning", self.peer.stage.meter.run, command)
        if not self.failed and (command := self.peer.after_first()):
            self.quietly("beginning", self.peer.stage.meter.run, command)
        self.quietly("settling", self.peer.settle)

    def quietly(self, step: str, work: Callable[..., object], *values: object) -> None:
        """Do what is not measured."""
        if self.failed:
            return
        try:
            work(*values)
        except Failed as failure:
            self._fail(step, failure)

    @contextmanager
    def rehearsal(self, link: Link | None = None) -> Iterator[None]:
        """What is done inside is undone at the end; ``link``: it goes over that line."""
        stage = self.peer.stage
        folders = [folder for folder in (stage.state, stage.hub, stage.live) if folder.exists()]
        for folder in folders:
            shutil.copytree(folder, f"{folder}.saved", symlinks=True, copy_function=shutil.copy2)
        try:
            with ExitStack() as stack:
                for wire in stage.meter.wires:
                    stack.enter_context(wire.linked(link))
                yield
        finally:
            for folder in folders:
                shutil.rmtree(folder)
                Path(f"{folder}.saved").rename(folder)
            self.quietly("putting back", self.peer.restored)

    @contextmanager
    def listed(self, step: str) -> Iterator[None]:
        """Of this program it is kept which files the step leaves on the hub."""
        before = Listing.of(self.peer.stage.hub)
        yield
        if isinstance(self.peer, Prontosync):
            self.bench.results.listings[step] = Listing.of(self.peer.stage.hub).since(before)

    def close(self) -> None:
        self.peer.close()
        if not self.bench.keep:
            with suppress(OSError):
                shutil.rmtree(self.peer.stage.folder)

    def _fail(self, step: str, failure: Failed) -> None:
        self.failed = True
        self.bench.say(f"{step}: {self.name} failed: {failure}")
        # No reader wants to know in which folders of this machine it happened.
        self.bench.results.fail(step, self.name, re.sub(r"/[\w./-]+/", "", str(failure)))
