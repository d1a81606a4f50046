"""The program starts fast, because it loads a command's libraries only for that command."""

from __future__ import annotations

import os
import subprocess
import sys
import time

HEAVY = ("duckdb", "pyarrow", "paramiko", "numpy", "adbc_driver_manager", "adbc_driver_sqlite", "pandas", "rich")
_PROBE = """
import sys
from prontosync.cli.main import main
code = main(["--help"])
print([name for name in {heavy!r} if name in sys.modules], code, file=sys.stderr)
"""


def test_help_loads_no_heavy_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(heavy=HEAVY)], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[] 0"
    assert "Usage: prontosync" in done.stdout


def test_help_takes_less_than_three_times_click_alone() -> None:
    # The best of several alternating runs: what other processes do meanwhile hits both alike, and seldom all runs.
    bare, ours = [], []
    for _ in range(9):
        bare.append(_seconds("-c", "import click"))
        ours.append(_seconds("-m", "prontosync", "--help"))
    assert min(ours) < 3 * min(bare), f"{min(ours):.3f} s against {min(bare):.3f} s"


def _seconds(*args: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *args], stdout=subprocess.DEVNULL, check=True, env=dict(os.environ))
    return time.perf_counter() - start
