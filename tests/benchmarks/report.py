"""The benchmark's page: what it was taken on, the targets, and every figure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence

from tests.benchmarks.aggregates import PATCHED, PLAIN, UNPATCHED
from tests.benchmarks.bench import Bench
from tests.benchmarks.days import (
    CAPTURE,
    DIFF,
    FIRST_PUSH,
    FIRST_SNAPSHOT,
    LINKS,
    NEXT_PUSH,
    NEXT_SNAPSHOT,
    PAST,
    PULL,
    PULL_LIVE,
)
from tests.benchmarks.merging import CONFLICTS, MERGE, MERGE_LIVE
from tests.benchmarks.meter import Figure
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.small import SCATTERED, STATUS, UNCHANGED
from tests.benchmarks.syncs import IDLE, SYNC, WIDE_IDLE, WIDE_SYNC
from tests.benchmarks.targets import Verdict, judge

NOTES = """\
How it is measured: each figure is a whole process, with the start of Python where there is one. Time is the median of
the runs; in a run all take a step before any takes the next, in one order in one run and the other way round in the
next. Processor time is that of the client and what it starts. Memory is the most that any one of its processes held in
any run, and never less than the 10 MB of the process that measures. Sent and received are bytes of TCP payload, counted
by a proxy: all goes through it, SSH's own handshake included, and behind it stands a real OpenSSH server on loopback.
Slow lines are that proxy with half the round trip added each way, one more for connecting, and 1 MB/s each way.

Every peer is used as its user would:

- **doltlite** takes the SQLite file over in its first snapshot. From then on the till is taken to run on doltlite: the
  day's edits are not measured, and its snapshot is its commit alone. It pushes over its own HTTP, which is not
  encrypted. Its merge cannot keep conflicts open; here it decides all of them for one side.
- **git** commits a CSV file a table, dumped in key order by the sqlite3 shell. Its conflicts are places in the text.
- **sqldiff** compares today's copy of the database with yesterday's, and both have to be kept.
- **restic**, **rclone**, **borg** and **rsync** get a consistent copy of the file from the sqlite3 shell as
  their snapshot. rclone and rsync keep no past.
- What a pull brings is in a database afterwards with doltlite, sqldiff and *pull into a live database*; with git it is
  CSV files, with *pull* of ProntoSync a repository to ask, with the others a copy of the file.
"""
TITLES = {"plain": "DuckDB alone"}
"""Of what is measured and is no peer."""
ORDER = (
    *(FIRST_SNAPSHOT, FIRST_PUSH, CAPTURE, NEXT_SNAPSHOT, NEXT_PUSH, *LINKS, DIFF, PULL, PULL_LIVE, PAST),
    *(UNCHANGED, STATUS, SCATTERED, PLAIN, UNPATCHED, PATCHED, MERGE, MERGE_LIVE, IDLE, WIDE_IDLE),
)


def page(bench: Bench, everyone: Sequence[type[Peer]]) -> str:
    """The whole page, in Markdown."""
    return "\n".join(_lines(bench, everyone)) + "\n"


def _lines(bench: Bench, everyone: Sequence[type[Peer]]) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield "Written by `./dev bench`."
    yield ""
    yield from _setting(bench, everyone)
    yield "## Targets"
    yield ""
    yield from _verdicts(judge(bench.results, bench.scale))
    yield "## Figures"
    yield ""
    yield NOTES
    for step in ORDER:
        if step in bench.results.figures:
            yield f"### {step[0].upper()}{step[1:]}"
            yield ""
            yield from _figures(bench, step, everyone)
            yield from _listing(bench, step, "it")
    yield from _stored(bench, everyone)
    yield from _merges(bench, everyone)
    for step in (SYNC, WIDE_SYNC):
        yield from _syncs(bench, step, everyone)
    yield from _failures(bench, everyone)


def _setting(bench: Bench, everyone: Sequence[type[Peer]]) -> Iterator[str]:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    yield from _table(("", ""), [("date", today), *bench.setting, *_scale(bench)])
    yield from _table(("taking part", "version"), [(kind.title, _presence(bench, kind)) for kind in everyone])


def _presence(bench: Bench, kind: type[Peer]) -> str:
    reason = bench.results.absent.get(kind.name)
    return f"not available: {reason}" if reason else kind.version()


def _scale(bench: Bench) -> Iterator[tuple[str, str]]:
    results = bench.results
    yield "scale", f"{bench.scale:g}"
    yield "runs", str(bench.runs)
    sizes = (
        ("the shop's database", results.fact("bytes", "shop")),
        ("the next day's changed rows as bare Parquet with zstd", results.fact("bytes", "bare next day")),
        ("the database of the day of syncs", results.fact("bytes", "day shop")),
        ("the day's changed rows as bare Parquet, a file a table", results.fact("bytes", "bare day, at once")),
        ("the same, a file a table and sync", results.fact("bytes", "bare day, by sync")),
    )
    yield from ((name, f"{size:,.0f} bytes") for name, size in sizes if size)
    rows = results.fact("rows", "next day")
    if rows:
        yield "rows that the next day changes", f"{rows:,.0f}"


def _verdicts(verdicts: Iterable[Verdict]) -> Iterator[str]:
    words = {True: "met", False: "**not met**", None: "—"}
    yield from _table(
        ("", "target", "found", ""),
        [(verdict.target, verdict.limit, verdict.found, words[verdict.met]) for verdict in verdicts],
    )


def _figures(bench: Bench, step: str, everyone: Sequence[type[Peer]]) -> Iterator[str]:
    titles = {kind.name: kind.title for kind in everyone} | TITLES
    figures = [(title, figure) for name, title in titles.items() if (figure := bench.results.median(step, name))]
    wired = any(figure.sent for _, figure in figures)
    head = ("", "time", "processor", "memory", *(("sent", "received") if wired else ()))
    measured = [(title, *_cells(figure, wired=wired)) for title, figure in figures]
    yield from _table(head, measured + _unwaited(bench, step, everyone))


def _cells(figure: Figure, *, wired: bool) -> tuple[str, ...]:
    wire = (f"{figure.sent:,}", f"{figure.received:,}") if wired else ()
    return f"{figure.wall:.2f} s", f"{figure.cpu:.2f} s", f"{figure.memory / 1e6:.0f} MB", *wire


def _unwaited(bench: Bench, step: str, everyone: Sequence[type[Peer]]) -> list[tuple[str, ...]]:
    """On a slow line, those whose bytes alone tell that it takes minutes."""
    if step not in LINKS:
        return []
    names = bench.results.figures[step]
    pushed = {kind: bench.results.median(NEXT_PUSH, kind.name) for kind in everyone if kind.name not in names}
    return [
        (kind.title, f"not waited for: over {figure.sent / LINKS[step].rate:.0f} s", "", "", f"{figure.sent:,}", "")
        for kind, figure in pushed.items()
        if figure
    ]


def _stored(bench: Bench, everyone: Sequence[type[Peer]]) -> Iterator[str]:
    facts = ("first: stored here", "first: stored on the hub", "next: stored here", "next: stored on the hub")
    rows = []
    for kind in everyone:
        sizes = [bench.results.fact(fact, kind.name) for fact in facts]
        if any(size is not None for size in sizes):
            rows.append((kind.title, *("" if size is None else f"{size:,.0f}" for size in sizes)))
    if rows:
        yield "### Bytes stored"
        yield ""
        yield "Beside the live database; of restic and borg it is their cache, of sqldiff the copies that it compares."
        yield ""
        yield from _table(("", "first day, here", "on the hub", "next day, here", "on the hub"), rows)


def _merges(bench: Bench, everyone: Sequence[type[Peer]]) -> Iterator[str]:
    real = bench.results.fact(CONFLICTS, "real")
    if real is None:
        return
    yield "### Conflicts reported by the merge"
    yield ""
    edits = bench.results.fact("rows", "merge") or 0
    yield f"Each side changes {edits:,.0f} sale lines. {real:,.0f} of them are the same: so many are real."
    yield ""
    found = [(kind.title, bench.results.fact(CONFLICTS, kind.name)) for kind in everyone]
    yield from _table(("", "conflicts"), [(title, f"{count:,.0f}") for title, count in found if count is not None])


def _syncs(bench: Bench, step: str, everyone: Sequence[type[Peer]]) -> Iterator[str]:
    names = bench.results.figures.get(step)
    if not names:
        return
    yield f"### A day of {max(len(figures) for figures in names.values())} syncs: {step}"
    yield ""
    rows = [_day(bench, step, kind) for kind in everyone if kind.name in names]
    head = (
        "",
        "syncs",
        "sent in all",
        "received in all",
        "sent by one",
        "time of one",
        "longest",
        "processor of one",
        "memory",
    )
    yield from _table(head, rows)
    yield from _listing(bench, step, "one sync in the middle of the day")


def _listing(bench: Bench, step: str, what: str) -> Iterator[str]:
    lines = bench.results.listings.get(step)
    if lines:
        yield f"What {what} leaves on the hub, file by file, in bytes:"
        yield ""
        yield from (f"- {line}" for line in lines)
        yield ""


def _day(bench: Bench, step: str, kind: type[Peer]) -> tuple[str, ...]:
    figures = bench.results.figures[step][kind.name]
    total, one = bench.results.total(step, kind.name), bench.results.median(step, kind.name)
    assert total
    assert one
    longest = max(figure.wall for figure in figures)
    sizes = (str(len(figures)), f"{total.sent:,}", f"{total.received:,}", f"{one.sent:,}")
    return (
        kind.title,
        *sizes,
        f"{one.wall:.2f} s",
        f"{longest:.2f} s",
        f"{one.cpu:.2f} s",
        f"{one.memory / 1e6:.0f} MB",
    )


def _failures(bench: Bench, everyone: Sequence[type[Peer]]) -> Iterator[str]:
    titles = {kind.name: kind.title for kind in everyone}
    if bench.results.failures:
        yield "## What failed"
        yield ""
        for (step, name), reason in bench.results.failures.items():
            yield f"- {titles[name]}, {step}: {reason}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
