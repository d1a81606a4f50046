"""Verify, branches and tags, the configuration, plumbing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.chain import Chain
from tests.fixtures.store import Store


def some_file(store: Store, table: str = "stock") -> Path:
    """The one segment of a table."""
    (path,) = store.json("ls-files", "HEAD", table)["segments"]
    return Path(path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def identity(path: Path) -> str:
    return path.parent.name + path.stem


def test_a_sound_repository(store: Store) -> None:
    answer = store.json("verify")
    assert answer["damaged"] == answer["missing"] == []
    assert answer["objects"] == sum(1 for path in (store.top / ".prontosync/objects").rglob("*.*") if path.is_file())
    assert store.text("verify") == f"{answer['objects']} objects, {answer['bytes']} bytes: sound\n"
    assert store.json("verify", "HEAD")["damaged"] == []
    parts = [store.json("verify", "--sample", f"{k}/4")["objects"] for k in (1, 2, 3, 4)]
    assert sum(parts) == answer["objects"]


def test_what_is_damaged_or_missing_is_named(store: Store) -> None:
    damaged, missing = some_file(store), some_file(store, "style")
    flip(damaged)
    missing.unlink()
    answer = store.json("verify", exit=14)
    assert identity(damaged) in [one["id"] for one in answer["damaged"]]
    assert identity(missing) in answer["missing"]
    assert f"damaged: {identity(damaged)}" in store.run("verify", exit=14).stderr
    store.run("verify", "HEAD", exit=14)
    assert store.fails("cat-object", identity(damaged), exit=14)["error"] == "damaged-object"


def test_a_damaged_commit(store: Store) -> None:
    head = store.text("rev-parse", "HEAD").strip()
    flip(store.top / ".prontosync/objects" / head[:2] / f"{head[2:]}.json")
    for words in (("log",), ("diff",), ("status",), ("snapshot",), ("show",), ("ls-tables",), ("sql", "SELECT 1")):
        assert head in store.fails(*words, exit=14)["message"]
    assert store.json("verify", exit=14)["damaged"][0]["id"] == head


def test_samples_that_are_none(store: Store) -> None:
    for sample in ("0/3", "4/3", "x", "1/0", "1"):
        store.fails("verify", "--sample", sample, exit=2)
    store.fails("verify", "nope", exit=17)
    store.fails("verify", "--remote", "nope", exit=17)
    store.fails("verify", "HEAD", "--remote", "hub", exit=2)


def test_a_remote_is_verified(store: Store) -> None:
    store.run("init", "--bare", "../hub")
    store.run("remote", "add", "hub", "../hub")
    store.run("push")
    assert store.json("verify", "--remote", "hub")["objects"] > 20
    assert not list((store.top / ".prontosync/tmp").iterdir())
    file = some_file(store)
    flip(store.top.parent / "hub" / "objects" / file.parent.name / file.name)
    assert identity(file) in [one["id"] for one in store.json("verify", "--remote", "hub", exit=14)["damaged"]]
    (store.top.parent / "hub" / "objects" / file.parent.name / file.name).unlink()
    assert identity(file) in store.json("verify", "--remote", "hub", exit=14)["missing"]
    assert store.json("verify")["damaged"] == []


def test_a_remote_that_went_back(store: Store) -> None:
    store.run("init", "--bare", "../hub")
    store.run("remote", "add", "hub", "../hub")
    store.run("push")
    store.run("snapshot")
    store.run("push")
    newest = max((store.top.parent / "hub/refs/stores/012/@").rglob("0000*2"))
    newest.unlink()
    head = store.text("rev-parse", "HEAD").strip()
    (store.top.parent / "hub/objects" / head[:2] / f"{head[2:]}.json").unlink()
    assert store.json("verify", "--remote", "hub", exit=14)["damaged"]


def test_branches(store: Store) -> None:
    head = store.text("rev-parse", "HEAD").strip()
    assert store.json("branch") == [{"name": "stores/012", "commit": head, "current": True, "remote": None}]
    assert store.json("branch", "old", "HEAD~1")["name"] == "old"
    assert store.text("rev-parse", "old") == store.text("rev-parse", "HEAD~1")
    assert "*  stores/012" in store.text("branch")
    store.fails("branch", "old", exit=2)
    assert store.json("branch", "--delete", "old")["deleted"]
    store.fails("rev-parse", "old", exit=17)
    store.fails("branch", "--delete", "old", exit=17)
    store.fails("branch", "--delete", "stores/012", exit=13)
    store.fails("branch", "--delete", exit=2)
    store.fails("branch", "new", "nope", exit=17)


@pytest.mark.parametrize(
    "name", ["../x", "UPPER", "a..b", "tags/x", "deadbeef", "con", "a//b", "-x", "x" * 300, "\x1b", "a."]
)
def test_bad_ref_names(store: Store, name: str) -> None:
    assert store.run("branch", "--", name, exit=2)
    assert store.run("update-ref", "--", name.replace("tags/x", "Tags"), "HEAD", exit=2)
    assert store.run("tag", "--", name.replace("tags/x", "Tags"), exit=2)


def test_names_of_remotes_are_not_branches(chain: Chain) -> None:
    done = chain.run("store-012", "branch", "office/mine", "--json")
    assert done.returncode == 2
    listed = json.loads(chain.run("store-012", "branch", "--all", "--json").stdout)
    assert {one["name"]: one["remote"] for one in listed}["office/main"] == "office"


def test_tags(store: Store) -> None:
    store.run("tag", "count", "HEAD~1")
    assert store.json("tag")[0]["name"] == "count"
    assert store.text("rev-parse", "count") == store.text("rev-parse", "HEAD~1")
    store.fails("tag", "count", exit=2)
    store.json("tag", "--delete", "count")
    assert store.json("tag") == []
    store.fails("tag", "--delete", "count", exit=17)


def test_switch_is_for_places_without_a_live_database(store: Store) -> None:
    assert "live database" in store.fails("switch", "other", exit=13)["message"]
    store.run("init", "--bare", "../hub")
    store.run("remote", "add", "hub", "../hub")
    store.run("push")
    store.run("clone", "../hub", "../office")
    office = Store(store.top.parent / "office")
    assert office.json("switch", "--create", "trial")["branch"] == "trial"
    assert office.json("status")["branch"] == "trial"
    office.json("switch", "stores/012")
    office.fails("switch", "nope", exit=17)
    office.fails("switch", "--create", "trial", exit=2)
    office.json("branch", "--delete", "trial")
    office.fails("switch", "Trial", exit=2)


def test_switch_to_a_branch_that_a_remote_has(store: Store) -> None:
    store.run("init", "--bare", "../hub")
    store.run("remote", "add", "hub", "../hub")
    store.run("push")
    office = Store(store.top.parent / "office")
    store.run("init", "../office")
    office.run("remote", "add", "hub", "../hub")
    office.run("fetch")
    assert office.json("switch", "stores/012")["commit"] == store.text("rev-parse", "HEAD").strip()


def test_config(store: Store) -> None:
    assert store.text("config", "get", "store.name") == "012\n"
    store.run("config", "set", "source.max_deletes", "5%")
    assert store.json("config", "get", "source.max_deletes") == {"key": "source.max_deletes", "value": "5%"}
    store.run("config", "set", 'table."odd name".flow', "own")
    assert store.json("config", "list")['table."odd name".flow'] == "own"
    store.run("config", "unset", "source.max_deletes")
    assert "2%" in store.fails("config", "get", "source.max_deletes", exit=17)["hint"]
    store.fails("config", "unset", "source.max_deletes", exit=17)
    store.fails("config", "get", "source.nope", exit=10)
    store.fails("config", "set", "source.max_deletes", "lots", exit=10)
    store.fails("config", "set", "..", "x", exit=10)


def test_a_broken_configuration_stops_everything_but_its_repair(store: Store) -> None:
    path = store.top / "prontosync.toml"
    good = path.read_text()
    path.write_text(good.replace("[source]", "[source]\napplly = true"))
    error = store.fails("status", exit=10)
    assert "line" in error["message"]
    assert "apply" in error["hint"]
    path.write_text("[[[")
    store.fails("status", exit=10)
    store.fails("config", "list", exit=10)
    path.unlink()
    store.fails("status", exit=10)
    path.write_text(good)
    store.run("status")


def test_objects(store: Store, tmp_path: Path) -> None:
    head = store.text("rev-parse", "HEAD").strip()
    answer = store.json("cat-object", head[:10])
    assert (answer["id"], answer["type"], answer["content"]["kind"]) == (head, "json", "commit")
    assert json.loads(store.text("cat-object", head))["message"] == "the second day"
    file = some_file(store)
    raw = subprocess.run(
        [sys.executable, "-m", "prontosync", "cat-object", identity(file)],
        cwd=store.top,
        capture_output=True,
        check=True,
    ).stdout
    assert raw == file.read_bytes()
    assert store.json("hash-object", str(file)) == {"id": identity(file)}
    store.fails("hash-object", "none", exit=17)
    store.fails("cat-object", "0" * 64, exit=17)
    store.fails("cat-object", "xyz", exit=2)
    store.fails("cat-object", "abc", exit=2)


def test_update_ref(store: Store) -> None:
    first, head = (store.text("rev-parse", rev).strip() for rev in ("HEAD~1", "HEAD"))
    assert store.json("update-ref", "kept", "HEAD~1", "0" * 64) == {"ref": "kept", "old": None, "new": first}
    store.fails("update-ref", "kept", "HEAD", "HEAD", exit=15)
    store.fails("update-ref", "kept", "HEAD", "0" * 64, exit=15)
    assert store.json("update-ref", "kept", "HEAD", first)["new"] == head
    assert store.text("rev-parse", "kept@{1}").strip() == first
    assert store.json("update-ref", "--delete", "kept")["new"] is None
    assert "live database" in store.fails("update-ref", "stores/012", "HEAD~1", exit=13)["message"]
    store.fails("update-ref", "kept", exit=2)
    store.fails("update-ref", "kept", "nope", exit=17)


def test_merge_base(chain: Chain) -> None:
    done = chain.run("store-012", "merge-base", "HEAD", "office/main")
    assert done.returncode == 0
    assert len(done.stdout.strip()) == 64
    assert chain.run("store-012", "merge-base", "HEAD", "nope").returncode == 17


def test_ambiguous_ids(store: Store) -> None:
    (store.top / ".prontosync/objects/ab").mkdir(exist_ok=True)
    for end in "01":
        (store.top / ".prontosync/objects/ab" / f"{'c' * 61}{end}.json").write_bytes(b'{"kind":"commit"}')
    assert "write more digits" in store.fails("cat-object", "ab" + "c" * 10, exit=2)["hint"]
