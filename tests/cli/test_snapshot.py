"""Snapshots and status: what changed is recorded and told, and a database that is not what it was is noticed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.chain import Chain
from tests.fixtures.store import Store, store_of
from tests.sources.shop import files

SALE = "CREATE TABLE sale (id INTEGER PRIMARY KEY, total REAL)"


def test_a_snapshot_tells_what_changed(store: Store) -> None:
    answer = store.json("snapshot", "-m", "phones", "--author", "Zoë")
    assert list(answer["tables"]) == ["customer"]
    customer = answer["tables"]["customer"]
    assert {**customer, "digest": None} == {"inserted": 0, "updated": 1, "deleted": 0, "rows": 20, "digest": None}
    listed = {one["table"]: one["digest"] for one in store.json("ls-tables")}
    assert customer["digest"] == listed["customer"]
    shown = store.json("show")
    assert (shown["author"], shown["message"], shown["store"]) == ("Zoë", "phones", "012")
    assert (shown["time"], shown["signature"], shown["conflicts"]) == ("2026-11-24T08:00:00Z", "none", 0)
    assert store.json("snapshot") == {"commit": None, "tables": {}}
    assert store.run("snapshot").stderr == "nothing changed\n"


def test_a_mass_deletion_is_refused_until_it_is_meant(tmp_path: Path) -> None:
    store = store_of(tmp_path, SALE)
    store.till(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
        " INSERT INTO sale SELECT i, 1 FROM n"
    )
    store.run("snapshot")
    store.till("DELETE FROM sale WHERE id > 100")
    error = store.fails("snapshot", exit=13)
    assert "200 of 300 rows" in error["message"]
    assert '--allow-deletes "sale"' in error["hint"]
    assert store.json("snapshot", "--allow-deletes", "sale")["tables"]["sale"]["deleted"] == 200


def test_bad_databases(store: Store) -> None:
    (store.top / "pos.db").rename(store.top / "gone.db")
    for words in (("snapshot",), ("status",), ("diff",), ("ls-tables", "LIVE"), ("sql", "SELECT 1", "--at", "LIVE")):
        store.fails(*words, exit=17)
    (store.top / "pos.db").write_bytes(b"junk" * 4000)
    store.fails("snapshot", exit=18)
    store.fails("status", exit=18)


def test_a_table_that_is_gone(store: Store) -> None:
    store.till("DROP TABLE ticket_line")
    assert store.json("status")["dropped"] == ["ticket_line"]
    answer = store.json("snapshot")
    assert answer["dropped"] == ["ticket_line"]
    assert store.json("log", "-n", "1")[0]["dropped"] == ["ticket_line"]
    assert store.json("log", "--table", "ticket_line", "-n", "1")[0]["commit"] == answer["commit"]
    assert "ticket_line was dropped" in store.text("diff", "HEAD~1", "HEAD", "--schema")


def test_another_run_is_waited_for_by_nobody(store: Store) -> None:
    import filelock

    with filelock.FileLock(store.top / ".prontosync" / "lock"):
        store.fails("snapshot", exit=11)
        store.fails("branch", "other", exit=11)
        store.run("status")


def test_status_says_what_to_do(store: Store) -> None:
    answer = store.json("status")
    assert answer["branch"] == "stores/012"
    assert answer["head"] == store.text("rev-parse", "HEAD").strip()
    assert answer["changes"] == {"customer": {"inserted": 0, "updated": 1, "deleted": 0}}
    assert (answer["ahead"], answer["behind"], answer["conflicts"]) == (0, 0, 0)
    said = store.run("status")
    assert "customer" in said.stdout
    assert "hint: prontosync diff, then prontosync snapshot" in said.stderr
    assert store.run("status", "--exit-code", exit=1)
    store.run("snapshot")
    assert "no changes" in store.text("status", "--exit-code")


def test_reading_leaves_no_trace(store: Store) -> None:
    database = files(store.top)
    inside = sorted(path.relative_to(store.top) for path in (store.top / ".prontosync").rglob("*"))
    for words in (("status",), ("diff",), ("ls-tables", "LIVE"), ("sql", "SELECT * FROM customer", "--at", "LIVE")):
        store.run(*words)
    assert files(store.top) == database
    after = sorted(path.relative_to(store.top) for path in (store.top / ".prontosync").rglob("*"))
    assert [path for path in after if path not in inside and "cache" not in path.parts] == []


def test_status_against_remotes(store: Store) -> None:
    store.run("init", "--bare", "../hub")
    store.run("remote", "add", "hub", "../hub")
    assert store.json("status")["ahead"] == 2
    store.run("push")
    assert store.json("status")["ahead"] == 0
    store.run("snapshot")
    assert store.json("status", "--fetch")["ahead"] == 1
    assert "hint: prontosync push" in store.run("status").stderr
    shutil.rmtree(store.top.parent / "hub")
    assert store.fails("status", "--fetch", exit=17)


def test_status_names_tables_that_wait_and_are_left_out(chain: Chain) -> None:
    chain.sql("office", "CREATE TABLE promotion (id INTEGER PRIMARY KEY, words TEXT)")
    chain.sql("office", "INSERT INTO promotion VALUES (1, 'two for one')")
    chain.sync("office")
    chain.sync("store-012")
    chain.sql("store-012", "CREATE TABLE note (words TEXT)")
    answer = json.loads(chain.run("store-012", "status", "--json").stdout)
    assert answer["waiting"] == ["promotion"]
    assert [left["table"] for left in answer["left_out"]] == ["note"]
    said = chain.run("store-012", "status")
    assert 'table "promotion" waits' in said.stdout
    assert 'left out: table "note"' in said.stderr


def test_status_counts_conflicts(disputed: Chain) -> None:
    answer = json.loads(disputed.run("store-012", "status", "--json").stdout)
    assert answer["conflicts"] == 1
    assert answer["changes"] == {}
    assert answer["last_sync"]["error"] is None
    assert "hint: prontosync conflicts" in disputed.run("store-012", "status").stderr


def test_head_office_has_no_live_database(tmp_path: Path) -> None:
    office = Store(tmp_path)
    office.run("init")
    assert office.json("status")["head"] is None
    assert "no live database" in office.text("status")
    for words in (("snapshot",), ("diff", "HEAD")):
        office.fails(*words, exit=17)


@pytest.fixture
def restored(chain: Chain) -> Chain:
    """Store 012's database, restored from a copy made before the last merge brought a price, after both sides sold."""
    place = chain.top / "store-012"
    chain.sql("store-012", "INSERT INTO customer VALUES ('C012-90000', 'Before', NULL, NULL, NULL, 0)")
    chain.sql("store-012", "UPDATE stock SET on_hand = 8 WHERE product_id = 101")
    chain.sync("store-012")
    shutil.copy(place / "pos.db", place / "copy.db")
    chain.sql("store-012", "INSERT INTO customer VALUES ('C012-90001', 'Lost', NULL, NULL, NULL, 0)")
    chain.sql("office", "UPDATE product SET price = 1 WHERE product_id = 101")
    chain.sync("office")
    chain.sync("store-012")
    shutil.move(place / "copy.db", place / "pos.db")
    chain.sql("store-012", "INSERT INTO customer VALUES ('C012-90002', 'New', NULL, NULL, NULL, 0)")
    return chain


def test_a_restored_copy_is_noticed_and_told(restored: Chain) -> None:
    done = restored.run("store-012", "snapshot", "--json")
    assert done.returncode == 15
    assert "--recover" in json.loads(done.stderr)["hint"]
    trouble = json.loads(restored.run("store-012", "status", "--json").stdout)["trouble"]
    assert [one["error"] for one in trouble] == ["restored-copy"]
    assert "restored from a copy" in restored.run("store-012", "status").stderr


def test_recover_brings_back_what_was_lost_and_keeps_what_was_sold(restored: Chain) -> None:
    counts = {table: restored.sql("store-012", f"SELECT count(*) FROM {table}")[0][0] for table in ("stock", "ticket")}
    done = restored.run("store-012", "snapshot", "--recover", "--json")
    assert done.returncode == 0, done.stderr
    names = restored.sql("store-012", "SELECT name FROM customer WHERE customer_id LIKE 'C012-9%' ORDER BY 1")
    assert names == [("Before",), ("Lost",), ("New",)]
    assert restored.sql("store-012", "SELECT price FROM product WHERE product_id = 101") == [(1,)]
    assert restored.sql("store-012", "SELECT on_hand FROM stock WHERE product_id = 101") == [(8,)]
    for table, count in counts.items():
        assert restored.sql("store-012", f"SELECT count(*) FROM {table}") == [(count,)]
    status = json.loads(restored.run("store-012", "status", "--json").stdout)
    assert (status["trouble"], status["changes"]) == ([], {})
    restored.round()
    assert restored.sql("office", "SELECT count(*) FROM customer WHERE customer_id LIKE 'C012-9%'") == [(3,)]
    assert json.loads(restored.run("store-012", "verify", "--json").stdout)["damaged"] == []


def test_recover_counts_no_sale_twice(restored: Chain) -> None:
    """What the copy holds of a counter may be in the branch already, so no sum is made of both: a person decides."""
    restored.sql("store-012", "UPDATE stock SET on_hand = 7 WHERE product_id = 101")
    done = restored.run("store-012", "snapshot", "--recover", "--json")
    assert done.returncode == 1, done.stderr
    (conflict,) = json.loads(restored.run("store-012", "conflicts", "--json").stdout)
    assert (conflict["column"], conflict["live"]) == ("on_hand", 7)
    assert {candidate["value"] for candidate in conflict["candidates"]} == {7, 8}


def test_accept_copy_takes_the_loss(restored: Chain) -> None:
    done = restored.run("store-012", "snapshot", "--accept-copy", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tables"]["customer"]["deleted"] == 1
    assert json.loads(restored.run("store-012", "status", "--json").stdout)["trouble"] == []


def test_recover_without_need_is_a_snapshot(store: Store) -> None:
    store.json("snapshot", "--recover")
    assert store.json("status")["changes"] == {}
    store.fails("snapshot", "--recover", "--accept-copy", exit=2)


def test_a_locked_database(store: Store) -> None:
    with closing(sqlite3.connect(store.top / "pos.db")) as till:
        till.execute("PRAGMA locking_mode = EXCLUSIVE")
        till.execute("BEGIN EXCLUSIVE")
        store.fails("status", exit=11)
