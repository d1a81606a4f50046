"""``merge --explain`` and ``log --explain`` on the databases of a chain."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from prontosync.cli.context import Context
from prontosync.cli.decisions import decisions_text
from prontosync.cli.display import Display
from prontosync.history.decisions import Decision
from prontosync.model.schema import Column, TableSchema
from tests.fixtures.chain import SHARED_KEY, Chain

PHONE = {
    "table": "customer",
    "key": {"customer_id": SHARED_KEY},
    "column": "phone",
    "base": "+52 55 007",
    "ours": "phone 007",
    "theirs": ["phone 007", "phone 012"],
    "result": ["phone 007", "phone 012"],
}


@pytest.fixture
def crossed(chain: Chain) -> Chain:
    """Store 007 has head office's news at hand, fetched and not merged: a dispute over a phone."""
    chain.dispute()
    assert chain.run("store-007", "fetch").returncode == 0
    return chain


def test_what_a_merge_decides_is_told_before_and_after(crossed: Chain) -> None:
    dry = crossed.run("store-007", "merge", "office/main", "--dry-run", "--explain", "--json")
    assert dry.returncode == 1, dry.stderr
    (told,) = json.loads(dry.stdout)["decisions"]
    since = told.pop("rule")
    assert {**told, "base": PHONE["base"]} == PHONE
    assert since.startswith("in dispute (since 20")
    told["rule"] = since
    plan = crossed.run("store-007", "merge", "office/main", "--plan", "--explain", "--json")
    assert json.loads(plan.stdout)["decisions"] == [told]
    for way in ("--dry-run", "--plan"):
        text = crossed.run("store-007", "merge", "office/main", way, "--explain").stdout
        assert "what was decided:\ncustomer: 1 decision\n" in text
    assert "decisions" not in json.loads(crossed.run("store-007", "merge", "office/main", "--dry-run", "--json").stdout)
    done = crossed.run("store-007", "merge", "office/main", "--explain", "--json")
    assert json.loads(done.stdout)["decisions"] == [told]
    log = crossed.run("store-007", "log", "--explain", "HEAD", "--json")
    assert log.returncode == 0, log.stderr
    answer = json.loads(log.stdout)
    assert (answer["decisions"], answer["made_again"], answer["differing"]) == ([told], True, [])
    assert answer["merge"] is True
    again = crossed.run("store-007", "merge", "office/main", "--explain")
    assert "nothing had to be decided" in again.stdout


def test_a_resolution_is_told_with_who_made_it(crossed: Chain) -> None:
    crossed.run("store-007", "merge", "office/main")
    words = ("customer", SHARED_KEY, "--column", "phone", "--take", "stores/012", "--author", "ann")
    assert crossed.run("store-007", "resolve", *words).returncode == 0
    text = crossed.run("store-007", "log", "--explain").stdout
    assert f"customer_id={SHARED_KEY}" in text
    assert "phone 007 | phone 012" in text
    assert "resolved by ann at 007" in text
    text = crossed.run("store-007", "log", "--explain", "HEAD~1", "--table", "customer").stdout
    assert "made again from its parents, by the rules of main, version 1:" in text
    assert "it decided nothing" in crossed.run("store-007", "log", "--explain", "--table", "product").stdout
    assert crossed.run("store-007", "log", "--explain", "nowhere").returncode == 17
    assert crossed.run("store-007", "log", "--explain", "-n", "2").returncode == 2


def _many(number: int) -> list[Decision]:
    schema = TableSchema((Column("id", "int64"), Column("name", "text")), ("id",))
    sides = [frozenset([text]) for text in ("a", "b" * 90, "c", "\x1b[31m")]
    return [Decision("item", schema, (n,), "name", "newest", *sides) for n in range(number)]


def test_a_terminal_shows_some_and_a_file_all() -> None:
    context = Context(start=Path("/"), clock=lambda: datetime.datetime.now(datetime.UTC), author="ana")
    narrow = Display(context, 80)
    text = "".join(decisions_text(narrow, _many(100)))
    assert narrow.shortened
    assert "… and 60 more" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    whole = Display(context, None)
    assert "".join(decisions_text(whole, _many(100))).count("b" * 90) == 100
    assert not whole.shortened
