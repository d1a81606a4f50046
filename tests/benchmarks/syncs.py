"""A day of 144 five-minute syncs at a small till, byte by byte; and the same where 120 tables do not move."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from tests.benchmarks.bare import bare_day, bare_size
from tests.benchmarks.bench import Bench, Turn
from tests.benchmarks.day_shop import build_day_shop
from tests.benchmarks.edits import Edit
from tests.benchmarks.peers.prontosync import Prontosync, Tracked
from tests.benchmarks.till import copy_shop, size_of

SYNC, IDLE = "five-minute sync", "sync with nothing new"
WIDE_SYNC, WIDE_IDLE = "five-minute sync, 120 tables", "sync with nothing new, 120 tables"
DAY = 144
TABLES = 120


def play_syncs(bench: Bench) -> None:
    shop = build_day_shop(bench.folder / "day.db", bench.scale)
    bench.results.know("bytes", "day shop", size_of(shop))
    _measure_bare(bench, shop)
    kinds = [kind for kind in bench.peers if kind.pushes]
    with bench.staged(_ours(kinds), shop) as turns:
        _play(turns, bench.syncs, "five_minutes", (SYNC, IDLE))


def play_wide(bench: Bench) -> None:
    shop = build_day_shop(bench.folder / "wide.db", bench.scale, TABLES)
    bench.results.know("bytes", "wide shop", size_of(shop))
    kinds = [kind for kind in bench.peers if issubclass(kind, Prontosync)]
    with bench.staged(_ours(kinds), shop) as turns:
        _play(turns, bench.syncs, "five_minutes_wide", (WIDE_SYNC, WIDE_IDLE))


def _ours(kinds: list[type]) -> list[type]:
    """Of this program the way a till is meant to run: with capture where there is such a thing."""
    return [kind for kind in kinds if kind is not Prontosync or Tracked not in kinds]


def _play(turns: list[Turn], syncs: int, edit: str, steps: tuple[str, str]) -> None:
    for turn in turns:
        turn.begin()
    for number in range(syncs):
        for turn in turns:
            turn.quietly("five minutes", turn.peer.edit, Edit(edit, number))
            _sync(turn, number, steps[0], listed=number == syncs // 2)
    for turn in turns:
        if isinstance(turn.peer, Prontosync):
            for _ in range(3):
                turn.take(steps[1], turn.peer.sync())


def _sync(turn: Turn, number: int, step: str, *, listed: bool) -> None:
    if not isinstance(turn.peer, Prontosync):
        turn.take(step, turn.peer.snapshot(number + 1), turn.peer.push(number + 1))
        return
    with turn.listed(step) if listed else nullcontext():
        turn.take(step, turn.peer.sync())


def _measure_bare(bench: Bench, shop: Path) -> None:
    """The day's changed rows as one file a table, and as one file a table and sync."""
    evening = bench.folder / "evening.db"
    copy_shop(shop, evening)
    sizes = bare_day(evening, bench.folder / "bare-day", bench.syncs, "five_minutes")
    bench.results.know("bytes", "bare day, by sync", sum(sizes))
    bench.results.know("bytes", "bare day, at once", bare_size(shop, evening, bench.folder / "bare-day")[1])
    evening.unlink()
