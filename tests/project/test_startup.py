"""The program starts fast, because it loads a command's libraries only for that command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.hubs import Hub
from tests.fixtures.program import BARE
from tests.fixtures.store import CLOCK, Store

ARROW = {"numpy", "pyarrow"}
SQLITE = {"adbc_driver_manager", "adbc_driver_sqlite"}
SSH = {"cryptography", "paramiko"}
HEAVY = {"asyncio", "duckdb", "invoke", "pandas", "rich", "tomlkit", *ARROW, *SQLITE, *SSH}
LIGHT = (
    "status",
    "snapshot",
    "sync",
    "push",
    "fetch",
    "log",
    "log --json",
    "show HEAD",
    "branch --all",
    "remote list",
    "conflicts",
    "config get source.url",
    "rev-parse HEAD",
    "merge-base HEAD HEAD~1",
)
"""Where nothing changed anywhere."""
# A database that was just written to is not taken for unchanged: the clock of this process runs ahead.
_PROBE = f"""
import sys, time
real = time.time_ns
time.time_ns = lambda: real() + 10**10
from prontosync.cli.main import main
code = main(sys.argv[1:])
print(code, *sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
_END = """
import gc, os, sys
from prontosync.cli.main import run
try:
    run()
finally:
    print(os.environ["OPENBLAS_NUM_THREADS"], gc.get_freeze_count() > 0, "duckdb" in sys.modules, file=sys.stderr)
"""


@pytest.fixture
def settled(store: Store, tmp_path: Path) -> Store:
    """The store with all in a snapshot, and that on the hub beside it, as a run before left it."""
    store.run("init", "--bare", str(tmp_path / "near"))
    store.run("remote", "add", "near", str(tmp_path / "near"))
    assert loaded(store.top, "sync") >= ARROW
    return store


def test_help_loads_no_heavy_library(tmp_path: Path) -> None:
    assert loaded(tmp_path, "--help") == set()


def test_where_no_rows_are_read_no_heavy_library_is_loaded(settled: Store) -> None:
    assert {command: found for command in LIGHT if (found := loaded(settled.top, *command.split()))} == {}


def test_where_rows_are_read_only_what_reads_them_is_loaded(settled: Store) -> None:
    settled.till("UPDATE customer SET phone = '556' WHERE customer_id = 'C012-00001'")
    assert loaded(settled.top, "status") <= ARROW | SQLITE | {"duckdb"}
    assert loaded(settled.top, "snapshot") <= ARROW | SQLITE | {"duckdb"}
    assert loaded(settled.top, "diff", "HEAD~1", "HEAD") <= ARROW
    assert loaded(settled.top, "push") == set()


def test_an_sftp_hub_needs_its_library_and_not_what_that_would_load(settled: Store, sftp_hub: Hub) -> None:
    server = sftp_hub.sshd
    assert server is not None
    known = ["--known-hosts", str(server.known_hosts), "--identity", str(server.keys["plain"])]
    settled.run("remote", "add", "far", server.url(sftp_hub.top), *known)
    loaded(settled.top, "sync")
    assert loaded(settled.top, "push", "far") == SSH
    assert loaded(settled.top, "sync") == SSH


def test_a_run_starts_no_threads_for_algebra_and_ends_without_a_search_for_garbage(settled: Store) -> None:
    assert _ended(settled.top, "log") == ["1", "True", "False"]


def test_the_last_objects_of_the_engine_are_collected(settled: Store) -> None:
    assert _ended(settled.top, "sql", "SELECT 1") == ["1", "False", "True"]
    assert "leak" not in settled.run("sql", "SELECT 1").stderr


def test_help_takes_less_than_three_times_click_alone() -> None:
    # The best of several alternating runs: what other processes do meanwhile hits both alike, and seldom all runs.
    bare, ours = [], []
    for _ in range(9):
        bare.append(_seconds("-c", "import click"))
        ours.append(_seconds("-m", "prontosync", "--help"))
    assert min(ours) < 3 * min(bare), f"{min(ours):.3f} s against {min(bare):.3f} s"


def loaded(place: Path, *args: str) -> set[str]:
    """The heavy libraries that a run of the program has loaded when it is done."""
    code, *names = _run(place, _PROBE, *args).splitlines()[-1].split()
    assert code == "0", f"{args} ended with {code}"
    return set(names)


def _ended(place: Path, *args: str) -> list[str]:
    return _run(place, _END, *args).splitlines()[-1].split()


def _run(place: Path, script: str, *args: str) -> str:
    command = [sys.executable, "-c", script, *args]
    done = subprocess.run(command, cwd=place, env={**BARE, **CLOCK}, capture_output=True, text=True, check=True)
    return done.stderr


def _seconds(*args: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *args], stdout=subprocess.DEVNULL, check=True, env=dict(os.environ))
    return time.perf_counter() - start
