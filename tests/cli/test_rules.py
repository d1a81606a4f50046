"""``rules``, ``config set`` of rules, and what ``status`` says of them, in a chain whose head office set flows."""

from __future__ import annotations

import json

from tests.fixtures.chain import Chain

NAME = "table.customer.columns.name"


def test_the_rules_in_force_and_where_each_comes_from(chain: Chain) -> None:
    shown = json.loads(chain.run("store-012", "rules", "--json").stdout)
    assert (shown["version"], shown["branch"], shown["store"], shown["pending"]) == (1, "main", "office", False)
    assert shown["rules"][0] == {
        "key": "table.product.flow",
        "table": "product",
        "column": None,
        "value": "down",
        "from": "head office",
        "in_force": True,
        "contradicts": None,
    }
    assert chain.run("store-012", "config", "set", NAME, "max").returncode == 0
    text = chain.run("store-012", "rules").stdout
    assert text.startswith("rules of main, version 1 at ")
    lines = [line.split(maxsplit=2) for line in text.splitlines()]
    assert ["table.stock.columns.on_hand", "sum", "main, version 1"] in lines
    assert [NAME, "max", "the file of 012"] in lines


def test_head_office_commits_a_changed_file_and_stores_cannot(chain: Chain) -> None:
    assert chain.run("office", "rules", "commit").stderr == "nothing changed: the file's rules are those in force\n"
    assert chain.run("office", "config", "set", NAME, "max").returncode == 0
    status = json.loads(chain.run("office", "status", "--json").stdout)
    waits = "compare: prontosync rules, then publish: prontosync rules commit"
    assert status["trouble"][-1]["hint"] == waits
    assert "not published yet" in chain.run("office", "rules").stdout
    done = json.loads(chain.run("office", "rules", "commit", "-m", "names", "--json").stdout)
    assert (done["published"], done["version"], done["merged"]) == (True, 2, False)
    assert json.loads(chain.run("office", "log", "-n", "1", "--json").stdout)[0]["message"] == "names"
    assert waits not in chain.run("office", "status", "--json").stdout
    chain.sync("office")
    chain.sync("store-012")
    here = json.loads(chain.run("store-012", "rules", "HEAD", "--json").stdout)
    assert {rule["key"]: rule["value"] for rule in here["rules"]}[NAME] == "max"
    assert json.loads(chain.run("store-012", "rules", "show", "HEAD~1", "--json").stdout)["version"] == 1
    refused = chain.run("store-012", "rules", "commit")
    assert refused.returncode == 13
    assert 'the rules are those of "office/main"' in refused.stderr


def test_a_rule_that_does_not_fit_is_not_published(chain: Chain) -> None:
    assert chain.run("office", "config", "set", NAME, "sum").returncode == 0
    refused = chain.run("office", "rules", "commit")
    assert refused.returncode == 10
    assert 'column "name" of table "customer" cannot have the policy "sum": its type is text' in refused.stderr


def test_a_contradiction_is_refused_where_it_is_set_and_told_where_it_is_found(chain: Chain) -> None:
    refused = chain.run("store-012", "config", "set", "table.stock.columns.on_hand", "max")
    assert refused.returncode == 10
    assert 'head office says table.stock.columns.on_hand = "sum"' in refused.stderr
    assert chain.run("store-012", "config", "set", "table.stock.columns.on_hand", "sum").returncode == 0
    file = chain.top / "store-012" / "prontosync.toml"
    file.write_text(file.read_text().replace('columns.on_hand = "sum"', 'columns.on_hand = "max"'))
    assert "is not in force: head office says" in chain.run("store-012", "status").stderr
    chain.sql("office", "UPDATE customer SET name = 'Ñ' WHERE customer_id = 'C012-00007'")
    chain.sync("office")
    pulled = chain.run("store-012", "pull")
    assert pulled.returncode == 0
    assert "is not in force: head office says" in pulled.stderr
    rule = json.loads(chain.run("store-012", "rules", "--json").stdout)["rules"][-1]
    assert (rule["value"], rule["in_force"], rule["contradicts"]["value"]) == ("max", False, "sum")


def test_several_keys_at_once(chain: Chain) -> None:
    pairs = ("invariant.sold.table", "stock", "invariant.sold.sql", "SELECT 1")
    done = chain.run("store-012", "config", "set", *pairs, "--json")
    assert json.loads(done.stdout) == [
        {"key": "invariant.sold.table", "value": "stock"},
        {"key": "invariant.sold.sql", "value": "SELECT 1"},
    ]
    assert chain.run("store-012", "config", "set", *pairs[:3]).returncode == 2
    assert chain.run("store-012", "config", "get", "invariant.sold.sql").stdout == "SELECT 1\n"
