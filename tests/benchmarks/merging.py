"""A three-way merge: two places changed 10,000 sale lines each, 200 of them the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.benchmarks.bench import Bench, Turn
from tests.benchmarks.edits import side_lines

MERGE, MERGE_LIVE = "merge", "merge into a live database"
CONFLICTS = "conflicts"


def play_merges(bench: Bench) -> None:
    _know_edits(bench)
    with bench.staged([kind for kind in bench.peers if kind.merges]) as turns:
        for turn in turns:
            turn.quietly("two places", turn.peer.prepare_merge)
        for run in range(bench.runs):
            for turn in turns[:: -1 if run % 2 else 1]:
                _merge(turn)


def _merge(turn: Turn) -> None:
    """Undone at the end, so that each run merges the same."""
    if turn.failed:
        return
    with turn.rehearsal():
        if turn.take(MERGE, turn.peer.merge()):
            turn.bench.results.know(CONFLICTS, turn.name, turn.peer.conflicts())
        turn.take(MERGE_LIVE, turn.peer.merge_live())


def _know_edits(bench: Bench) -> None:
    with closing(sqlite3.connect(bench.shop)) as db:
        lines = db.execute("SELECT max(sale_line_id) FROM sale_line").fetchone()[0]
    mine, theirs = side_lines(lines)
    bench.results.know(CONFLICTS, "real", len(set(mine) & set(theirs)))
    bench.results.know("rows", "merge", len(mine))
