"""Snapshots between two sales: nothing changed, or a thousand rows here and there. With capture and without."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.edits import Edit
from tests.benchmarks.peers.prontosync import Prontosync, Tracked

UNCHANGED = "snapshot, nothing changed"
SCATTERED = "snapshot of 1,000 scattered changes"
STATUS = "status, nothing changed"


def play_small(bench: Bench) -> None:
    kinds = [kind for kind in (Prontosync, Tracked) if kind in bench.peers]
    with bench.staged(kinds) as turns:
        for turn in turns:
            turn.begin()
        for run in range(bench.runs):
            for turn in turns[:: -1 if run % 2 else 1]:
                turn.take(UNCHANGED, turn.peer.snapshot(1))
                turn.take(STATUS, turn.peer.status())
                turn.quietly("edits", turn.peer.edit, Edit("scattered", run))
                turn.take(SCATTERED, turn.peer.snapshot(1))
