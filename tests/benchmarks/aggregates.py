"""A question over all sale lines: of plain Parquet, of the first snapshot, and of one with a day laid over it."""

from __future__ import annotations

import sys

from tests.benchmarks.bench import Bench
from tests.benchmarks.command import Command, command
from tests.benchmarks.edits import Edit
from tests.benchmarks.peers.peer import AGGREGATE
from tests.benchmarks.peers.prontosync import Prontosync

PLAIN, UNPATCHED, PATCHED = (
    "aggregate over a plain Parquet file",
    "aggregate over the first snapshot",
    "aggregate over the next day's",
)


def play_aggregates(bench: Bench) -> None:
    """The yardstick is a process too, with Python's start and DuckDB's."""
    with bench.staged([Prontosync]) as turns:
        turn = turns[0]
        assert isinstance(turn.peer, Prontosync)
        turn.begin()
        turn.quietly("a day's edits", turn.peer.edit, Edit("next_day"))
        turn.quietly("the next day", turn.peer.stage.meter.run, turn.peer.run("snapshot"))
        plain = turn.peer.stage.folder / "plain.parquet"
        turn.quietly("exporting", turn.peer.stage.meter.run, turn.peer.run("export", "HEAD", "sale_line", "-o", plain))
        for _ in range(bench.runs):
            turn.take(PLAIN, _plain(str(plain)), name="plain")
            turn.take(UNPATCHED, turn.peer.aggregate("HEAD~1"))
            turn.take(PATCHED, turn.peer.aggregate("HEAD"))


def _plain(path: str) -> Command:
    question = AGGREGATE.format(table=f"read_parquet('{path}')")
    return command(sys.executable, "-c", f"import duckdb\nprint(duckdb.sql({question!r}).fetchall())")
