"""What this program should reach, and whether it did. A target that is missed is told as plainly as one that is met."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.aggregates import PATCHED, PLAIN
from tests.benchmarks.days import DIFF, FIRST_SNAPSHOT, LINKS, NEXT_PUSH, NEXT_SNAPSHOT
from tests.benchmarks.merging import MERGE, MERGE_LIVE
from tests.benchmarks.meter import Figure
from tests.benchmarks.results import Results
from tests.benchmarks.small import SCATTERED, UNCHANGED
from tests.benchmarks.syncs import DAY, SYNC, WIDE_SYNC

OURS, TRACKED = "prontosync", "tracked"
FILE_LEVEL = ("doltlite", "restic", "rclone", "borg", "rsync")


@dataclass(frozen=True)
class Verdict:
    """``met`` is None where it was not measured, or cannot be judged at this scale."""

    target: str
    limit: str
    found: str
    met: bool | None


def judge(results: Results, scale: float) -> list[Verdict]:
    return [verdict for judge_part in _PARTS for verdict in judge_part(results, scale)]


def _snapshots(results: Results, scale: float) -> Iterator[Verdict]:
    ratio = results.ratio(FIRST_SNAPSHOT, OURS, FIRST_SNAPSHOT, "adbc")
    yield _below("first snapshot", "reading all rows with ADBC", ratio, 1.5)
    yield _faster("first snapshot", FIRST_SNAPSHOT, "doltlite", results)
    ratio = results.ratio(NEXT_SNAPSHOT, OURS, NEXT_SNAPSHOT, "adbc")
    yield _below("next day's snapshot, full read", "reading all rows with ADBC", ratio, 1.1)
    scattered = results.median(SCATTERED, TRACKED)
    yield _seconds("snapshot of 1,000 scattered changes, with capture", scattered, 0.5)
    for name, how in ((TRACKED, "with capture"), (OURS, "full read")):
        yield _seconds(f"snapshot, nothing changed, {how}", results.median(UNCHANGED, name), 0.35)


def _sending(results: Results, scale: float) -> Iterator[Verdict]:
    ours, bare = results.median(NEXT_PUSH, OURS), results.fact("bytes", "bare next day")
    limit = 1.3 * bare + 15_000 if bare else None
    yield _bytes("bytes sent for the next day", "1.3 × the bare changed rows + 15 KB", ours, limit)
    for name in ("git", "sqldiff"):
        theirs = results.median(NEXT_PUSH, name)
        yield _bytes("bytes sent for the next day", f"under {name}", ours, theirs.sent if theirs else None)
    for name in FILE_LEVEL:
        theirs = results.median(NEXT_PUSH, name)
        limit = theirs.sent / 100 if theirs else None
        yield _bytes("bytes sent for the next day", f"under a hundredth of {name}", ours, limit)
    slow = list(LINKS)[-1]
    yield _seconds(slow, results.median(slow, OURS), 3)


def _syncing(results: Results, scale: float) -> Iterator[Verdict]:
    for step, limit in ((SYNC, 1_200_000), (WIDE_SYNC, 1_500_000)):
        done = results.figures.get(step, {})
        name = TRACKED if done.get(TRACKED) else OURS
        # A day that was cut short, or was meant to be short, sent less for no merit.
        total = results.total(step, name) if len(done.get(name, ())) == DAY else None
        yield _bytes(f"bytes sent by a day of {DAY} syncs: {step}", f"{limit / 1e6:g} MB", total, limit)


def _looking(results: Results, scale: float) -> Iterator[Verdict]:
    yield _seconds("row diff of the next day", results.median(DIFF, OURS), 0.5)
    for name in ("sqldiff", "git", "doltlite"):
        yield _faster("row diff of the next day", DIFF, name, results)
    plain, patched = results.median(PLAIN, "plain"), results.median(PATCHED, OURS)
    ratio = patched.wall / plain.wall if plain and patched else None
    yield _below("aggregate over a patched table", "the same over plain Parquet", ratio, 3)


def _merging(results: Results, scale: float) -> Iterator[Verdict]:
    for step, name, how in ((MERGE, OURS, "at head office"), (MERGE_LIVE, TRACKED, "into a live database, captured")):
        merge = results.median(step, name)
        yield _seconds(f"merge, {how}", merge, 1.5)
        yield _memory(f"merge, {how}", merge.memory if merge else None, 400)


def _storing(results: Results, scale: float) -> Iterator[Verdict]:
    stored, shop = results.fact("first: stored here", OURS), results.fact("bytes", "shop")
    yield _below("stored size, first snapshot", "the SQLite file", stored / shop if stored and shop else None, 0.13)
    peak, step = results.peak(OURS, TRACKED)
    verdict = _memory(f"memory at scale 10, in every command (most: {step})", peak or None, 500)
    small = scale < 10 and bool(verdict.met)
    yield Verdict(verdict.target, verdict.limit, f"{verdict.found} at scale {scale:g}", None if small else verdict.met)


_PARTS: tuple[Callable[[Results, float], Iterator[Verdict]], ...] = (
    _snapshots,
    _sending,
    _syncing,
    _looking,
    _merging,
    _storing,
)


def _seconds(target: str, figure: Figure | None, limit: float) -> Verdict:
    found = f"{figure.wall:.2f} s" if figure else None
    return _verdict(target, f"≤ {limit:g} s", found, figure and figure.wall <= limit)


def _memory(target: str, value: float | None, limit: float) -> Verdict:
    found = f"{value / 1e6:.0f} MB" if value else None
    return _verdict(target, f"≤ {limit:g} MB", found, value and value <= limit * 1e6)


def _below(target: str, yardstick: str, ratio: float | None, limit: float) -> Verdict:
    found = f"{ratio:.2f} ×" if ratio else None
    return _verdict(target, f"≤ {limit:g} × {yardstick}", found, ratio and ratio <= limit)


def _faster(target: str, step: str, peer: str, results: Results) -> Verdict:
    ours, theirs = results.median(step, OURS), results.median(step, peer)
    if not ours or not theirs:
        return _verdict(target, f"faster than {peer}", None, None)
    found = f"{ours.wall:.2f} s, {peer} {theirs.wall:.2f} s"
    return _verdict(target, f"faster than {peer}", found, ours.wall < theirs.wall)


def _bytes(target: str, limit_text: str, figure: Figure | None, limit: float | None) -> Verdict:
    if figure is None or limit is None:
        return _verdict(target, limit_text, None, None)
    return _verdict(target, f"{limit_text}: {limit:,.0f}", f"{figure.sent:,}", figure.sent <= limit)


def _verdict(target: str, limit: str, found: str | None, met: object) -> Verdict:
    return Verdict(target, limit, found or "not measured", bool(met) if found else None)
