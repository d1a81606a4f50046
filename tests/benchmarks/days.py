"""Two days of the shop: the first snapshot and push, the next day's, the same over long lines, and looking back."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks.bare import bare_size
from tests.benchmarks.bench import Bench, Turn
from tests.benchmarks.command import Command
from tests.benchmarks.edits import Edit
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.till import copy_shop, size_of
from tests.benchmarks.wire import Link

FIRST_SNAPSHOT, FIRST_PUSH = "first snapshot", "first push"
CAPTURE = "turning capture on"
NEXT_SNAPSHOT, NEXT_PUSH = "next day's snapshot", "next day's push"
DIFF, PULL, PULL_LIVE, PAST = "row diff", "pull", "pull into a live database", "aggregate on yesterday"
LINKS = {
    "next day's push over 60 ms, 1 MB/s": Link(0.060, 1e6),
    "next day's push over 200 ms, 1 MB/s": Link(0.200, 1e6),
}
LINK_RUNS = 3
TOO_MUCH = 60_000_000
"""A push of more bytes than that is not waited for: at 1 MB/s it takes their number in seconds, at least."""
STORED = {"stored here": "state", "stored on the hub": "hub"}


def play_days(bench: Bench, *, links: bool) -> None:
    bench.results.know("bytes", "shop", size_of(bench.shop))
    _measure_bare(bench)
    for run in range(bench.runs):
        bench.say(f"two days, run {run + 1} of {bench.runs}")
        with bench.staged(bench.peers) as turns:
            _play(turns[:: -1 if run % 2 else 1], links=links and run < LINK_RUNS)


def _play(turns: list[Turn], *, links: bool) -> None:
    """The peers take each step in turn, so that what else the machine does meanwhile hits all alike."""
    _all(turns, FIRST_SNAPSHOT, lambda peer: peer.snapshot(0))
    _all(turns, FIRST_PUSH, lambda peer: peer.push(0))
    _weigh(turns, "first")
    _all(turns, CAPTURE, lambda peer: peer.after_first())
    for turn in turns:
        turn.quietly("settling", turn.peer.settle)
        turn.quietly("a second place", turn.peer.start_pull)
        turn.quietly("a day's edits", turn.peer.edit, Edit("next_day"))
    _all(turns, NEXT_SNAPSHOT, lambda peer: peer.snapshot(1))
    if links:
        _rehearse(turns)
    for turn in turns:
        with turn.listed(NEXT_PUSH):
            turn.take(NEXT_PUSH, None if turn.failed else turn.peer.push(1))
    _weigh(turns, "next")
    _all(turns, DIFF, lambda peer: peer.diff())
    _all(turns, PULL, lambda peer: peer.pull())
    _all(turns, PULL_LIVE, lambda peer: peer.pull_live())
    _all(turns, PAST, lambda peer: peer.past())


def _all(turns: list[Turn], step: str, command: Callable[[Peer], Command | None]) -> None:
    for turn in turns:
        turn.take(step, None if turn.failed else command(turn.peer))


def _rehearse(turns: list[Turn]) -> None:
    for turn in turns:
        if turn.failed or _hopeless(turn):
            continue
        for step, link in LINKS.items():
            with turn.rehearsal(link):
                turn.take(step, turn.peer.push(1))


def _hopeless(turn: Turn) -> bool:
    """Known where it sends the whole file, or was seen to send too much in the run before."""
    seen = turn.bench.results.median(NEXT_PUSH, turn.name)
    expected = seen.sent if seen else size_of(turn.bench.shop) if turn.peer.sends_all else 0
    return expected > TOO_MUCH


def _weigh(turns: list[Turn], when: str) -> None:
    for turn in turns:
        if not turn.failed and turn.peer.pushes:
            for fact, folder in STORED.items():
                turn.bench.results.know(f"{when}: {fact}", turn.name, size_of(getattr(turn.peer.stage, folder)))


def _measure_bare(bench: Bench) -> None:
    """What the day's changes come to on their own."""
    tomorrow = bench.folder / "tomorrow.db"
    if not tomorrow.exists():
        copy_shop(bench.shop, tomorrow)
        Edit("next_day").make_in(tomorrow)
    rows, size = bare_size(bench.shop, tomorrow, bench.folder / "bare")
    bench.results.know("bytes", "bare next day", size)
    bench.results.know("rows", "next day", rows)
