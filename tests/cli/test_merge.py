"""``merge``, ``conflicts``, ``resolve``, ``revert`` and ``undo`` on the databases of a chain."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.chain import SHARED_KEY, Chain
from tests.fixtures.program import run_program

PHONE = "SELECT phone FROM customer WHERE customer_id = ?"
DISPUTE = ("customer", SHARED_KEY, "--column", "phone")


def _phone(chain: Chain, place: str) -> Any:
    return chain.sql(place, PHONE, (SHARED_KEY,))[0][0]


def _refs(chain: Chain, place: str) -> dict[str, bytes]:
    refs = chain.top / place / ".prontosync/refs"
    return {str(path): path.read_bytes() for path in refs.rglob("*") if path.is_file()}


def _conflicts(chain: Chain, place: str = "store-012", *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(chain.run(place, "conflicts", *words, "--json").stdout)
    return found


def _csv(chain: Chain) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(chain.run("store-012", "conflicts", "--format", "csv").stdout)))


def _decided(chain: Chain, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    path = chain.top / "store-012" / "decided.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def crossed(chain: Chain) -> Chain:
    """Store 007 has head office's news at hand, fetched and not merged: a dispute over a phone, a name and a price."""
    chain.dispute()
    chain.sql("office", "UPDATE product SET price = 7 WHERE product_id = 100")
    chain.sql("store-012", "UPDATE customer SET name = 'Ünö' WHERE customer_id = ?", (SHARED_KEY,))
    chain.sync("store-012")
    chain.sync("office")
    assert chain.run("store-007", "fetch").returncode == 0
    return chain


def test_several_branches_by_pattern(crossed: Chain) -> None:
    before = _refs(crossed, "store-007")
    answer = json.loads(crossed.run("store-007", "merge", "--branches", "office/m*", "--dry-run", "--json").stdout)
    assert answer["conflicts"] == 1
    assert {"commit", "merged", "fast_forward", "tables", "conflicts", "applied"} <= answer.keys()
    assert crossed.run("store-007", "merge").returncode == 2
    missing = crossed.run("store-007", "merge", "--branches", "nobody/*")
    assert missing.returncode == 17
    assert "prontosync branch --all" in missing.stderr
    assert _refs(crossed, "store-007") == before


def test_merge_dry_run_and_plan_move_nothing(crossed: Chain) -> None:
    before, live = _refs(crossed, "store-007"), (crossed.top / "store-007/pos.db").read_bytes()
    dry = crossed.run("store-007", "merge", "office/main", "--dry-run")
    assert dry.returncode == 1, dry.stderr
    assert "would merge" in dry.stdout
    assert "1 open conflict" in dry.stdout
    answer = json.loads(crossed.run("store-007", "merge", "office/main", "--dry-run", "--json").stdout)
    assert answer["tables"]["product"] == {"taken": 1, "merged": 0, "disputed": 0, "held": 0}
    assert answer["conflicts"] == 1
    plan = crossed.run("store-007", "merge", "office/main", "--plan")
    assert "~ product_id=100: price 449.50 → 7.00" in plan.stdout
    assert f"~ customer_id={SHARED_KEY}: name Θάλεια 7 → Ünö" in plan.stdout
    assert "phone" not in plan.stdout
    assert "1 open conflict in customer; not written" in plan.stdout
    see = plan.stdout.splitlines()[-1].removeprefix("  to see them: prontosync ").split()
    assert json.loads(crossed.run("store-007", *see, "--json").stdout)[0]["column"] == "phone"
    assert _refs(crossed, "store-007") == before
    assert (crossed.top / "store-007/pos.db").read_bytes() == live


def test_merge_writes_what_is_decided_and_keeps_the_rest(crossed: Chain) -> None:
    done = crossed.run("store-007", "merge", "office/main", "-m", "the evening", "--json")
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert answer["merged"] is True
    assert answer["fast_forward"] is False
    assert answer["conflicts"] == 1
    assert answer["applied"] == {
        "customer": {"inserted": 0, "updated": 1, "deleted": 0},
        "product": {"inserted": 0, "updated": 1, "deleted": 0},
    }
    assert _phone(crossed, "store-007") == "phone 007"
    assert crossed.sql("store-007", "SELECT name FROM customer WHERE customer_id = ?", (SHARED_KEY,)) == [("Ünö",)]
    again = json.loads(crossed.run("store-007", "merge", "office/main", "--json").stdout)
    assert again["merged"] is False
    assert again["commit"] == answer["commit"]


@pytest.mark.parametrize(
    ("side", "phone"), [("ours", "phone 007"), ("theirs", "phone 012"), ("stores/007", "phone 007")]
)
def test_prefer_decides_for_a_side(chain: Chain, side: str, phone: str) -> None:
    for store in ("012", "007"):
        chain.sql(
            f"store-{store}", "UPDATE customer SET phone = ? WHERE customer_id = ?", (f"phone {store}", SHARED_KEY)
        )
    chain.sync("store-012")
    chain.sync("office")
    assert chain.run("store-007", "fetch").returncode == 0
    done = chain.run("store-007", "merge", "office/main", "--prefer", side)
    assert done.returncode == 0, done.stderr
    assert _phone(chain, "store-007") == phone


def test_conflicts_say_what_to_type_and_typing_it_works(disputed: Chain, tmp_path: Path) -> None:
    text = disputed.run("store-012", "conflicts").stdout
    assert text.startswith("customer: 1 open conflict\n")
    assert f"  customer_id={SHARED_KEY}, column phone  (cell, since 2026-11-24T08:00:00Z)\n" in text
    assert re.search(r"phone 007  from stores/007 \(\w{8}\)  \[shown\]\n", text)
    assert re.search(r"phone 012  from stores/012 \(\w{8}\)  \[live\]\n", text)
    assert text.endswith("1 open conflict\n")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("prontosync resolve")]
    assert len(lines) == 2
    words = shlex.split(lines[0])[1:]
    done = run_program(*words, cwd=disputed.top / "store-012")
    assert done.returncode == 0, done.stderr
    assert _phone(disputed, "store-012") == "phone 007"
    assert disputed.run("store-012", "conflicts").stdout == "no open conflicts\n"


def test_conflicts_as_json(disputed: Chain) -> None:
    [found] = _conflicts(disputed)
    assert found["table"] == "customer"
    assert found["key"] == {"customer_id": SHARED_KEY}
    assert (found["kind"], found["column"]) == ("cell", "phone")
    assert [(c["value"], c["from"]) for c in found["candidates"]] == [
        ("phone 007", ["stores/007"]),
        ("phone 012", ["stores/012"]),
    ]
    assert (found["shown"], found["live"]) == ("phone 007", "phone 012")
    assert [one["id"] for one in _conflicts(disputed, "office")] == [found["id"]]
    assert _conflicts(disputed, "store-012", "--table", "product") == []
    assert _conflicts(disputed, "store-012", "HEAD~1") == []
    assert disputed.run("store-012", "conflicts", "--table", "nothing").returncode == 17
    target = disputed.top / "c.json"
    assert disputed.run("store-012", "conflicts", "--format", "json", "-o", str(target)).stdout == ""
    assert json.loads(target.read_text())[0]["id"] == found["id"]


@pytest.mark.parametrize(
    ("words", "phone"),
    [
        (("--take", "stores/007"), "phone 007"),
        (("--take", "ours"), "phone 012"),
        (("--take", "theirs"), "phone 007"),
        (("--value", "+52 1"), "+52 1"),
        (("--null",), None),
    ],
)
def test_resolve_one_cell_and_everybody_learns_it(disputed: Chain, words: tuple[str, ...], phone: str | None) -> None:
    planned = disputed.run("store-012", "resolve", *DISPUTE, *words, "--plan")
    assert planned.returncode == 0, planned.stderr
    assert _phone(disputed, "store-012") == "phone 012"
    done = disputed.run("store-012", "resolve", *DISPUTE, *words, "-m", "called her", "--author", "Ana", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conflicts"] == 0
    disputed.round()
    assert {_phone(disputed, place) for place in ("office", "store-012", "store-007")} == {phone}
    assert _conflicts(disputed) == _conflicts(disputed, "office") == _conflicts(disputed, "store-007") == []


def test_resolve_by_commit_all_and_where(disputed: Chain) -> None:
    commit = _conflicts(disputed)[0]["candidates"][0]["commit"]
    for words in (
        ("customer", SHARED_KEY, "--take", commit[:8]),
        ("--all", "--take", "stores/007"),
        ("customer", "--all", "--take", "stores/007"),
        ("customer", "--where", "phone LIKE '%007' AND _ps_column = 'phone'", "--take", "stores/007"),
        ("customer", "--where", "_ps_from = 'stores/012'", "--take", "theirs"),
    ):
        plan = json.loads(disputed.run("store-012", "resolve", *words, "--plan", "--json").stdout)["plan"]
        assert plan["customer"]["rows"][0]["new"]["phone"] == "phone 007", words


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "say what to resolve"),
        (("customer", SHARED_KEY), 2, "say how to resolve"),
        ((*DISPUTE, "--take", "ours", "--null"), 2, "say how to resolve"),
        (("customer", "--all", "--value", "1"), 2, "--take alone"),
        (("--where", "true", "--take", "ours"), 2, "needs the table"),
        (("--from", "x.csv", "--take", "ours"), 2, "no other word"),
        (("--from", "x.csv"), 17, "x.csv"),
        ((*DISPUTE, "--take", "stores/099"), 2, "stores/007"),
        (("customer", SHARED_KEY, "--column", "email", "--take", "ours"), 17, "not in dispute"),
        (("customer", "C012-00001", "--take", "ours"), 17, "C012-00001"),
        (("product", "100", "--take", "ours"), 17, "product"),
        (("nothing", "1", "--take", "ours"), 17, "nothing"),
        (("customer", "a=1", "--take", "ours"), 2, "customer_id=…"),
        ((*DISPUTE, "--delete"), 17, "not whether the row is there"),
        (("--all", "--take", "stores/099"), 17, "stores/099"),
        (("customer", "--where", "phone = 'nobody'", "--take", "ours"), 17, "satisfies"),
        (("customer", "--where", "nope = 1", "--take", "ours"), 2, "nope"),
        (("customer", "--where", "true) OR (true", "--take", "ours"), 2, "syntax error"),
        (("customer", "--where", "true; DROP TABLE x", "--take", "ours"), 2, ""),
        (("customer", "--where", "true UNION SELECT 1", "--take", "ours"), 2, ""),
        (("customer", "--where", "phone IN (SELECT content FROM read_text('/etc/passwd'))", "--take", "ours"), 2, ""),
    ],
)
def test_what_cannot_be_resolved(disputed: Chain, words: tuple[str, ...], code: int, says: str) -> None:
    before = _refs(disputed, "store-012")
    done = disputed.run("store-012", "resolve", *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert _refs(disputed, "store-012") == before
    assert _phone(disputed, "store-012") == "phone 012"


@pytest.mark.parametrize(
    ("line", "decision", "phone"),
    [(0, "x", "phone 007"), (1, "Take", "phone 012"), (1, "=+52 9", "+52 9"), (0, "null", None)],
)
def test_resolve_from_a_file(disputed: Chain, line: int, decision: str, phone: str | None) -> None:
    rows = _csv(disputed)
    assert list(rows[0]) == [
        "id", "table", "key", "kind", "column", "candidate", "from", "commit", "shown", "live", "since", "decision"
    ]  # fmt: skip
    rows[line]["decision"] = decision
    gone = {**rows[0], "id": "0" * 12, "decision": "x"}
    path = _decided(disputed, [*rows, gone], ";" if line else ",")
    done = disputed.run("store-012", "resolve", "--from", path.name)
    assert done.returncode == 0, done.stderr
    assert "line 4: that conflict is not open any more" in done.stderr
    assert _phone(disputed, "store-012") == phone
    again = disputed.run("store-012", "resolve", "--from", path.name)
    assert again.returncode == 0
    assert again.stdout == "nothing to do\n"


def _twice(rows: list[dict[str, str]]) -> None:
    rows[0]["decision"] = rows[1]["decision"] = "x"


def _word(rows: list[dict[str, str]]) -> None:
    rows[1]["decision"] = "perhaps"


def _delete(rows: list[dict[str, str]]) -> None:
    rows[0]["decision"] = "delete"


def _foreign(rows: list[dict[str, str]]) -> None:
    rows[0].update({"decision": "x", "candidate": "phone 099", "from": "stores/099", "commit": "0" * 64})


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [(_twice, 2, "lines 2 and 3"), (_word, 2, "line 3"), (_delete, 17, "line 2"), (_foreign, 2, "line 2")],
)
def test_a_file_that_cannot_be_followed(disputed: Chain, spoil: Any, code: int, says: str) -> None:
    rows = _csv(disputed)
    spoil(rows)
    done = disputed.run("store-012", "resolve", "--from", str(_decided(disputed, rows)))
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert _phone(disputed, "store-012") == "phone 012"


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b'id,candidate,from,commit,decision\n"x', b"\x00,\x00\n"]
)
def test_a_file_that_is_none_of_ours(disputed: Chain, content: bytes) -> None:
    (disputed.top / "store-012/bad.csv").write_bytes(content)
    done = disputed.run("store-012", "resolve", "--from", "bad.csv")
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr


def test_a_text_that_a_spreadsheet_would_run_is_made_harmless_and_understood(chain: Chain) -> None:
    for store, text in (("012", "=HYPERLINK(1)"), ("007", "@sum")):
        chain.sql(f"store-{store}", "UPDATE customer SET phone = ? WHERE customer_id = ?", (text, SHARED_KEY))
        chain.sync(f"store-{store}")
    chain.sync("office")
    chain.sync("store-012")
    rows = _csv(chain)
    assert [row["candidate"] for row in rows] == ["'=HYPERLINK(1)", "'@sum"]
    rows[1]["decision"] = "x"
    assert chain.run("store-012", "resolve", "--from", str(_decided(chain, rows))).returncode == 0
    assert _phone(chain, "store-012") == "@sum"


@pytest.fixture
def row_dispute(chain: Chain) -> Chain:
    """Store 012 has deleted a customer whose phone store 007 changed."""
    new = ("C-NEW", "Søren", None, None, None, 0)
    chain.sql("office", "INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?)", new)
    chain.sync("office")
    chain.sync("store-012")
    chain.sync("store-007")
    chain.sql("store-012", "DELETE FROM customer WHERE customer_id = 'C-NEW'")
    chain.sql("store-007", "UPDATE customer SET phone = '1' WHERE customer_id = 'C-NEW'")
    chain.sync("store-012")
    chain.sync("store-007")
    chain.sync("office")
    chain.sync("store-012")
    return chain


def test_a_row_in_dispute(row_dispute: Chain) -> None:
    [found] = _conflicts(row_dispute)
    assert (found["kind"], found["column"]) == ("row", None)
    assert [c["value"] and c["value"]["phone"] for c in found["candidates"]] == ["1", None]
    assert found["candidates"][1]["value"] is None
    assert found["live"] is None
    assert re.search(r"\(no such row\) +from stores/012", row_dispute.run("store-012", "conflicts").stdout)
    assert [row["candidate"] for row in _csv(row_dispute)][1] == "absent"
    query = "SELECT name, phone FROM customer WHERE customer_id = 'C-NEW'"
    whole = json.dumps({**found["shown"], "phone": "2"})
    for words in (("--value", "2"), ("--value", '{"name": "x"}'), ("--null",), ("--column", "phone", "--take", "ours")):
        assert row_dispute.run("store-012", "resolve", "customer", "C-NEW", *words).returncode in {2, 17}
    assert row_dispute.run("office", "resolve", "customer", "C-NEW", "--value", whole).returncode == 0
    row_dispute.round()
    assert [row_dispute.sql(place, query) for place in ("office", "store-012", "store-007")] == [[("Søren", "2")]] * 3


def test_a_row_is_deleted_by_decision(row_dispute: Chain) -> None:
    assert row_dispute.run("store-007", "sync").returncode == 0
    assert row_dispute.run("store-007", "resolve", "customer", "C-NEW", "--delete").returncode == 0
    assert row_dispute.sql("store-007", "SELECT * FROM customer WHERE customer_id = 'C-NEW'") == []
    row_dispute.round()
    assert _conflicts(row_dispute, "office") == []


def test_revert_takes_back_and_loses_nothing_newer(chain: Chain) -> None:
    chain.sql("store-012", "UPDATE product SET price = 1 WHERE product_id IN (100, 101)")
    assert chain.run("store-012", "config", "set", "table.product.columns.price", "none").returncode == 0
    wrong = json.loads(chain.run("store-012", "sync", "--json").stdout)["snapshot"]["commit"]
    chain.sql("store-012", "UPDATE product SET price = 2 WHERE product_id = 101")
    chain.sql("store-012", "INSERT INTO ticket VALUES ('T-1', 12, '2026-11-24 10:00:00', NULL, 5)")
    plan = chain.run("store-012", "revert", wrong, "--table", "product", "--key", "100", "--plan")
    assert plan.returncode == 0, plan.stderr
    assert "~ product_id=100: price 1.00 → 449.50" in plan.stdout
    one = chain.run("store-012", "revert", wrong, "--table", "product", "--key", "100", "-m", "sorry", "--json")
    assert one.returncode == 0, one.stderr
    assert json.loads(one.stdout)["applied"] == {"product": {"inserted": 0, "updated": 1, "deleted": 0}}
    prices = "SELECT price FROM product WHERE product_id IN (100, 101) ORDER BY product_id"
    assert chain.sql("store-012", prices) == [(449.5,), (2,)]
    assert chain.sql("store-012", "SELECT total FROM ticket WHERE ticket_id = 'T-1'") == [(5,)]
    assert chain.run("store-012", "revert", wrong, "--key", "100").returncode == 2
    assert chain.run("store-012", "revert", wrong, "--table", "nothing").returncode == 17
    assert chain.run("store-012", "revert", "nothing").returncode == 17
    assert chain.run("store-012", "revert").returncode == 2


def test_undo_takes_back_the_last_merge(crossed: Chain) -> None:
    assert crossed.run("store-007", "merge", "office/main").returncode == 1
    price = "SELECT price FROM product WHERE product_id = 100"
    assert crossed.sql("store-007", price) == [(7,)]
    crossed.sql("store-007", "INSERT INTO ticket VALUES ('T-1', 7, '2026-11-24 10:00:00', NULL, 5)")
    plan = crossed.run("store-007", "undo", "--plan")
    assert "~ product_id=100: price 7.00 → 449.50" in plan.stdout, plan.stderr
    done = crossed.run("store-007", "undo", "-m", "not yet", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conflicts"] == 0
    assert crossed.sql("store-007", price) == [(449.5,)]
    assert _phone(crossed, "store-007") == "phone 007"
    assert crossed.sql("store-007", "SELECT total FROM ticket WHERE ticket_id = 'T-1'") == [(5,)]


def test_undo_without_anything_to_undo(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "pos.db")) as db, db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    assert run_program("init", "--source", "pos.db", "--store", "1", cwd=tmp_path).returncode == 0
    assert run_program("undo", cwd=tmp_path).returncode == 17


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("merge",), 2),
        (("merge", "nothing"), 17),
        (("merge", "office/main", "--prefer", "x"), 2),
        (("conflicts", "x"), 17),
    ],
)
def test_merge_with_wrong_words(chain: Chain, words: tuple[str, ...], code: int) -> None:
    done = chain.run("store-012", *words)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_foreign_text_never_reaches_the_terminal(chain: Chain) -> None:
    for store in ("012", "007"):
        chain.sql(
            f"store-{store}",
            "UPDATE customer SET phone = ? WHERE customer_id = ?",
            (f"\x1b[31m{store}\u202e", SHARED_KEY),
        )
        chain.sync(f"store-{store}")
    chain.sync("office")
    assert chain.run("store-012", "fetch").returncode == 0
    said = [
        chain.run("store-012", *words).stdout
        for words in (("merge", "office/main", "--plan"), ("pull",), ("conflicts",), ("conflicts", "--json"))
    ]
    assert not any(mark in text for text in said for mark in ("\x1b", "\u202e"))
    assert "\\x1b[31m007" in said[2]
