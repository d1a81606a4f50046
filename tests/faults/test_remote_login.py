"""Fault 12 and its kin: whom we trust, who we are. Always exit 13, one attempt, and nothing is asked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prontosync.remote.contract import RemoteRefused
from prontosync.remote.sftp_errors import HostKeyRefused, LoginRefused
from tests.fixtures.hubs import MAIN, REPOSITORY, Hub, moved
from tests.fixtures.sshd import Sshd, make_key, program


@pytest.fixture(autouse=True)
def _closed_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def _connections(sshd: Sshd) -> int:
    return (sshd.folder / "sshd.log").read_text().count("Connection from")


def _fingerprint(sshd: Sshd) -> str:
    shown = subprocess.run(
        [program("ssh-keygen"), "-lf", str(sshd.folder / "host_key.pub")], capture_output=True, check=True
    )
    return shown.stdout.decode().split()[1]


@pytest.mark.parametrize("case", ["unknown", "changed", "revoked", "pinned", "no-file", "no-home"])
def test_a_host_key_that_is_not_the_one_we_know(sftp_hub: Hub, sshd: Sshd, tmp_path: Path, case: str) -> None:
    public = (sshd.folder / "host_key.pub").read_text().split()
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()
    name = f"[127.0.0.1]:{sshd.port}"
    text = {
        "unknown": f"elsewhere {public[0]} {public[1]}\n@cert-authority * {other[0]} {other[1]}\n",
        "changed": f"{name} {other[0]} {other[1]}\n",
        "revoked": f"{name} {public[0]} {public[1]}\n@revoked * {public[0]} {public[1]}\n",
    }.get(case, "")
    known = tmp_path / "known_hosts"
    if case != "no-file":
        known.write_text(text)
    options = {"fingerprint": "SHA256:" + "A" * 43} if case == "pinned" else {}
    before = _connections(sshd)
    with (
        sftp_hub.sftp(known_hosts=None if case == "no-home" else known, tries=4, **options) as remote,
        pytest.raises(HostKeyRefused) as caught,
    ):
        remote.hub_id()
    assert caught.value.exit == 13
    assert _fingerprint(sshd) in caught.value.message
    assert _connections(sshd) - before == 1


def test_a_cert_authority_line_does_not_hide_the_key(sftp_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    public = make_key(tmp_path / "ca").with_suffix(".pub").read_text()
    known.write_text(f"@cert-authority *.example.com {public}@cert-authority {sshd.known_hosts.read_text()}")
    with sftp_hub.sftp(known_hosts=known) as remote, pytest.raises(HostKeyRefused):
        remote.hub_id()
    known.write_text(f"@cert-authority *.example.com {public}{sshd.known_hosts.read_text()}")
    with sftp_hub.sftp(known_hosts=known) as remote:
        assert remote.hub_id() == REPOSITORY


def test_a_pinned_fingerprint_needs_no_known_hosts(sftp_hub: Hub, sshd: Sshd) -> None:
    with sftp_hub.sftp(known_hosts=None, fingerprint=_fingerprint(sshd)) as remote:
        assert remote.hub_id() == REPOSITORY


def test_known_hosts_below_home_is_the_default(sftp_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(sshd.known_hosts.read_text())
    with sftp_hub.sftp(known_hosts=None, home=tmp_path) as remote:
        assert remote.hub_id() == REPOSITORY


def test_a_key_that_the_account_does_not_have(sftp_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    before = _connections(sshd)
    began = time.monotonic()
    with (
        sftp_hub.sftp(identity=make_key(tmp_path / "stranger"), tries=4) as remote,
        pytest.raises(LoginRefused) as caught,
    ):
        remote.hub_id()
    assert caught.value.exit == 13
    assert _connections(sshd) - before == 1
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("case", ["missing", "open", "garbage", "folder", "passphrase"])
def test_a_key_that_cannot_be_used(sftp_hub: Hub, tmp_path: Path, case: str) -> None:
    key = tmp_path / "key"
    if case == "open":
        make_key(key).chmod(0o640)
    elif case == "garbage":
        key.write_text("not a key\n")
        key.chmod(0o600)
    elif case == "folder":
        key.mkdir(mode=0o700)
    elif case == "passphrase":
        make_key(key, passphrase="secret words")
    with sftp_hub.sftp(identity=key, tries=4) as remote, pytest.raises(LoginRefused) as caught:
        remote.hub_id()
    assert str(key) in caught.value.message
    assert caught.value.exit == 13
    if case == "open":
        assert caught.value.hint == f"chmod 600 {key}"
    if case == "passphrase":
        assert "ssh-add" in (caught.value.hint or "")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "agent"
    process = subprocess.Popen([program("ssh-agent"), "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    while not path.exists():
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield path
    process.kill()
    process.wait()


def _add(agent: Path, key: Path) -> None:
    environment = os.environ | {"SSH_AUTH_SOCK": str(agent)}
    subprocess.run([program("ssh-add"), "-q", str(key)], env=environment, check=True, stdin=subprocess.DEVNULL)


def test_the_agent_is_asked_where_no_key_is_configured(sftp_hub: Hub, sshd: Sshd, agent: Path, tmp_path: Path) -> None:
    _add(agent, make_key(tmp_path / "other"))
    with sftp_hub.sftp(identity=None) as remote, pytest.raises(LoginRefused):
        remote.hub_id()
    _add(agent, sshd.keys["plain"])
    with sftp_hub.sftp(identity=None) as remote:
        assert remote.hub_id() == REPOSITORY
    with sftp_hub.sftp(identity=None, agent=False) as remote, pytest.raises(LoginRefused, match="no key"):
        remote.hub_id()
    with sftp_hub.sftp(identity=tmp_path / "other") as remote, pytest.raises(LoginRefused):
        remote.hub_id()


def test_a_key_with_a_passphrase_is_used_through_the_agent(
    sftp_hub: Hub, sshd: Sshd, agent: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(sshd.keys["plain"].read_bytes())
    locked.chmod(0o600)
    (tmp_path / "locked.pub").write_bytes(sshd.keys["plain"].with_suffix(".pub").read_bytes())
    _add(agent, locked)
    command = [program("ssh-keygen"), "-q", "-p", "-P", "", "-N", "secret words", "-f", str(locked)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with sftp_hub.sftp(identity=locked) as remote:
        assert remote.hub_id() == REPOSITORY


def test_the_usual_key_files_are_tried(sftp_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    make_key(tmp_path / ".ssh" / "id_ed25519")
    with sftp_hub.sftp(identity=None, home=tmp_path) as remote, pytest.raises(LoginRefused):
        remote.hub_id()
    key = tmp_path / ".ssh" / "id_rsa"
    key.write_bytes(sshd.keys["plain"].read_bytes())
    key.chmod(0o600)
    with sftp_hub.sftp(identity=None, home=tmp_path) as remote:
        assert remote.hub_id() == REPOSITORY


def test_what_the_account_may_not_do_is_refused_once(meddled_hub: Hub, sshd: Sshd, tmp_path: Path) -> None:
    state = moved(meddled_hub, tmp_path, 1)[0]
    before = _connections(sshd)
    with (
        sshd.meddling(status=[["open", 0, 3]]),
        meddled_hub.sftp(tries=4) as remote,
        pytest.raises(RemoteRefused) as caught,
    ):
        remote.read_refs({MAIN: state})
    assert caught.value.exit == 13
    assert _connections(sshd) - before == 1
