"""The process that copies: reads a task as JSON from its input, prints an answer as JSON. Loads nothing but Python."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import urllib.parse


def main() -> None:
    task = json.load(sys.stdin)
    try:
        answer: dict[str, float | str] = {"held": copy(task["source"], task["target"], task["busy_seconds"])}
    except (sqlite3.Error, TimeoutError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


def copy(source: str, target: str, busy_seconds: float) -> float:
    """Copy all pages under one read lock; how many seconds that took. Raises sqlite3.Error, TimeoutError."""
    with_rollback = "disk I/O error", "readonly", "unable to open"
    try:
        return _copy(source, target, busy_seconds, "ro")
    except sqlite3.OperationalError as error:
        # The journal of a till that crashed must be rolled back before anybody can read; that takes a writer.
        if not any(words in str(error) for words in with_rollback):
            raise
        return _copy(source, target, busy_seconds, "rw")


def _copy(source: str, target: str, busy_seconds: float, mode: str) -> float:
    live = sqlite3.connect(f"file:{urllib.parse.quote(source)}?mode={mode}", uri=True, timeout=busy_seconds)
    private = sqlite3.connect(target)
    started = time.monotonic()
    attempt = started

    def progress(status: int, _remaining: int, _total: int) -> None:
        nonlocal attempt
        now = time.monotonic()
        if status not in (sqlite3.SQLITE_OK, sqlite3.SQLITE_DONE):
            if now - started >= busy_seconds:
                raise TimeoutError("database is locked")
            attempt = now

    try:
        private.execute("PRAGMA journal_mode = OFF")
        private.execute("PRAGMA synchronous = OFF")
        live.execute("BEGIN")
        version = live.execute("PRAGMA schema_version").fetchone()[0]
        attempt = time.monotonic()
        live.backup(private, progress=progress, sleep=0.01)
        live.execute("ROLLBACK")
        held = time.monotonic() - attempt
        # The copy begins a count of its own, and by the live one change capture knows that nothing was defined anew.
        private.execute(f"PRAGMA schema_version = {int(version)}")
        return held
    finally:
        private.close()
        live.close()


if __name__ == "__main__":
    main()
