"""Diff, log and show."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prontosync.cli.graph import MOST, Graph
from tests.fixtures.chain import SHARED_KEY, Chain
from tests.fixtures.store import Store, store_of


def lines(store: Store, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.text("diff", *words, "--format", "jsonl").splitlines()]


def test_text_shows_rows_by_table_and_key(store: Store) -> None:
    said = store.text("diff", "HEAD~1", "HEAD")
    assert said.splitlines() == [
        "product: 0 inserted, 3 updated, 0 deleted",
        "~ product_id=100: price 449.50 → 450.50",
        "~ product_id=101: price 449.50 → 450.50",
        "~ product_id=102: price 449.50 → 450.50",
        "style: 1 inserted, 0 updated, 0 deleted",
        "+ style_id=99: name=Última  brand=Pronto  season=NULL  list_price=1.50  introduced=2026-11-23",
        "ticket_line: 0 inserted, 0 updated, 1 deleted",
        "- ticket_id=T012-000030, line=1: product_id=601  quantity=1  price=699.90",
    ]


def test_the_live_database_is_the_other_side(store: Store) -> None:
    assert store.text("diff").splitlines()[1] == "~ customer_id=C012-00001: phone +52 55 0012 0001 → 555"
    (change,) = lines(store)
    assert (change["table"], change["change"], change["key"]) == ("customer", "update", {"customer_id": "C012-00001"})
    assert (change["old"]["phone"], change["new"]["phone"]) == ("+52 55 0012 0001", "555")
    assert set(change["old"]) == set(change["new"]) == {"customer_id", "name", "phone", "email", "birthday", "loyal"}
    assert lines(store, "LIVE", "HEAD")[0]["old"] == change["new"]
    assert lines(store, "LIVE", "LIVE") == []


def test_json_and_counts(store: Store) -> None:
    whole = store.json("diff", "HEAD~1", "HEAD")
    assert whole["schema"] == []
    assert whole["tables"]["style"]["inserted"] == 1
    assert whole["tables"]["style"]["rows"][0]["new"]["list_price"] == "1.50"
    short = store.json("diff", "HEAD~1", "HEAD", "--stat")
    assert short["tables"]["product"] == {"inserted": 0, "updated": 3, "deleted": 0}
    assert store.text("diff", "HEAD~1", "HEAD", "--stat").splitlines()[0] == "product: 0 inserted, 3 updated, 0 deleted"
    assert store.json("diff", "HEAD", "HEAD") == {"schema": [], "tables": {}}


def test_exit_code(store: Store) -> None:
    store.run("diff", "--exit-code", exit=1)
    store.run("diff", "HEAD", "HEAD", "--exit-code")
    store.run("diff", "--table", "stock", "--exit-code")


def test_one_row(store: Store) -> None:
    assert store.text("diff", "HEAD~1", "--table", "product", "--key", "101").count("\n") == 2
    assert store.text("diff", "HEAD~1", "--table", "product", "--key", "product_id=500") == ""
    assert len(lines(store, "HEAD~1", "--table", "ticket_line", "--key", '{"ticket_id":"T012-000030","line":1}')) == 1
    store.fails("diff", "--key", "101", exit=2)
    store.fails("diff", "--key", "101", "--table", "product", "--table", "stock", exit=2)
    store.fails("diff", "--table", "product", "--key", "1,2", exit=2)
    store.fails("diff", "--table", "product", "--key", "shoe", exit=2)
    store.fails("diff", "--table", "product", "--key", "7777", exit=17)
    store.fails("diff", "--table", "nope", exit=17)


def test_csv_is_one_table_a_file(store: Store) -> None:
    assert "add -o DIR/" in store.run("diff", "HEAD~1", "HEAD", "--format", "csv", exit=2).stderr
    store.run("diff", "HEAD~1", "HEAD", "--format", "csv", "-o", "out/")
    assert sorted(path.name for path in (store.top / "out").iterdir()) == [
        "product.csv",
        "style.csv",
        "ticket_line.csv",
    ]
    rows = list(csv.DictReader((store.top / "out" / "product.csv").read_text().splitlines()))
    assert [(row["change"], row["old.price"], row["new.price"]) for row in rows] == [("update", "449.50", "450.50")] * 3
    one = store.text("diff", "HEAD~1", "HEAD", "--format", "csv", "--table", "style")
    assert next(csv.DictReader(one.splitlines()))["old.name"] == ""
    store.run("diff", "HEAD~1", "HEAD", "--format", "jsonl", "-o", "out/")
    assert json.loads((store.top / "out" / "style.jsonl").read_text())["change"] == "insert"
    store.fails("diff", "--format", "text", "-o", "out/", exit=2)


def test_schemas_come_first(store: Store) -> None:
    store.till("ALTER TABLE customer ADD COLUMN notes TEXT")
    store.till("CREATE TABLE gift (id INTEGER PRIMARY KEY)")
    store.till("INSERT INTO gift VALUES (1)")
    said = store.text("diff").splitlines()
    assert said[:2] == ['table customer: column "notes" was added', "table gift was added"]
    assert "+ id=1" in said
    assert store.text("diff", "--schema").splitlines() == [
        *said[:2],
        'table gift: column "id" is int64',
        "table gift: the key is (id)",
    ]
    answer = store.json("diff")
    assert answer["schema"][1] == {"table": "gift", "change": "added", "details": []}
    assert answer["tables"]["customer"]["updated"] == 1
    store.run("diff", "--table", "gift", "--exit-code", "--schema", exit=1)


@pytest.mark.parametrize(
    ("rev", "exit"),
    [
        ("nope", 17),
        ("HEAD~9", 17),
        ("HEAD@{99}", 17),
        ("HEAD@{2020-01-01}", 17),
        ("HEAD~1^3", 17),
        ("deadbeef", 17),
        ("HEAD@{soon}", 2),
        ("HEAD~x", 2),
        ("../x", 17),
        ("", 0),
        ("HEAD^^", 17),
        ("\x1b[2J", 17),
    ],
)
def test_revisions_that_are_none(store: Store, rev: str, exit: int) -> None:
    if exit:
        store.fails("rev-parse", rev, exit=exit)
    else:
        store.run("rev-parse", rev)


def test_log_and_show(store: Store) -> None:
    store.run("snapshot", "-m", "third\nwith more words")
    entries = store.json("log")
    assert [entry["message"].splitlines()[0] for entry in entries] == ["third", "the second day", "the first day"]
    assert [parent["commit"] for parent in entries[0]["parents"]] == [entries[1]["commit"]]
    assert list(entries[1]["tables"]) == ["product", "style", "ticket_line"]
    assert entries[2]["tables"]["stock"]["inserted"] == 60
    assert [e["message"] for e in store.json("log", "HEAD~1", "-n", "1")] == ["the second day"]
    assert "  product: 3 updated" in store.text("log")
    assert store.text("log", "--graph").startswith("* commit ")
    assert store.json("show", "HEAD~1") == entries[1]
    assert "    with more words" in store.text("show")


def test_log_of_a_table_and_of_a_row(store: Store) -> None:
    assert [e["message"] for e in store.json("log", "--table", "style")] == ["the second day", "the first day"]
    assert [e["message"] for e in store.json("log", "--table", "stock")] == ["the first day"]
    changed = store.json("log", "--table", "product", "--key", "101")
    assert [e["row"]["change"] for e in changed] == ["update", "insert"]
    assert changed[0]["row"]["new"]["price"] == "450.50"
    assert "~ price 449.50 → 450.50" in store.text("log", "--table", "product", "--key", "101")
    assert [e["row"]["change"] for e in store.json("log", "--table", "ticket_line", "--key", "T012-000030,1")] == [
        "delete",
        "insert",
    ]
    store.fails("log", "--table", "nope", exit=17)
    store.fails("log", "--table", "product", "--key", "7777", exit=17)
    store.fails("log", "--table", "product", "--key", "x=1", exit=2)
    store.fails("log", "--key", "101", exit=2)


def test_the_graph_of_a_merge_of_many_stays_narrow() -> None:
    graph = Graph()
    parents = [f"p{number}" for number in range(200)]
    assert max(len(margin) for margin in graph.margins("m", parents, 3)) <= 2 * MOST + 2
    assert all("*" in graph.margins(parent, ["root"], 2)[0] for parent in parents)


def test_the_graph_of_a_merge(disputed: Chain) -> None:
    said = disputed.run("office", "log", "--graph")
    assert said.returncode == 0
    assert "| *" in said.stdout or "* |" in said.stdout
    entries = json.loads(disputed.run("office", "log", "--json").stdout)
    assert any(entry["conflicts"] == 1 for entry in entries)


def test_a_disputed_cell_counts_as_shown(disputed: Chain) -> None:
    assert disputed.run("store-012", "diff", "--exit-code").returncode == 0
    shown = json.loads(
        disputed.run(
            "store-012", "sql", f"SELECT phone FROM customer WHERE customer_id = '{SHARED_KEY}'", "--json"
        ).stdout
    )
    assert shown == [{"phone": "phone 007"}]
    conflicts = json.loads(
        disputed.run("store-012", "sql", "SELECT * FROM conflicts.customer ORDER BY phone", "--json").stdout
    )
    assert [row["phone"] for row in conflicts] == ["phone 007", "phone 012"]


NAMES = (
    'na"me',
    "line\nbreak",
    "shoe 👟",
    "\x1b[31mred",
    "..",
    "-dash",
    "select",
    "CON",
    "a/b",
    "\u202eright",
    "x';--",
)


@pytest.fixture
def hostile(tmp_path: Path) -> Store:
    """A database whose tables and columns have names of every kind."""
    statements = []
    for name in NAMES:
        quoted = '"' + name.replace('"', '""') + '"'
        statements += [
            f"CREATE TABLE {quoted} (id INTEGER PRIMARY KEY, {quoted} TEXT)",
            f"INSERT INTO {quoted} VALUES (1, 'one'), (2, '\x1b[2J\u202e')",
        ]
    return store_of(tmp_path / "inner", *statements)


def test_names_of_any_kind(hostile: Store) -> None:
    hostile.run("snapshot")
    for name in NAMES:
        quoted = '"' + name.replace('"', '""') + '"'
        hostile.till(f"UPDATE {quoted} SET {quoted} = 'changed' WHERE id = 1")
    said = hostile.text("diff")
    assert not set("\x1b\u202e") & set(said)
    assert {change["table"] for change in lines(hostile)} == set(NAMES)
    hostile.run("diff", "--format", "csv", "-o", "out/")
    assert len(list((hostile.top / "out").iterdir())) == len(NAMES)
    assert len(list(hostile.top.parent.iterdir())) == 1
    for number, name in enumerate(NAMES):
        quoted = '"' + name.replace('"', '""') + '"'
        rows = hostile.json("sql", f"SELECT {quoted} AS x FROM {quoted} ORDER BY id", "--at", "LIVE")
        assert rows == [{"x": "changed"}, {"x": "\x1b[2J\u202e"}]
        hostile.run("export", "HEAD", "--output", f"{number}.csv", "--", name)
        assert (hostile.top / f"{number}.csv").exists()
        assert hostile.run("ls-files", "--", "HEAD", name).stdout
        assert len(hostile.json("log", "--table", name)) == 1
    assert {one["table"] for one in hostile.json("ls-tables")} == set(NAMES)
    assert not set("\x1b\u202e") & set(hostile.text("ls-tables") + hostile.text("log") + hostile.text("show"))
    hostile.run("restore", "HEAD", "back.db")
    with closing(sqlite3.connect(hostile.top / "back.db")) as db:
        assert {row[0] for row in db.execute("SELECT name FROM sqlite_master")} == set(NAMES)
