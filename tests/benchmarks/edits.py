"""What happens in the shop: the edits of a day, of five minutes, of two places at once. The same each time.

They take any connection of ``sqlite3``, so that they can be made in a database that another engine keeps.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

LINES_PER_SALE = 4
CONFLICTS = 200
SIDE = 10_000


@dataclass(frozen=True)
class Edit:
    """``name`` is one of EDITS, ``number`` says which of its kind."""

    name: str
    number: int = 0

    def make(self, db: sqlite3.Connection) -> None:
        """Make it, in one transaction of a connection that is in autocommit mode."""
        db.execute("BEGIN")
        EDITS[self.name](db, self.number)
        db.execute("COMMIT")

    def make_in(self, path: Path) -> None:
        """Make it in a SQLite database."""
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            self.make(db)


def next_day(db: sqlite3.Connection, number: int) -> None:
    """0.3 % new sale lines, 1 % of the stock updated, some prices changed, some promotions deleted."""
    chance = random.Random(number)
    lines, products = _count(db, "sale_line"), _count(db, "product")
    _sell(db, chance, max(4, lines * 3 // 1000), products)
    _move_stock(db, chance, max(4, _stock(db) // 100), products)
    changes = max(2, products // 750)
    prices = [(round(chance.uniform(99, 1800)) - 0.05, chance.randint(1, products)) for _ in range(changes)]
    db.executemany("UPDATE product SET price = ?, changed = '2026-11-24 08:00:00' WHERE product_id = ?", prices)
    gone = [(chance.randint(1, _count(db, "promotion")),) for _ in range(changes)]
    db.executemany("DELETE FROM promotion WHERE promotion_id = ?", gone)


def scattered(db: sqlite3.Connection, number: int) -> None:
    """1,000 updates, anywhere in four tables."""
    chance = random.Random(1000 + number)
    lines, products = _count(db, "sale_line"), _count(db, "product")
    rows = [(round(chance.uniform(1, 90), 2), chance.randint(1, lines)) for _ in range(400)]
    db.executemany("UPDATE sale_line SET discount = ? WHERE sale_line_id = ?", rows)
    _move_stock(db, chance, 400, products)
    prices = [(round(chance.uniform(99, 1800)) - 0.01, chance.randint(1, products)) for _ in range(150)]
    db.executemany("UPDATE product SET price = ? WHERE product_id = ?", prices)
    points = [(chance.randint(1, 90), chance.randint(1, _count(db, "customer"))) for _ in range(50)]
    db.executemany("UPDATE customer SET points = points + ? WHERE customer_id = ?", points)


def one_side(db: sqlite3.Connection, number: int) -> None:
    """10,000 sale lines anywhere get another price; of sides 1 and 2, 200 are the same lines with different prices."""
    mine, theirs = side_lines(_count(db, "sale_line"))
    chosen = mine if number == 1 else theirs
    db.executemany("UPDATE sale_line SET price = price + ? WHERE sale_line_id = ?", [(number, line) for line in chosen])


def side_lines(lines: int) -> tuple[list[int], list[int]]:
    """The lines that the two sides change."""
    size, shared = (min(whole, lines // 8 * whole // SIDE) for whole in (SIDE, CONFLICTS))
    chosen = random.Random(7).sample(range(1, lines + 1), 2 * size - shared)
    return chosen[:size], chosen[size - shared :]


def five_minutes(db: sqlite3.Connection, number: int) -> None:
    """The ``number``-th of a day's 144: in all they sell 1,200 lines, each from the stock."""
    chance = random.Random(number)
    _ring_up(db, chance, number)


def five_minutes_wide(db: sqlite3.Connection, number: int) -> None:
    """The same, and a row in the drawer's table."""
    chance = random.Random(number)
    _ring_up(db, chance, number)
    db.execute("INSERT INTO drawer (opened, cash) VALUES (?, ?)", (clock(number), round(chance.uniform(100, 9000), 2)))


EDITS: dict[str, Callable[[sqlite3.Connection, int], None]] = {
    function.__name__: function for function in (next_day, scattered, one_side, five_minutes, five_minutes_wide)
}


def _sell(db: sqlite3.Connection, chance: random.Random, lines: int, products: int) -> None:
    sale, line = (db.execute(f"SELECT max({table}_id) FROM {table}").fetchone()[0] for table in ("sale", "sale_line"))
    sales, sold = [], []
    for index in range(lines):
        if index % LINES_PER_SALE == 0:
            sale += 1
            at = f"2026-11-24 {9 + index * 11 // lines:02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
            customer = chance.choice((None, None, chance.randint(1, 40)))
            who = chance.randint(1, 7), chance.randint(1, 8), customer
            sales.append((sale, *who, at, chance.choice(("card", "cash"))))
        price = chance.randint(49, 1800) + chance.choice((0, 0.5, 0.9, 0.95, 0.99))
        sold.append((line + index + 1, sale, chance.randint(1, products), chance.choice((1, 1, 1, 2)), price, None, at))
    db.executemany("INSERT INTO sale VALUES (?, ?, ?, ?, ?, ?, NULL)", sales)
    db.executemany("INSERT INTO sale_line VALUES (?, ?, ?, ?, ?, ?, ?)", sold)


def _move_stock(db: sqlite3.Connection, chance: random.Random, rows: int, products: int) -> None:
    moves = [
        (chance.randint(1, 5), _some_time(chance), chance.randint(1, 7), chance.randint(1, products))
        for _ in range(rows)
    ]
    db.executemany("UPDATE stock SET on_hand = on_hand - ?, moved = ? WHERE store_id = ? AND product_id = ?", moves)


def _ring_up(db: sqlite3.Connection, chance: random.Random, number: int) -> None:
    goods = _count(db, "inventory")
    for _ in range((number + 1) * 1200 // 144 - number * 1200 // 144):
        product = chance.randint(1, goods)
        price = chance.randint(49, 1800) + chance.choice((0, 0.5, 0.95))
        now = clock(number, chance.randrange(300))
        row = (product, chance.choice((1, 1, 1, 2)), price, now, chance.randint(1, 8))
        db.execute("INSERT INTO sale_line (product_id, quantity, price, sold_at, staff_id) VALUES (?, ?, ?, ?, ?)", row)
        db.execute("UPDATE inventory SET on_hand = on_hand - 1, moved = ? WHERE product_id = ?", (now, product))


def clock(number: int, seconds: int = 0) -> str:
    """So many seconds into the ``number``-th five minutes of the day: 12 hours have 144."""
    return f"2026-11-24 {9 + number // 12:02}:{number % 12 * 5 + seconds // 60:02}:{seconds % 60:02}"


def _some_time(chance: random.Random) -> str:
    return clock(chance.randrange(144), chance.randrange(300))


def _count(db: sqlite3.Connection, table: str) -> int:
    """The rows of a table that are numbered from 1."""
    count: int = db.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0]
    return count


def _stock(db: sqlite3.Connection) -> int:
    count: int = db.execute("SELECT count(*) FROM stock").fetchone()[0]
    return count
