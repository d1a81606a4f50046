"""A till in a process of its own, as locks demand: holds a lock, sells all the time, or crashes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HEAD = """
import os, sqlite3, sys, time
till = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
def ready():
    print("ready", flush=True)
"""

HOLD = """
till.execute("BEGIN EXCLUSIVE")
ready()
sys.stdin.read()
till.execute("ROLLBACK")
"""

IDLE = """
till.execute("SELECT count(*) FROM sqlite_schema").fetchall()
ready()
sys.stdin.read()
"""

SELL = """
import select
ready()
sold, worst = 0, 0.0
while not select.select([sys.stdin], [], [], 0)[0]:
    began = time.monotonic()
    till.execute("BEGIN IMMEDIATE")
    till.execute("UPDATE stock SET pairs = pairs - 1 WHERE id = ?", (sold % 500 + 1,))
    till.execute("INSERT INTO ticket (stock, pairs) VALUES (?, 1)", (sold % 500 + 1,))
    till.execute("COMMIT")
    worst = max(worst, time.monotonic() - began)
    sold += 1
    time.sleep(0.0005)
print(sold, worst, flush=True)
"""

CRASH = """
till.execute("PRAGMA cache_size = 1")
till.execute("INSERT INTO t VALUES (2, 'committed')")
till.execute("BEGIN")
till.execute("UPDATE t SET v = v || zeroblob(100)")
for n in range(100, 400):
    till.execute("INSERT INTO t VALUES (?, hex(zeroblob(2000)))", (n,))
os._exit(1)
"""


@contextmanager
def running(path: Path, what: str) -> Iterator[list[str]]:
    """A till that is at it; its last words are in the list afterwards."""
    words: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", _HEAD + what, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield words
        finally:
            process.stdin.close()
            words += process.stdout.read().split()
            process.wait(30)
    assert process.returncode == 0


def crash(path: Path) -> None:
    """A till that is switched off in the midst of a transaction, one before that being committed."""
    done = subprocess.run([sys.executable, "-c", _HEAD + CRASH, str(path)], check=False, timeout=30)
    assert done.returncode == 1
