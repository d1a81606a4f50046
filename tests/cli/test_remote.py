"""``remote``: what is added has been tried out, and what cannot be used is not added."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from prontosync.remote.folder import FolderRemote
from tests.fixtures.chain import Chain
from tests.fixtures.sshd import Sshd

HUB = "00000000-0000-4000-8000-00000000abcd"


@pytest.fixture
def spare(chain: Chain) -> Path:
    FolderRemote(chain.top / "spare").create(HUB)
    return chain.top / "spare"


def _remotes(chain: Chain) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = tomllib.loads((chain.top / "store-012/prontosync.toml").read_text())["remote"]
    return found


def test_a_folder_is_added_listed_checked_and_removed(chain: Chain, spare: Path) -> None:
    done = chain.run("store-012", "remote", "add", "spare", "../spare", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer == {
        "remote": "spare",
        "url": str(spare),
        "hub": HUB,
        "push": True,
        "warnings": [],
    }
    assert _remotes(chain)["spare"]["url"] == answer["url"]
    listed = json.loads(chain.run("store-012", "remote", "list", "--json").stdout)
    assert [one["remote"] for one in listed] == ["hub", "office", "spare"]
    assert [one["push"] for one in listed] == [True, False, True]
    assert "spare" in chain.run("store-012", "remote", "list").stdout
    checked = chain.run("store-012", "remote", "check", "spare")
    assert checked.returncode == 0
    assert checked.stdout == f"spare: publishes safely, hub {HUB}\n"
    assert chain.run("store-012", "remote", "remove", "spare").returncode == 0
    assert "spare" not in _remotes(chain)


def test_over_sftp_with_options(chain: Chain, spare: Path, sshd: Sshd) -> None:
    options = ("--identity", str(sshd.keys["append-only"]), "--known-hosts", str(sshd.known_hosts))
    done = chain.run("store-012", "remote", "add", "spare", sshd.url(spare), *options)
    assert done.returncode == 0, done.stderr
    assert _remotes(chain)["spare"]["identity"] == str(sshd.keys["append-only"])
    assert chain.run("store-012", "push", "spare").returncode == 0
    assert (spare / "refs/stores/012").is_dir()


def test_a_server_that_lets_links_overwrite_is_refused(chain: Chain, spare: Path, sshd: Sshd) -> None:
    options = ("--identity", str(sshd.keys["meddled"]), "--known-hosts", str(sshd.known_hosts))
    with sshd.meddling(overwrite_links=True):
        done = chain.run("store-012", "remote", "add", "spare", sshd.url(spare), *options)
    assert done.returncode == 13, (done.stdout, done.stderr)
    assert "hint: " in done.stderr
    assert "spare" not in _remotes(chain)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("remote", "add", "hub", "../hub-007"), 2, "exists already"),
        (("remote", "add", "Spare", "../hub-007"), 2, "not a remote name"),
        (("remote", "add", "stores", "../hub-007"), 10, "stores"),
        (("remote", "add", "spare", "../nothing"), 17, "hub"),
        (("remote", "add", "spare", "user@host:hub"), 2, "sftp://user@host/~/hub"),
        (("remote", "add", "spare", "sftp://u:secret@host/hub"), 2, "password"),
        (("remote", "add", "spare", "sftp://u@127.0.0.1:1/hub", "--known-hosts", "none"), 12, "127.0.0.1"),
        (("remote", "remove", "spare"), 17, "spare"),
        (("remote", "remove", "office"), 10, "upstream"),
        (("remote", "check", "spare"), 17, "spare"),
        (("remote", "add", "spare"), 2, "URL"),
    ],
)
def test_what_cannot_be(chain: Chain, words: tuple[str, ...], code: int, says: str) -> None:
    before = (chain.top / "store-012/prontosync.toml").read_text()
    done = chain.run("store-012", *words)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert (chain.top / "store-012/prontosync.toml").read_text() == before
