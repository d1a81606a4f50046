"""Making repositories, hubs and databases: init, clone, restore."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.data import shoe_store_database
from tests.fixtures.sshd import Sshd
from tests.fixtures.store import Store, store_of


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [line for line in db.iterdump() if "_prontosync_state" not in line]


def test_init_lists_tables_keys_and_what_is_left_out(tmp_path: Path) -> None:
    here = Store(tmp_path)
    here.till("CREATE TABLE sale (id INTEGER PRIMARY KEY, total REAL)")
    here.till("CREATE TABLE note (words TEXT)")
    made = here.json("init", "shop", "--source", "pos.db", "--store", "012")
    assert made["branch"] == "stores/012"
    assert made["tables"] == [{"table": "sale", "key": ["id"], "columns": 2}]
    assert [left["table"] for left in made["left_out"]] == ["note"]
    assert "key" in made["left_out"][0]["hint"]
    assert Path(made["repository"]) == tmp_path / "shop"
    said = here.run("init", "again", "--source", "pos.db", "--store", "013")
    assert "sale" in said.stdout
    assert 'left out: table "note"' in said.stderr


def test_init_for_head_office_and_with_a_branch(tmp_path: Path) -> None:
    here = Store(tmp_path)
    assert here.json("init", "office")["branch"] == "main"
    here.till("CREATE TABLE sale (id INTEGER PRIMARY KEY)")
    assert here.json("init", "a", "--source", "pos.db", "--store", "hq", "--branch", "main")["branch"] == "main"
    assert here.text("-C", "a", "config", "get", "store.branch") == "main\n"


@pytest.mark.parametrize(
    ("words", "exit"),
    [
        (("--source", "none.db", "--store", "012"), 17),
        (("--source", "pos.db"), 2),
        (("--source", "pos.db", "--store", "Store 12"), 2),
        (("--source", "pos.db", "--store", "012", "--branch", "../x"), 2),
        (("--source", "junk.db", "--store", "012"), 18),
        (("--source", "postgresql://u@h/db", "--store", "012"), 18),
        (("--bare", "--store", "012"), 2),
    ],
)
def test_init_that_is_refused_makes_nothing(tmp_path: Path, words: tuple[str, ...], exit: int) -> None:
    here = Store(tmp_path)
    here.till("CREATE TABLE sale (id INTEGER PRIMARY KEY)")
    (tmp_path / "junk.db").write_bytes(b"this is no database at all, but long enough to be one" * 40)
    error = here.fails("init", "shop", *words, exit=exit)
    assert error["hint"] is not None
    assert not (tmp_path / "shop").exists()


def test_init_twice(store: Store) -> None:
    store.fails("init", ".", "--source", "pos.db", "--store", "012", exit=10)


def test_a_hub_in_a_folder_and_over_sftp(tmp_path: Path, store: Store, sshd: Sshd) -> None:
    store.json("init", "--bare", "../hub")
    store.fails("init", "--bare", "../hub", exit=13)
    options = ("--identity", str(sshd.keys["append-only"]), "--known-hosts", str(sshd.known_hosts))
    store.json("init", "--bare", sshd.url(tmp_path / "far"), *options)
    store.run("remote", "add", "far", sshd.url(tmp_path / "far"), *options)
    store.run("push", "far")
    answer = store.json("clone", sshd.url(tmp_path / "far"), "../copy", "--branch", "stores/012", *options)
    assert answer["head"] == store.text("rev-parse", "HEAD").strip()


def test_a_dead_store_comes_back(store: Store, tmp_path: Path) -> None:
    store.run("snapshot")
    store.run("init", "--bare", "../hub")
    store.run("remote", "add", "hub", "../hub")
    store.run("push")
    before = dump(store.top / "pos.db")
    answer = store.json("clone", "../hub", "../new", "--store", "012", "--source", "../new.db")
    assert answer["source"] == "restored"
    assert dump(tmp_path / "new.db") == before
    assert Store(tmp_path / "new").json("status")["changes"] == {}
    assert Store(tmp_path / "new").text("config", "get", "store.name") == "012\n"


def test_clone_beside_a_database_that_holds_data(store: Store, tmp_path: Path) -> None:
    store.run("init", "--bare", "../hub")
    store.run("remote", "add", "hub", "../hub")
    store.run("push")
    (tmp_path / "other.db").write_bytes((store.top / "pos.db").read_bytes())
    answer = store.json("clone", "../hub", "../new", "--store", "012", "--source", "../other.db")
    assert answer["source"] == "differs"
    store.run("restore", "HEAD", "../same.db")
    assert store.json("clone", "../hub", "../a", "--store", "012", "--source", "../same.db")["source"] == "adopted"


def test_clones_that_are_refused_leave_nothing(store: Store, tmp_path: Path) -> None:
    store.run("init", "--bare", "../hub")
    store.fails("clone", "../hub", "../new", exit=17)
    store.fails("clone", "../nothing", "../new", exit=17)
    store.run("remote", "add", "hub", "../hub")
    store.run("push")
    error = store.fails("clone", "../hub", "../new", "--branch", "nope", exit=17)
    assert "stores/012" in error["hint"]
    store.fails("clone", "../hub", "../new", "--branch", "NO", exit=2)
    store.fails("clone", "sftp://nobody@127.0.0.1:1/hub", "../new", "--fingerprint", "SHA256:" + "A" * 43, exit=12)
    assert not (tmp_path / "new").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    store.fails("clone", "../hub", "../full", exit=2)
    store.fails("clone", "../hub", "../full/file", exit=2)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_restore_builds_yesterday(store: Store, tmp_path: Path) -> None:
    shoe_store_database(tmp_path / "first.db")
    answer = store.json("restore", "HEAD~1", "../back.db")
    assert answer["tables"]["stock"] == 60
    assert dump(tmp_path / "back.db") == dump(tmp_path / "first.db")
    assert store.fails("restore", "HEAD", "../back.db", exit=18)["hint"]
    assert dump(tmp_path / "back.db") == dump(tmp_path / "first.db")


def test_restore_of_nothing(store: Store) -> None:
    store.fails("restore", "nope", "../back.db", exit=17)
    store.fails("restore", "HEAD", "http://x/y", exit=18)


def test_no_repository_here(tmp_path: Path) -> None:
    here = Store(tmp_path)
    for words in (("status",), ("log",), ("diff",), ("verify",), ("sql", "SELECT 1"), ("config", "list"), ("branch",)):
        assert "init" in here.fails(*words, exit=10)["hint"]


def test_paths_start_from_the_folder_of_c(tmp_path: Path) -> None:
    store_of(tmp_path / "inner", "CREATE TABLE sale (id INTEGER PRIMARY KEY)", "INSERT INTO sale VALUES (1)")
    here = Store(tmp_path)
    here.run("-C", "inner", "snapshot")
    here.run("-C", "inner", "export", "HEAD", "sale", "-o", "sale.csv")
    assert (tmp_path / "inner" / "sale.csv").read_text() == '"id"\n1\n'
