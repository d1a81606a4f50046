"""Change capture on and off: what it leaves in a till's database, and what a till may do to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from prontosync.sources.contract import Mark, SourceBusy, SourceUnfit, TableOptions, TrackStatus
from prontosync.sources.sqlite import SqliteSource
from prontosync.sources.statements import quoted
from tests.sources.shop import NOTE, ask, changes, make, read, rebuilt, source, stored
from tests.sources.till import HOLD, running
from tests.sources.tracked import now, since

SHOP = (
    "CREATE TABLE product (id INTEGER PRIMARY KEY AUTOINCREMENT, sku TEXT UNIQUE, price DECIMAL(9,2), note)",
    "CREATE TABLE stock (store INT, product INT REFERENCES product, pairs INT, PRIMARY KEY (store, product))",
    "CREATE TABLE log (line TEXT)",
    "CREATE VIEW dear AS SELECT * FROM product WHERE price > 100",
    "CREATE TRIGGER sold AFTER UPDATE OF pairs ON stock BEGIN INSERT INTO log VALUES ('sold'); END",
    "CREATE TRIGGER dearer INSTEAD OF DELETE ON dear BEGIN DELETE FROM product WHERE id = OLD.id; END",
    "INSERT INTO product VALUES (1, 'a', 99.5, NULL), (2, 'b', 120, 'x')",
    "INSERT INTO stock VALUES (12, 1, 5), (12, 2, 7)",
)
HOSTILE = ('a"b', "ord;--er", "select", "\U0001f45f [x]", "new", "_PRONTO", "it's")


def shop(folder: Path, journal: str = "wal") -> SqliteSource:
    return source(make(folder / "till.db", *SHOP, journal=journal))


def schema(path: Path) -> list[tuple[object, ...]]:
    return ask(path, "SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")


def reasons(live: SqliteSource) -> dict[str, str | None]:
    return {one.table: one.reason for one in live.track_status()}


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_it_goes_without_a_trace(tmp_path: Path, journal: str) -> None:
    live = shop(tmp_path, journal)
    before, dump = schema(live.path), ask(live.path, "SELECT * FROM sqlite_sequence")
    assert [one.asked for one in live.track_status()] == [False, False]
    live.track_enable()
    assert reasons(live) == {"product": None, "stock": None}
    ask(live.path, "UPDATE stock SET pairs = 1")
    ask(live.path, "ANALYZE")
    live.track_disable()
    live.track_disable()
    assert [row for row in schema(live.path) if not str(row[2]).startswith("sqlite_stat")] == before
    assert ask(live.path, "SELECT tbl FROM sqlite_stat1 WHERE tbl LIKE '%pronto%'") == []
    assert ask(live.path, "SELECT * FROM sqlite_sequence") == dump
    assert ask(live.path, "PRAGMA integrity_check") == [("ok",)]


def test_the_rest_of_the_program_is_blind_to_it(tmp_path: Path) -> None:
    live = shop(tmp_path)
    with live.read() as state:
        before = [state.describe(name) for name in state.tables], state.database, state.left_out
        assert state.tracking == {}
    live.track_enable()
    with live.read() as state:
        assert ([state.describe(name) for name in state.tables], state.database, state.left_out) == before
        assert set(state.tracking) == {"product", "stock"}
        assert state.untracked == {}
    copy = rebuilt(live.path, tmp_path / "copy.db", exclude=("log",))
    assert not ask(copy, "SELECT 1 FROM sqlite_schema WHERE name LIKE '%pronto%'")
    (tmp_path / "empty.db").touch()
    empty = source(make(tmp_path / "empty.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)"))
    empty.track_enable()
    ask(empty.path, "DROP TABLE t")
    assert empty.is_empty()


def test_an_apply_is_noted_too(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    table, rows = read(live)["stock"]
    then = now(live, "stock")
    one, two = rows.to_pylist()
    live.apply([changes(table, deletes=[two], updates=[(one, {"pairs": 4})])], NOTE)
    # The first apply makes a table for its note, so that another definition may have changed as well.
    assert "definitions in the database changed" in str(since(live, then))
    then = now(live, "stock")
    live.apply([changes(table, inserts=[two], updates=[({**one, "pairs": 4}, {"pairs": 3})])], NOTE)
    found = sorted((c.key, c.present, c.before) for c in _sure(since(live, then)))
    assert found == [((12, 1), True, True), ((12, 2), True, False)]


def test_enable_keeps_what_is_right_and_mends_the_rest(tmp_path: Path) -> None:
    live = shop(tmp_path)
    assert live.track_enable(["stock"]) == (
        TrackStatus("product", False, None, 0),
        TrackStatus("stock", True, None, 0),
    )
    ask(live.path, "UPDATE stock SET pairs = 1")
    before = schema(live.path)
    assert live.track_enable(["stock"])[1] == TrackStatus("stock", True, None, 2)
    assert schema(live.path) == before
    ask(live.path, "DROP TRIGGER _prontosync_track_1_update")
    assert reasons(live)["stock"] == "triggers are gone, as when a table is dropped and made again"
    with live.read() as state:
        assert list(state.untracked) == ["stock"]
    live.track_enable()
    assert [(one.reason, one.notes) for one in live.track_status()] == [(None, 0), (None, 0)]
    ask(live.path, "DROP TABLE stock")
    assert reasons(live) == {"product": None, "stock": "the table is gone, or it is not read"}
    live.track_enable(["product"])
    assert reasons(live) == {"product": None}
    names = {str(row[2]) for row in schema(live.path) if "pronto" in str(row[2])}
    assert {name.split("_")[3] for name in names - {"_prontosync_track"}} == {"1"}


def test_enable_is_all_or_nothing_and_says_what_cannot_be(tmp_path: Path) -> None:
    live = source(
        make(
            tmp_path / "till.db",
            *SHOP,
            "CREATE TABLE _prontosync_track_77 (mine)",
        )
    )
    with pytest.raises(SourceUnfit, match='table "_prontosync_track_77"'):
        live.track_enable()
    with pytest.raises(SourceUnfit, match='table "_prontosync_track_77"'):
        live.track_disable()
    ask(live.path, "DROP TABLE _prontosync_track_77")
    with pytest.raises(SourceUnfit, match='no table "nobody"'):
        live.track_enable(["stock", "nobody"])
    keyed = source(live.path, options={"log": TableOptions(key=("line",)), "stock": TableOptions(key=("product",))})
    assert reasons(keyed)["log"] == "its key is not its own primary key"
    with pytest.raises(SourceUnfit, match='table "stock" cannot be tracked'):
        keyed.track_enable(["product", "stock"])
    assert not any("pronto" in str(row[2]) for row in schema(live.path))
    assert {one.table: one.reason for one in keyed.track_enable()}["product"] is None


def test_a_till_has_tables_of_our_names(tmp_path: Path) -> None:
    live = source(make(tmp_path / "till.db", *SHOP, "CREATE TABLE _PRONTOSYNC_X (id INTEGER PRIMARY KEY)"))
    live.track_enable()
    live.track_disable()
    assert "_PRONTOSYNC_X" in [row[2] for row in schema(live.path)]
    ask(live.path, "CREATE TABLE _PRONTOSYNC_TRACK (id INTEGER PRIMARY KEY, mine)")
    assert [(one.table, one.asked, one.reason) for one in live.track_status()] == [
        ("product", False, None),
        ("stock", False, None),
    ]
    with live.read() as state:
        assert state.tracking == {}
    with pytest.raises(SourceUnfit, match='table "_PRONTOSYNC_TRACK"'):
        live.track_enable()


def test_a_collation_of_the_tills_own(tmp_path: Path) -> None:
    path = tmp_path / "till.db"
    with closing(sqlite3.connect(path)) as till:
        till.create_collation("house", lambda a, b: (a > b) - (a < b))
        till.execute("CREATE TABLE t (k TEXT COLLATE house PRIMARY KEY)")
        till.execute("CREATE TABLE u (k INTEGER PRIMARY KEY, v TEXT COLLATE house UNIQUE)")
    live = source(path)
    live.track_enable()
    assert "collation" in str(reasons(live)["t"])
    assert reasons(live)["u"] is None


def test_a_locked_database_is_busy(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    ask(live.path, "UPDATE stock SET pairs = 1")
    mark = now(live, "stock").mark
    with running(live.path, HOLD):
        for use in (live.track_enable, live.track_disable):
            with pytest.raises(SourceBusy, match=r"till\.db"):
                use()
        assert live.track_prune({"stock": mark}) == 0


def test_what_a_till_is_told_is_as_without_tracking(tmp_path: Path) -> None:
    said = []
    for tracked in (False, True):
        live = source(make(tmp_path / f"{tracked}.db", *SHOP))
        if tracked:
            live.track_enable()
        with closing(sqlite3.connect(live.path, isolation_level=None)) as till:
            words = []
            for sql in (
                "INSERT INTO product (sku) VALUES ('c'), ('d')",
                "INSERT OR IGNORE INTO product (sku) VALUES ('c')",
                "REPLACE INTO product (sku) VALUES ('d')",
                "INSERT INTO product (id, sku) VALUES (9, 'a') ON CONFLICT DO UPDATE SET note = 'again'",
                "UPDATE product SET id = id + 100",
                "UPDATE OR REPLACE stock SET product = 1",
                "DELETE FROM product WHERE id > 102",
                "INSERT INTO product (sku, price) VALUES ('e', 1) RETURNING id, sku",
            ):
                rows = till.execute(sql).fetchall()
                words.append((rows, *till.execute("SELECT changes(), last_insert_rowid()").fetchone()))
        said.append((words, stored(live.path, "product", ["id", "sku", "price", "note"], "id")))
    assert said[0] == said[1]


UPGRADES = (
    ("product", "ALTER TABLE product ADD COLUMN colour TEXT DEFAULT 'red'", None),
    ("product", "ALTER TABLE product DROP COLUMN note", None),
    ("product", "ALTER TABLE product RENAME COLUMN price TO cost", None),
    ("product", "ALTER TABLE product RENAME COLUMN sku TO code", None),
    ("article", "ALTER TABLE product RENAME TO article", "the table is gone, or it is not read"),
    ("product", "ALTER TABLE article RENAME TO product", None),
)


def test_a_till_may_upgrade(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    with closing(sqlite3.connect(live.path, isolation_level=None)) as till:
        till.execute("DROP VIEW dear")
    then = now(live, "product")
    for step, (name, sql, reason) in enumerate(UPGRADES):
        with closing(sqlite3.connect(live.path, isolation_level=None)) as till:
            till.execute(sql)
            till.execute(f"INSERT INTO {name} (id) VALUES ({100 + step})")
        assert reasons(live)["product"] == reason
        if name == "product":
            assert isinstance(since(live, then), str)
    then = now(live, "product")
    ask(live.path, "UPDATE product SET colour = 'blue' WHERE id = 1")
    assert [(c.key, c.row["colour"]) for c in _sure(since(live, then))] == [((1,), "blue")]


def test_an_upgrade_as_old_versions_of_sqlite_do_it(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    then = now(live, "stock")
    with closing(sqlite3.connect(live.path, isolation_level=None)) as till:
        till.execute("PRAGMA legacy_alter_table = ON")
        till.execute("ALTER TABLE stock RENAME TO old")
        till.execute("CREATE TABLE stock (store INT, product INT, pairs INT, PRIMARY KEY (store, product))")
        till.execute("INSERT INTO stock SELECT * FROM old WHERE product = 2")
        till.execute("DELETE FROM old")
        till.execute("DROP TABLE old")
        till.execute("UPDATE stock SET pairs = 0")
    assert "triggers are gone" in str(since(live, then))
    live.track_enable()
    assert reasons(live)["stock"] is None


def test_a_table_that_is_made_again(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    then = now(live, "stock")
    # As tools do that change a table by making it anew: even all of its triggers come back.
    with closing(sqlite3.connect(live.path, isolation_level=None)) as till:
        made = [sql for (sql,) in till.execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'stock' AND sql <> ''")]
        till.execute("CREATE TABLE kept AS SELECT * FROM stock WHERE product = 1")
        till.execute("DROP TABLE stock")
        till.execute(made[0])
        till.execute("INSERT INTO stock SELECT * FROM kept")
        assert "triggers are gone" in str(reasons(live)["stock"])
        for sql in made[1:]:
            till.execute(sql)
        till.execute("DROP TABLE kept")
    assert since(live, then) == "definitions in the database changed or it was vacuumed, or its notes began anew"


def test_a_trigger_made_later_would_be_fired_earlier(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    ask(live.path, "CREATE TRIGGER late AFTER INSERT ON stock BEGIN UPDATE stock SET pairs = 0; END")
    assert reasons(live)["stock"] == 'trigger "late" was made later than those that note changes'
    live.track_enable()
    assert reasons(live)["stock"] is None
    then = now(live, "stock")
    ask(live.path, "INSERT INTO stock VALUES (13, 1, 9)")
    found = {c.key: (c.before, c.row["pairs"]) for c in _sure(since(live, then))}
    assert found == {(12, 1): (True, 0), (12, 2): (True, 0), (13, 1): (False, 0)}


def test_tables_of_the_tills_session_do_not_stand_in_for_ours(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    then = now(live, "product")
    with closing(sqlite3.connect(live.path, isolation_level=None)) as till:
        till.execute("CREATE TEMP TABLE _prontosync_track_1 (x)")
        till.execute("CREATE TEMP TABLE product (x)")
        till.execute("UPDATE main.product SET note = 'y' WHERE id = 2")
    assert [c.key for c in _sure(since(live, then))] == [(2,)]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(tmp_path: Path, name: str) -> None:
    table, other = quoted(name), quoted(name + "2")
    live = source(
        make(
            tmp_path / "till.db",
            f"CREATE TABLE {table} ({table} TEXT, {other} INT, v, UNIQUE ({other}), PRIMARY KEY ({table}, {other}))",
            f"INSERT INTO {table} VALUES ('k', 1, 'v'), ('l', 2, 'w')",
        )
    )
    live.track_enable()
    assert reasons(live) == {name: None}
    then = now(live, name)
    ask(live.path, f"REPLACE INTO {table} VALUES ('m', 1, 'x')")
    found = {c.key: (c.present, c.before) for c in _sure(since(live, then))}
    assert found == {("k", 1): (False, True), ("m", 1): (True, False)}
    live.track_disable()
    assert len(schema(live.path)) == 3


def test_pruning(tmp_path: Path) -> None:
    live = shop(tmp_path)
    live.track_enable()
    first = now(live, "stock")
    assert first.mark == Mark(0, 0)
    ask(live.path, "UPDATE stock SET pairs = 1")
    second = now(live, "stock")
    ask(live.path, "UPDATE stock SET pairs = 2 WHERE product = 1")
    assert live.track_prune({"stock": first.mark, "product": first.mark, "nobody": second.mark}) == 0
    assert live.track_prune({"stock": Mark(second.mark.seq, 1)}) == 0
    assert len(_sure(since(live, first))) == 2
    assert live.track_prune({"stock": second.mark}) == 1
    assert live.track_prune({"stock": second.mark}) == 0
    assert since(live, first) == "notes since the mark were pruned"
    assert [c.key for c in _sure(since(live, second))] == [(12, 1)]
    third = now(live, "stock")
    assert live.track_prune({"stock": third.mark}) == 1
    assert "do not go on" in str(since(live, second))
    assert _sure(since(live, third)) == []


def _sure(found: object) -> list:  # type: ignore[type-arg]
    assert isinstance(found, list), found
    return found
