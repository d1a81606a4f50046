"""``fetch``, ``push``, ``pull`` and ``sync``: what moves, what they answer, and how they fail."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from filelock import FileLock

from tests.fixtures.chain import SHARED_KEY, Chain
from tests.fixtures.sshd import Sshd

OFFLINE = "sftp://nobody@127.0.0.1:1/hub"
CUSTOMER = "UPDATE customer SET phone = ? WHERE customer_id = ?"


def _unplug(chain: Chain, place: str = "store-012") -> None:
    """Its own hub cannot be reached any more."""
    config = chain.top / place / "prontosync.toml"
    text = config.read_text().replace('"../hub-012"', f'"{OFFLINE}"\nfingerprint = "SHA256:{"A" * 43}"')
    config.write_text(text)


def test_push_and_fetch_say_which_refs_moved(chain: Chain) -> None:
    chain.sql("store-012", CUSTOMER, ("1", SHARED_KEY))
    assert chain.run("office", "fetch").returncode == 0
    made = json.loads(chain.run("store-012", "snapshot", "--json").stdout)
    done = chain.run("store-012", "push", "--json")
    assert done.returncode == 0, done.stderr
    pushed = json.loads(done.stdout)
    assert pushed["remote"] == "hub"
    assert pushed["refs"]["stores/012"]["new"] == made["commit"]
    assert pushed["objects"] > 0
    assert pushed["bytes"] > 0
    fetched = json.loads(chain.run("office", "fetch", "--json").stdout)
    assert fetched["remote"] is None
    assert fetched["refs"] == {"s012/stores/012": pushed["refs"]["stores/012"]}
    assert json.loads(chain.run("store-012", "push", "--json").stdout)["refs"] == {}
    assert chain.run("store-012", "push").stdout == "nothing to push\n"
    assert chain.run("office", "fetch", "s012").stdout == "nothing new\n"


def test_a_push_that_would_lose_commits_is_refused_and_a_sync_merges_first(chain: Chain) -> None:
    twin = chain.top / "store-012-twin"
    shutil.copytree(chain.top / "store-012", twin)
    chain.sql("store-012", CUSTOMER, ("1", SHARED_KEY))
    assert chain.run("store-012", "sync").returncode == 0
    chain.sql("store-012-twin", "UPDATE customer SET email = 'twin' WHERE customer_id = ?", (SHARED_KEY,))
    assert chain.run("store-012-twin", "snapshot").returncode == 0
    refused = chain.run("store-012-twin", "push", "hub")
    assert refused.returncode == 15
    assert "prontosync pull" in refused.stderr
    assert chain.run("store-012-twin", "sync").returncode == 0
    assert chain.run("store-012", "pull").returncode == 0
    query = "SELECT phone, email FROM customer WHERE customer_id = ?"
    assert chain.sql("store-012", query, (SHARED_KEY,)) == [("1", "twin")]
    assert chain.sql("store-012-twin", query, (SHARED_KEY,)) == [("1", "twin")]


def test_pull_merges_and_its_plan_does_not(chain: Chain) -> None:
    chain.sql("office", "UPDATE product SET price = 1.5 WHERE product_id = 100")
    chain.sync("office")
    planned = chain.run("store-012", "pull", "--plan")
    assert planned.returncode == 0, planned.stderr
    assert "~ product_id=100: price 449.50 → 1.50" in planned.stdout
    assert chain.sql("store-012", "SELECT price FROM product WHERE product_id = 100") == [(449.5,)]
    as_json = json.loads(chain.run("store-012", "pull", "--plan", "--json").stdout)
    assert as_json["commit"] is None
    [row] = as_json["plan"]["product"]["rows"]
    assert (row["change"], row["key"], row["old"]["price"], row["new"]["price"]) == (
        "update", {"product_id": 100}, "449.50", "1.50"
    )  # fmt: skip
    done = json.loads(chain.run("store-012", "pull", "--json").stdout)
    assert done["tables"] == {"product": {"taken": 1, "merged": 0, "disputed": 0, "held": 0}}
    assert done["applied"] == {"product": {"inserted": 0, "updated": 1, "deleted": 0}}
    assert done["merged"] is True
    assert done["conflicts"] == 0
    assert chain.sql("store-012", "SELECT price FROM product WHERE product_id = 100") == [(1.5,)]


def test_open_conflicts_exit_1_in_pull_and_in_sync_only_when_asked(disputed: Chain) -> None:
    assert disputed.run("store-012", "pull").returncode == 1
    assert disputed.run("store-012", "sync").returncode == 0
    assert disputed.run("store-012", "sync", "--exit-code").returncode == 1
    answer = json.loads(disputed.run("store-012", "sync", "--json").stdout)
    assert answer["conflicts"] == 1
    assert set(answer) >= {"remote", "refs", "objects", "bytes", "seconds", "snapshot", "pull", "push", "errors"}


def test_offline_the_snapshot_is_made_and_quiet_says_nothing(chain: Chain) -> None:
    _unplug(chain)
    chain.sql("store-012", CUSTOMER, ("1", SHARED_KEY))
    hub = sorted((chain.top / "hub-012").rglob("*"))
    done = chain.run("store-012", "--quiet", "sync")
    assert (done.returncode, done.stdout, done.stderr) == (12, "", "")
    told = chain.run("store-012", "sync", "--json")
    assert told.returncode == 12
    answer = json.loads(told.stdout)
    assert answer["snapshot"]["commit"] is None  # the run before has made it
    assert list(answer["errors"]) == ["hub"]
    assert json.loads(told.stderr)["exit"] == 12
    assert sorted((chain.top / "hub-012").rglob("*")) == hub
    assert "127.0.0.1" in chain.run("store-012", "sync").stderr


def test_what_cron_hears_of_a_sync_that_works_is_nothing(chain: Chain) -> None:
    done = chain.run("store-012", "--quiet", "sync")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_other_remotes_are_served_and_the_worst_error_decides(chain: Chain) -> None:
    _unplug(chain)
    chain.sql("office", "UPDATE product SET price = 2 WHERE product_id = 100")
    chain.sync("office")
    assert chain.run("store-012", "sync").returncode == 12
    assert chain.sql("store-012", "SELECT price FROM product WHERE product_id = 100") == [(2,)]
    for record in (chain.top / "hub-office/refs/main/@").rglob("0*"):
        if record.is_file():
            record.chmod(0o644)
            record.write_text("rubbish")
    done = chain.run("store-012", "sync")
    assert done.returncode == 14, done.stderr
    assert "127.0.0.1" in done.stderr


def test_an_overlapping_run_gives_way_at_once(chain: Chain) -> None:
    with FileLock(chain.top / "store-012/.prontosync/lock"):
        done = chain.run("store-012", "--quiet", "sync", timeout=20)
    assert done.returncode == 11
    assert "another run" in done.stderr


def test_a_locked_database_is_11(chain: Chain) -> None:
    with closing(sqlite3.connect(chain.top / "store-012/pos.db", isolation_level=None)) as till:
        till.execute("BEGIN EXCLUSIVE")
        done = chain.run("store-012", "sync", "--json", timeout=100)
    assert done.returncode == 11
    assert json.loads(done.stderr)["error"] == "source-busy"


def test_over_a_real_server(chain: Chain, sshd: Sshd) -> None:
    options = ("--identity", str(sshd.keys["plain"]), "--known-hosts", str(sshd.known_hosts))
    assert chain.run("store-012", "remote", "add", "far", sshd.url(chain.top / "hub-012"), *options).returncode == 0
    chain.sql("store-012", CUSTOMER, ("far", SHARED_KEY))
    assert chain.run("store-012", "sync", "far").returncode == 0
    chain.sync("office")
    assert chain.sql("office", "SELECT phone FROM customer WHERE customer_id = ?", (SHARED_KEY,)) == [("far",)]


@pytest.mark.parametrize(
    ("place", "words", "code", "says"),
    [
        ("store-012", ("fetch", "nowhere"), 17, "nowhere"),
        ("store-012", ("push", "hub", "nothing"), 17, "nothing"),
        ("store-012", ("push", "hub", "../x"), 2, "not a ref name"),
        ("store-012", ("pull", "hub", "nothing"), 17, "nothing"),
        ("store-012", ("pull", "nowhere"), 17, "nowhere"),
        ("store-012", ("sync", "nowhere"), 17, "nowhere"),
        ("", ("sync",), 10, "no repository"),
    ],
)
def test_what_cannot_be(chain: Chain, place: str, words: tuple[str, ...], code: int, says: str) -> None:
    done = chain.run(place, *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    as_json = chain.run(place, *words, "--json")
    assert json.loads(as_json.stderr)["exit"] == code


def _hub_files(chain: Chain, hub: str) -> list[str]:
    return sorted(path.as_posix() for path in (chain.top / hub / "objects").rglob("*") if path.is_file())


def test_what_a_hub_lost_is_sent_again(chain: Chain) -> None:
    before = _hub_files(chain, "hub-012")
    lost = before[::3]
    for path in lost:
        chain.top.joinpath(path).unlink()
    assert chain.run("store-012", "verify", "--remote", "hub").returncode == 14
    assert chain.run("store-012", "push").stdout == "nothing to push\n"
    done = chain.run("store-012", "push", "--repair", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["repaired"]) == len(lost)
    assert _hub_files(chain, "hub-012") == before
    assert chain.run("store-012", "verify", "--remote", "hub").returncode == 0


def test_a_hub_restored_from_a_backup_is_refused_until_it_is_accepted(chain: Chain) -> None:
    shutil.copytree(chain.top / "hub-012", chain.top / "backup")
    chain.sql("store-012", CUSTOMER, ("1", SHARED_KEY))
    assert chain.run("store-012", "sync").returncode == 0
    shutil.rmtree(chain.top / "hub-012")
    shutil.copytree(chain.top / "backup", chain.top / "hub-012")
    refused = chain.run("store-012", "fetch", "hub")
    assert refused.returncode == 14
    assert "accept-rollback" in refused.stderr
    assert chain.run("store-012", "remote", "accept-rollback", "hub").returncode == 0
    assert chain.run("store-012", "fetch", "hub").returncode == 0
    assert chain.run("store-012", "push", "hub").returncode == 0
    assert chain.run("store-012", "verify", "--remote", "hub").returncode == 0
    assert chain.run("store-012", "remote", "accept-rollback", "nowhere").returncode == 17
