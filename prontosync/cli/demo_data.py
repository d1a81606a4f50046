"""The chain of the demo: a catalogue, customers, and what two stores sell on a day without a link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from prontosync.sources.sample import Statement

CATALOGUE = """
PRAGMA foreign_keys = ON;
CREATE TABLE style (
    style_id INTEGER PRIMARY KEY, name TEXT NOT NULL, season TEXT, introduced DATE);
CREATE TABLE product (
    product_id INTEGER PRIMARY KEY, style_id INTEGER NOT NULL REFERENCES style (style_id),
    size DECIMAL(3,1) NOT NULL, price DECIMAL(10,2) NOT NULL CHECK (price >= 0));
CREATE TABLE stock (
    product_id INTEGER PRIMARY KEY REFERENCES product (product_id), on_hand INTEGER NOT NULL, counted DATE);
CREATE TABLE customer (
    customer_id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, phone TEXT, birthday DATE);
INSERT INTO style VALUES
    (1, 'Córdoba', '2026-AW', '2026-08-15'), (2, 'Zapatón', NULL, '2025-01-10'), (3, 'Été', '2027-SS', NULL);
INSERT INTO product VALUES
    (101, 1, 38.5, 899.9), (102, 1, 39, 899.9), (201, 2, 42, 649.5), (202, 2, 43.5, 649.5), (301, 3, 36, 499);
INSERT INTO stock VALUES
    (101, 1, '2026-11-01'), (102, 4, '2026-11-01'), (201, 6, NULL), (202, 3, NULL), (301, 5, '2026-11-02');
INSERT INTO customer VALUES
    ('C-001', 'María José Ñúñez', '+52 55 0000 0001', '1984-03-09'), ('C-002', 'Zoë O''Brien', NULL, NULL),
    ('C-003', '李小龍', '+52 55 0000 0003', '1990-11-27'), ('C-004', 'Jürgen Groß', '+52 55 0000 0004', NULL);
"""
"""What head office has, and every store: the stores sell from one stock room."""

TILL = """
CREATE TABLE ticket (
    ticket_id INTEGER PRIMARY KEY, sold_at DATETIME NOT NULL,
    customer_id TEXT REFERENCES customer (customer_id), total DECIMAL(10,2) NOT NULL);
CREATE TABLE ticket_line (
    ticket_id INTEGER NOT NULL REFERENCES ticket (ticket_id), line INTEGER NOT NULL,
    product_id INTEGER NOT NULL REFERENCES product (product_id), quantity INTEGER NOT NULL,
    price DECIMAL(10,2) NOT NULL, PRIMARY KEY (ticket_id, line));
"""
"""What a store has besides."""

FLOWS = """
[table.style]
flow = "down"

[table.product]
flow = "down"

[table.stock]
columns.on_hand = "sum"

[table.ticket]
flow = "own"

[table.ticket_line]
flow = "own"
"""
"""What each prontosync.toml says of the tables; customers are shared, as is whatever is not mentioned."""

STOCK = {101: 1, 102: 4, 201: 6, 202: 3, 301: 5}
PRICES = {
    101: Decimal("899.90"),
    102: Decimal("899.90"),
    201: Decimal("649.50"),
    202: Decimal("649.50"),
    301: Decimal("499.00"),
}
CUSTOMER = "C-001"
PHONES = {"012": "+52 55 1212 1212", "007": "+52 55 0707 0707"}
NEW_PRICE = (301, Decimal("449.00"))


@dataclass(frozen=True)
class Sale:
    """A ticket: ``pairs`` are product and quantity, one line each."""

    store: str
    ticket: int
    at: str
    customer: str | None
    pairs: tuple[tuple[int, int], ...]

    @property
    def total(self) -> Decimal:
        return sum((PRICES[product] * quantity for product, quantity in self.pairs), Decimal(0))

    def statements(self) -> Iterator[Statement]:
        """What the till does with it."""
        row = (self.ticket, self.at, self.customer, float(self.total))
        yield "INSERT INTO ticket VALUES (?, ?, ?, ?)", row
        for line, (product, quantity) in enumerate(self.pairs, 1):
            values = (self.ticket, line, product, quantity, float(PRICES[product]))
            yield "INSERT INTO ticket_line VALUES (?, ?, ?, ?, ?)", values
            yield "UPDATE stock SET on_hand = on_hand - ? WHERE product_id = ?", (quantity, product)

    def told(self) -> str:
        pairs = " and ".join(f"{quantity} × {product}" for product, quantity in self.pairs)
        return f"ticket {self.ticket}: {pairs}, {self.total} pesos"


SALES = (
    Sale("012", 1, "2026-11-24 10:05:00", "C-002", ((201, 1),)),
    Sale("012", 2, "2026-11-24 11:40:00", CUSTOMER, ((101, 1), (202, 2))),
    Sale("007", 1, "2026-11-24 10:20:00", None, ((201, 2),)),
    Sale("007", 2, "2026-11-24 11:41:00", "C-003", ((101, 1),)),
    Sale("007", 3, "2026-11-24 12:30:00", CUSTOMER, ((301, 1), (102, 1))),
)
"""Both stores sell the last pair of 101, and ticket numbers start at 1 in each."""
