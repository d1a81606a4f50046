"""The small till of the day of syncs: 50,000 goods and 600,000 sale lines, and, where wanted, many tables that rest.

Run as a program it builds one: ``python -m tests.benchmarks.day_shop FILE SCALE TABLES``.
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.benchmarks.command import module
from tests.benchmarks.shop import connect

SCHEMA = """
CREATE TABLE inventory (
    product_id INTEGER PRIMARY KEY, barcode TEXT NOT NULL UNIQUE, name TEXT NOT NULL, price DECIMAL(10,2) NOT NULL,
    on_hand INTEGER NOT NULL, moved TEXT
);
CREATE TABLE sale_line (
    sale_line_id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES inventory, quantity INTEGER NOT NULL,
    price DECIMAL(10,2) NOT NULL, sold_at TEXT NOT NULL, staff_id INTEGER
);
"""
DRAWER = "CREATE TABLE drawer (drawer_id INTEGER PRIMARY KEY, opened TEXT NOT NULL, cash DECIMAL(10,2))"


def build_day_shop(path: Path, scale: float, tables: int = 2) -> Path:
    """In a process of its own, where it is not there yet."""
    if not path.exists():
        command = module("tests.benchmarks.day_shop", path, str(scale), str(tables))
        subprocess.run(command.words, env=dict(command.environment), check=True)
    return path


def _build(path: Path, scale: float, tables: int) -> None:
    chance = random.Random(20261124)
    goods, lines = max(100, round(50_000 * scale)), max(500, round(600_000 * scale))
    with closing(connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(SCHEMA)
        db.execute("BEGIN")
        db.executemany("INSERT INTO inventory VALUES (?, ?, ?, ?, ?, ?)", _goods(chance, goods))
        db.executemany("INSERT INTO sale_line VALUES (?, ?, ?, ?, ?, ?)", _lines(chance, lines, goods))
        if tables > 2:
            _rest(db, chance, tables)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _goods(chance: random.Random, goods: int) -> Iterator[tuple[object, ...]]:
    for number in range(1, goods + 1):
        name = f"{chance.choice(('boot', 'clog', 'pump', 'mule'))} {number // 12} {chance.randint(22, 46)}"
        moved = _time(chance.randrange(86_400 * 300)) if chance.random() < 0.8 else None
        yield number, f"75{number:010d}7", name, chance.randint(49, 1800) + 0.5, chance.randint(0, 12), moved


def _lines(chance: random.Random, lines: int, goods: int) -> Iterator[tuple[object, ...]]:
    for number in range(1, lines + 1):
        price = chance.randint(49, 1800) + chance.choice((0, 0.5, 0.95))
        at = _time(number * 86_400 * 300 // (lines + 1) + chance.randrange(20))
        yield number, chance.randint(1, goods), chance.choice((1, 1, 1, 2)), price, at, chance.randint(1, 8)


def _rest(db: sqlite3.Connection, chance: random.Random, tables: int) -> None:
    """The drawer, and tables of settings and lists that nobody touches during the day."""
    db.execute(DRAWER)
    db.execute("INSERT INTO drawer VALUES (1, '2026-11-23 09:00:00', 500)")
    for number in range(tables - 3):
        name = f"setting_{number:03}"
        columns = "code INTEGER PRIMARY KEY, label TEXT NOT NULL, value DECIMAL(10,2), noted TEXT"
        db.execute(f"CREATE TABLE {name} ({columns})")
        rows = [
            (code, f"{name} {code}", chance.randint(1, 99_999) / 100, _time(chance.randrange(86_400 * 300)))
            for code in range(chance.randint(5, 400))
        ]
        db.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?)", rows)


def _time(seconds: int) -> str:
    """Within the 300 days before the day."""
    day, rest = divmod(seconds, 86_400)
    month, date = divmod(day, 28)
    return f"2026-{month + 1:02}-{date + 1:02} {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


if __name__ == "__main__":
    _build(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
