"""Two tills sell at full speed, one in WAL and one in rollback-journal mode, while their stores sync; then all adds up.

Each sells its own half of the products, and now and then a pair of the other half, which the other's syncs write to.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from prontosync.disk.config import RemoteConfig
from prontosync.disk.config_edit import add_remote, initial, set_value
from prontosync.disk.repository import create
from prontosync.errors import Moved
from prontosync.model.names import RefName
from prontosync.remote.folder import FolderRemote
from prontosync.workflow.exchange import fetch_all, push_all
from prontosync.workflow.merge_many import merge
from prontosync.workflow.pull import sync
from prontosync.workflow.session import World, locked
from tests.fixtures.chain import CLOCK
from tests.fixtures.data import shoe_store_database
from tests.sources.till import running

STORES = {"012": "WAL", "007": "DELETE"}
ROUNDS = 12
PAIRS = 1_000_000
SELL = """
import random, select
dice = random.Random(sys.argv[1])
half = int(%s)
till.execute("PRAGMA foreign_keys = ON")
query = "SELECT product_id FROM product WHERE product_id %% 2 = ?"
halves = [[row[0] for row in till.execute(query, (n,))] for n in (0, 1)]
ready()
sold = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    sold += 1
    ticket, product = f"N-{sold:06}", dice.choice(halves[half if sold %% 500 else 1 - half])
    till.execute("BEGIN IMMEDIATE")
    till.execute("INSERT INTO ticket VALUES (?, 12, '2026-11-24 10:00:00', NULL, 9.5)", (ticket,))
    till.execute("INSERT INTO ticket_line VALUES (?, 1, ?, 1, 9.5)", (ticket, product))
    till.execute("UPDATE stock SET on_hand = on_hand - 1 WHERE product_id = ?", (product,))
    till.execute("COMMIT")
    time.sleep(0.001)
print(sold, flush=True)
"""


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Two stores that sell from one stock room, and head office, which has no database."""
    for store, mode in STORES.items():
        folder = tmp_path / store
        folder.mkdir()
        shoe_store_database(folder / "pos.db", 12, tickets=0)
        _sql(folder, f"PRAGMA journal_mode = {mode}")
        _sql(folder, "UPDATE stock SET on_hand = ?", (PAIRS,))
        repo = create(folder, initial(store=store, source_url="pos.db"), RefName(f"stores/{store}"))
        _configure(repo.config_path, {"hub": f"../hub-{store}", "office": "../hub-office"}, "office/main")
    repo = create(_made(tmp_path / "office"), initial(), RefName("main"))
    _configure(repo.config_path, {"hub": "../hub-office", **{f"s{store}": f"../hub-{store}" for store in STORES}}, None)
    for hub in ("office", *STORES):
        FolderRemote(tmp_path / f"hub-{hub}").create("00000000-0000-4000-8000-000000000000")
    return tmp_path


def test_stock_and_tickets_add_up(places: Path) -> None:
    _round(places)
    written = 0
    with ExitStack() as stack:
        words = {
            store: stack.enter_context(running(places / store / "pos.db", SELL % half))
            for half, store in enumerate(STORES)
        }
        for _ in range(ROUNDS):
            written += _round(places)
    sold = {store: int(said[0]) for store, said in words.items()}
    _round(places)
    _round(places)
    assert all(number > ROUNDS for number in sold.values())
    assert written > 0, "no sync got through to a live database"
    left = _sql(places / "012", "SELECT product_id, on_hand FROM stock ORDER BY 1")
    assert _sql(places / "007", "SELECT product_id, on_hand FROM stock ORDER BY 1") == left
    assert sum(PAIRS - number for _, number in left) == sum(sold.values())
    for store in STORES:
        lines = _sql(places / store, "SELECT count(*), sum(quantity) FROM ticket_line")
        assert _sql(places / store, "SELECT count(*), sum(total) FROM ticket") == [(sold[store], 9.5 * sold[store])]
        assert lines == [(sold[store], sold[store])]
        assert _sql(places / store, "PRAGMA integrity_check") == [("ok",)]
        assert _sql(places / store, "PRAGMA foreign_key_check") == []
    by_product = [_sql(places / store, "SELECT product_id, count(*) FROM ticket_line GROUP BY 1") for store in STORES]
    sales: dict[int, int] = {}
    for product, number in (row for rows in by_product for row in rows):
        sales[product] = sales.get(product, 0) + number
    assert {product: PAIRS - number for product, number in left if number != PAIRS} == sales


def _round(top: Path) -> int:
    """Every place once; how many syncs wrote to a live database. A sync that never meets a till at rest gives way."""
    written = 0
    for store in STORES:
        with _session(top / store) as session:
            try:
                outcome = sync(session).outcome
                written += bool(outcome and outcome.applied)
            except Moved:
                push_all(session, ["hub"])
    with _session(top / "office") as session:
        assert fetch_all(session).error is None
        for store in STORES:
            if session.head() is None:
                session.advance(session.repo.branch, session.revisions.resolve(f"s{store}/stores/{store}"))
            merge(session, [f"s{store}/stores/{store}"])
        push_all(session, ["hub"])
    return written


def _session(folder: Path) -> Any:
    return locked(folder, World(folder, lambda: CLOCK, "test"))


def _configure(path: Path, remotes: dict[str, str], upstream: str | None) -> None:
    for name, url in remotes.items():
        add_remote(path, RemoteConfig(name, url, push=name == "hub"))
    if upstream:
        set_value(path, "store.upstream", upstream)
    for table, flow in {"style": "down", "product": "down", "ticket": "own", "ticket_line": "own"}.items():
        set_value(path, f"table.{table}.flow", flow)
    set_value(path, "table.stock.columns.on_hand", "sum")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _sql(folder: Path, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "pos.db", timeout=30)) as db, db:
        return db.execute(statement, values).fetchall()
