"""The benchmark from the command line: ``python -m tests.benchmarks``, or ``./dev bench``."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.aggregates import play_aggregates
from tests.benchmarks.bench import Bench
from tests.benchmarks.command import module
from tests.benchmarks.days import play_days
from tests.benchmarks.machine import machine
from tests.benchmarks.merging import play_merges
from tests.benchmarks.peers.adbc import Adbc
from tests.benchmarks.peers.copies import Borg, Rclone, Restic, Rsync
from tests.benchmarks.peers.doltlite import Doltlite
from tests.benchmarks.peers.git_csv import Git
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.peers.prontosync import Prontosync, Tracked
from tests.benchmarks.peers.sqldiff import Sqldiff
from tests.benchmarks.report import page
from tests.benchmarks.server import running_server
from tests.benchmarks.small import play_small
from tests.benchmarks.syncs import play_syncs, play_wide

EVERYONE: tuple[type[Peer], ...] = (
    Prontosync,
    Tracked,
    Adbc,
    Doltlite,
    Git,
    Sqldiff,
    Restic,
    Rclone,
    Borg,
    Rsync,
)
PARTS: dict[str, Callable[[Bench], None]] = {
    "days": lambda bench: play_days(bench, links=False),
    "links": lambda bench: play_days(bench, links=True),
    "small": play_small,
    "aggregate": play_aggregates,
    "merge": play_merges,
    "syncs": play_syncs,
    "wide": play_wide,
}
"""``links`` is ``days`` with the slow lines, so a whole run has no need of ``days``."""
WHOLE = tuple(name for name in PARTS if name != "days")
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    options = _options()
    chosen = options.only or WHOLE
    whole = chosen == WHOLE and not options.without and options.scale == 1
    output = options.output or (PAGE if whole else None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        _run(options, folder, chosen, output)
    finally:
        if options.keep:
            print(f"bench: kept {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(options: argparse.Namespace, folder: Path, chosen: tuple[str, ...], output: Path | None) -> None:
    absent = {kind.name: kind.missing() for kind in EVERYONE}
    absent |= dict.fromkeys(options.without, "left out with --without")
    peers = [kind for kind in EVERYONE if not absent[kind.name]]
    shop = folder / "shop.db"
    build = module("tests.benchmarks.shop", shop, str(options.scale))
    with running_server(folder / "server") as server:
        bench = Bench(folder, server, options.scale, options.runs, peers, shop, options.keep, options.syncs, machine())
        bench.results.absent = {name: reason for name, reason in absent.items() if reason}
        bench.say("building the shop")
        subprocess.run(build.words, env=dict(build.environment), check=True)
        for name in chosen:
            bench.say(f"part {name}")
            PARTS[name](bench)
            if output:
                # After each part, so that a run that is cut short leaves what it has.
                output.write_text(page(bench, EVERYONE), encoding="utf-8")
        if not output:
            sys.stdout.write(page(bench, EVERYONE))


def _options() -> argparse.Namespace:
    names = [kind.name for kind in EVERYONE if kind is not Prontosync]
    parser = argparse.ArgumentParser(prog="dev bench", description="Measure this program, and others in its place.")
    parser.add_argument("--scale", type=float, default=1, help="1: 1.5 M sale lines, 180 MB (default)")
    parser.add_argument("--runs", type=int, default=5, help="medians of so many (default: 5)")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of: {', '.join(PARTS)}")
    peers = f"of: {', '.join(names)}"
    parser.add_argument("--without", nargs="+", default=[], choices=names, metavar="PEER", help=peers)
    output = "default: docs/benchmarks.md for a whole run, else standard output"
    parser.add_argument("--output", type=Path, metavar="FILE", help=output)
    parser.add_argument("--keep", action="store_true", help="leave the databases and repositories for a look")
    parser.add_argument(
        "--syncs",
        type=int,
        default=144,
        help="of the day (default: 144; no other is judged)",
    )
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's folder for temporary files)")
    options = parser.parse_args()
    options.only = tuple(options.only) if options.only else None
    return options


if __name__ == "__main__":
    main()
