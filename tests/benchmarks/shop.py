"""A shop's database as a till leaves it: nine tables, the same bytes of data for the same scale.

Run as a program it builds one: ``python -m tests.benchmarks.shop FILE SCALE``.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rows = Iterable[tuple[Any, ...]]
Numbers = np.ndarray[Any, Any]

CHUNK = 100_000
STORES = 7
SEED = 20261124

SCHEMA = """
CREATE TABLE staff (staff_id INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT, hired TEXT);
CREATE TABLE color (color_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE style (style_id INTEGER PRIMARY KEY, name TEXT NOT NULL, brand TEXT, season TEXT, material TEXT);
CREATE TABLE customer (
    customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL, phone TEXT, email TEXT, points INTEGER NOT NULL DEFAULT 0,
    since TEXT
);
CREATE TABLE product (
    product_id INTEGER PRIMARY KEY, style_id INTEGER NOT NULL REFERENCES style, color_id INTEGER REFERENCES color,
    size DECIMAL(3,1), barcode TEXT NOT NULL UNIQUE, price DECIMAL(10,2) NOT NULL, cost DECIMAL(10,2), changed TEXT
);
CREATE TABLE stock (
    store_id INTEGER NOT NULL, product_id INTEGER NOT NULL REFERENCES product, on_hand INTEGER NOT NULL,
    reorder INTEGER, moved TEXT, PRIMARY KEY (store_id, product_id)
);
CREATE TABLE promotion (
    promotion_id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES product, price DECIMAL(10,2) NOT NULL,
    starts TEXT NOT NULL, ends TEXT, label TEXT
);
CREATE TABLE sale (
    sale_id INTEGER PRIMARY KEY, store_id INTEGER NOT NULL, staff_id INTEGER REFERENCES staff,
    customer_id INTEGER REFERENCES customer, sold_at TEXT NOT NULL, paid_by TEXT, total DECIMAL(10,2)
);
CREATE TABLE sale_line (
    sale_line_id INTEGER PRIMARY KEY, sale_id INTEGER NOT NULL REFERENCES sale,
    product_id INTEGER NOT NULL REFERENCES product, quantity INTEGER NOT NULL, price DECIMAL(10,2) NOT NULL,
    discount DECIMAL(10,2), sold_at TEXT NOT NULL
);
"""
INDEXES = """
CREATE INDEX sale_line_sale ON sale_line (sale_id);
CREATE INDEX sale_line_product ON sale_line (product_id);
"""
TABLES = ("staff", "color", "style", "customer", "product", "stock", "promotion", "sale", "sale_line")
KEYS = {table: f"{table}_id" for table in TABLES} | {"stock": "store_id, product_id"}

COLORS = tuple(
    f"{shade}{name}"
    for shade in ("", "light ", "dark ", "pearl ")
    for name in ("black", "brown", "tan", "navy", "red", "wine", "white", "grey", "green", "gold", "silver", "nude")
)
BRANDS = ("Andarina", "Bota Real", "Calzatto", "Duna", "Estribo", "Flecha", "Gaviota", "Huella")
MATERIALS = ("leather", "suede", "canvas", "synthetic", "rubber", None)
KINDS = ("boot", "clog", "pump", "loafer", "sneaker", "sandal", "mule", "oxford", "espadrille", "slipper")
LABELS = ("season sale", "two for one", "loyal customers", "back to school", "clearance", None, None, None)
NAMES = ("Ana", "Luis", "Rosa", "Jorge", "Inés", "Raúl", "Elena", "Hugo", "Marta", "Óscar", "Pilar", "Tomás")
SURNAMES = ("García", "López", "Núñez", "Pérez", "Ramos", "Soto", "Torres", "Vega", "Ibáñez", "Muñoz", "Ríos")
PAYMENTS = ("card", "cash", "card", "transfer", None)
ENDINGS = np.array([0, 50, 90, 95, 99])
"""What prices end in, in hundredths."""


@dataclass(frozen=True)
class Size:
    """How many rows there are of what, at a scale."""

    scale: float

    @property
    def products(self) -> int:
        return max(60, round(90_000 * self.scale))

    @property
    def styles(self) -> int:
        return max(6, self.products // 15)

    @property
    def stock(self) -> int:
        return min(STORES * self.products, max(300, round(600_000 * self.scale)))

    @property
    def promotions(self) -> int:
        return max(100, round(400_000 * self.scale))

    @property
    def customers(self) -> int:
        return max(40, round(60_000 * self.scale))

    @property
    def staff(self) -> int:
        return max(8, round(90 * float(self.scale**0.5)))

    @property
    def sales(self) -> int:
        return self.lines // 4

    @property
    def lines(self) -> int:
        return max(400, round(1_500_000 * self.scale))


def build_shop(path: Path, scale: float) -> None:
    """Make the database; what is in memory at a time does not grow with the scale, but for one permutation."""
    size = Size(scale)
    with closing(connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -200000")
        db.executescript(SCHEMA)
        for table, rows in _contents(size):
            _fill(db, table, rows)
        db.executescript(INDEXES)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def connect(path: Path) -> sqlite3.Connection:
    """A connection as the till's, in WAL mode; transactions are begun by hand."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    return db


def moment(seconds: int) -> str:
    """The text of a time so many seconds after the shop opened its books."""
    return str(_moments(np.array([seconds]))[0])


def _fill(db: sqlite3.Connection, table: str, rows: Rows) -> None:
    columns = db.execute(f"SELECT count(*) FROM pragma_table_info('{table}')").fetchone()[0]
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})", rows)
    db.execute("COMMIT")


def _contents(size: Size) -> Iterator[tuple[str, Rows]]:
    random = np.random.default_rng(SEED)
    yield "staff", _staff(random, size)
    yield "color", list(enumerate(COLORS, 1))
    yield "style", _styles(random, size)
    yield "customer", _customers(random, size)
    yield "product", _products(random, size)
    yield "stock", _stock(random, size)
    yield "promotion", _promotions(random, size)
    yield "sale", _sales(random, size)
    yield "sale_line", _lines(random, size)


def _staff(random: np.random.Generator, size: Size) -> Rows:
    for number in range(1, size.staff + 1):
        role = ("cashier", "manager", "clerk", None)[random.integers(4)]
        yield number, _name(random), role, moment(int(random.integers(0, 86_400_000)))[:10]


def _styles(random: np.random.Generator, size: Size) -> Rows:
    for number in range(1, size.styles + 1):
        kind, brand = _one(random, KINDS), _one(random, BRANDS)
        season = f"{('spring', 'autumn')[number % 2]} {2023 + number % 4}"
        yield number, f"{kind} {brand} {number}", brand, season, _one(random, MATERIALS)


def _customers(random: np.random.Generator, size: Size) -> Rows:
    for number in range(1, size.customers + 1):
        phone = f"+52 55 {random.integers(1000, 9999)} {random.integers(1000, 9999)}"
        email = f"client{number}@example.com" if number % 3 == 0 else None
        since = moment(int(random.integers(0, 86_400_000)))
        yield number, _name(random), phone if number % 10 else None, email, int(random.integers(0, 3000)), since


def _products(random: np.random.Generator, size: Size) -> Rows:
    for first, count in _chunks(size.products):
        prices = _prices(random, count)
        yield from zip(
            range(first, first + count),
            (random.integers(1, size.styles + 1, count)).tolist(),
            _sometimes(random, random.integers(1, len(COLORS) + 1, count).tolist(), 0.02),
            (random.integers(44, 92, count) / 2).tolist(),
            [f"75{number:010d}{number % 7}" for number in range(first, first + count)],
            prices.tolist(),
            _sometimes(random, np.round(prices * 0.6, 2).tolist(), 0.05),
            _moments(np.sort(random.integers(0, 86_400_000, count))),
            strict=True,
        )


def _stock(random: np.random.Generator, size: Size) -> Rows:
    """In the order in which goods came in, which is none."""
    places = random.permutation(STORES * size.products)[: size.stock]
    for first, count in _chunks(size.stock):
        chosen = places[first - 1 : first - 1 + count]
        yield from zip(
            (chosen % STORES + 1).tolist(),
            (chosen // STORES + 1).tolist(),
            random.poisson(3, count).tolist(),
            _sometimes(random, random.integers(1, 6, count).tolist(), 0.3),
            _sometimes(random, _moments(random.integers(0, 86_400_000, count)), 0.1),
            strict=True,
        )


def _promotions(random: np.random.Generator, size: Size) -> Rows:
    for first, count in _chunks(size.promotions):
        starts = (first + np.arange(count)) * 86_400_000 // size.promotions // 86_400 * 86_400
        ends = starts + random.integers(3, 40, count) * 86_400
        yield from zip(
            range(first, first + count),
            random.integers(1, size.products + 1, count).tolist(),
            _prices(random, count).tolist(),
            [text[:10] for text in _moments(starts)],
            _sometimes(random, [text[:10] for text in _moments(ends)], 0.05),
            [LABELS[number] for number in random.integers(0, len(LABELS), count).tolist()],
            strict=True,
        )


def _sales(random: np.random.Generator, size: Size) -> Rows:
    for first, count in _chunks(size.sales):
        yield from zip(
            range(first, first + count),
            random.integers(1, STORES + 1, count).tolist(),
            random.integers(1, size.staff + 1, count).tolist(),
            _sometimes(random, random.integers(1, size.customers + 1, count).tolist(), 0.6),
            _moments(_sold(first + np.arange(count), size)),
            [PAYMENTS[number] for number in random.integers(0, len(PAYMENTS), count).tolist()],
            (_prices(random, count) * 2).tolist(),
            strict=True,
        )


def _lines(random: np.random.Generator, size: Size) -> Rows:
    for first, count in _chunks(size.lines):
        sales = np.minimum((first - 1 + np.arange(count)) // 4 + 1, size.sales)
        prices = _prices(random, count)
        yield from zip(
            range(first, first + count),
            sales.tolist(),
            random.integers(1, size.products + 1, count).tolist(),
            (1 + (random.random(count) < 0.08)).tolist(),
            prices.tolist(),
            _sometimes(random, np.round(prices * 0.1, 2).tolist(), 0.85),
            _moments(_sold(sales, size)),
            strict=True,
        )


def _sold(sales: Numbers, size: Size) -> Numbers:
    """When these sales were: one after the other over the years, each at some moment of its share of the time."""
    share = 86_400_000 // (size.sales + 1)
    mixed = (sales.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
    sold: Numbers = sales * share + (mixed % np.uint64(share)).astype(np.int64)
    return sold


def _prices(random: np.random.Generator, count: int) -> Numbers:
    whole = np.round(random.gamma(4, 180, count)).astype(np.int64) + 49
    prices: Numbers = (whole * 100 + ENDINGS[random.integers(0, len(ENDINGS), count)]) / 100
    return prices


def _moments(seconds: Numbers) -> list[str]:
    texts = np.datetime_as_string(np.datetime64("2024-02-29T09:00:00", "s") + seconds.astype(np.int64))
    return [str(text).replace("T", " ") for text in texts]


def _sometimes(random: np.random.Generator, values: list[Any], share: float) -> list[Any]:
    """The values, with NULL in place of that share of them."""
    return [None if gone else value for value, gone in zip(values, random.random(len(values)) < share, strict=True)]


def _name(random: np.random.Generator) -> str:
    return f"{_one(random, NAMES)} {_one(random, SURNAMES)} {_one(random, SURNAMES)}"


def _one(random: np.random.Generator, values: tuple[Any, ...]) -> Any:
    return values[random.integers(len(values))]


def _chunks(rows: int) -> Iterator[tuple[int, int]]:
    """First numbers, from 1, and lengths."""
    for first in range(1, rows + 1, CHUNK):
        yield first, min(CHUNK, rows + 1 - first)


if __name__ == "__main__":
    build_shop(Path(sys.argv[1]), float(sys.argv[2]))
