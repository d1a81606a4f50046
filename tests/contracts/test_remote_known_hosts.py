"""known_hosts as OpenSSH writes and reads it; ``ssh-keygen -F`` is the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from prontosync.remote.contract import RemoteRefused
from prontosync.remote.known_hosts import HostKey, KnownHosts
from tests.fixtures.sshd import make_key, program


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("keys")
    paths = [make_key(folder / kind, kind) for kind in ("ed25519", "ecdsa")] + [make_key(folder / "other")]
    return [" ".join(path.with_suffix(".pub").read_text().split()[:2]) for path in paths]


def _key(line: str) -> HostKey:
    return KnownHosts(f"x {line}").keys("x", 22)[0]


@pytest.mark.parametrize(
    ("hosts", "host", "port", "verdict"),
    [
        ("hub", "hub", 22, "known"),
        ("HUB", "hub", 22, "known"),
        ("hub,10.0.0.1", "10.0.0.1", 22, "known"),
        ("hub", "hub2", 22, "unknown"),
        ("[hub]:2222", "hub", 2222, "known"),
        ("[hub]:2222", "hub", 22, "unknown"),
        ("[hub]:2222", "hub", 2223, "unknown"),
        ("hub", "hub", 2222, "known"),
        ("*.example.com", "a.example.com", 22, "known"),
        ("*.example.com", "example.com", 22, "unknown"),
        ("hub?", "hub1", 22, "known"),
        ("*,!hub", "hub", 22, "unknown"),
        ("*,!hub", "hub1", 22, "known"),
        ("[::1]:2222", "::1", 2222, "known"),
        ("h[a-z]b", "hub", 22, "unknown"),
    ],
)
def test_patterns(keys: list[str], hosts: str, host: str, port: int, verdict: str) -> None:
    assert KnownHosts(f"{hosts} {keys[0]} a comment\n").verdict(host, port, _key(keys[0])) == verdict


def test_changed_revoked_and_several_keys(keys: list[str]) -> None:
    known = KnownHosts(f"hub {keys[0]}\nhub {keys[1]}\n@revoked * {keys[2]}\nother {keys[2]}\n")
    assert known.verdict("hub", 22, _key(keys[0])) == "known"
    assert known.verdict("hub", 22, _key(keys[1])) == "known"
    assert known.verdict("hub", 22, _key(keys[2])) == "revoked"
    assert known.verdict("other", 22, _key(keys[2])) == "revoked"
    assert KnownHosts(f"hub {keys[0]}").verdict("hub", 22, _key(keys[2])) == "changed"
    assert [key.kind for key in known.keys("hub", 22)] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]


def test_lines_that_are_not_understood_break_nothing(keys: list[str]) -> None:
    text = (
        f"# comment\n\n@cert-authority *.example.com {keys[2]}\n@strange hub {keys[2]}\nhub\nhub ssh-ed25519\n"
        f"hub ssh-ed25519 not-base64!\nhub 1024 65537 1234\n|1|broken {keys[0]}\n|1|a|b {keys[0]}\n"
        f"\0\xff\nhub {keys[0]}"
    )
    known = KnownHosts(text)
    assert known.verdict("hub", 22, _key(keys[0])) == "known"
    assert known.verdict("a.example.com", 22, _key(keys[2])) == "unknown"


def test_hashed_names_and_fingerprints_as_ssh_keygen_makes_them(keys: list[str], tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"hub,10.0.0.1 {keys[0]}\n[hub]:2222 {keys[1]}\n")
    subprocess.run([program("ssh-keygen"), "-H", "-f", str(path)], check=True, capture_output=True)
    assert "hub" not in path.read_text()
    known = KnownHosts.read(path)
    assert known.verdict("hub", 22, _key(keys[0])) == "known"
    assert known.verdict("10.0.0.1", 22, _key(keys[0])) == "known"
    assert known.verdict("hub", 2222, _key(keys[1])) == "known"
    assert known.verdict("hub", 2222, _key(keys[0])) == "changed"
    assert known.verdict("hub2", 22, _key(keys[0])) == "unknown"
    (tmp_path / "key.pub").write_text(keys[0])
    shown = subprocess.run([program("ssh-keygen"), "-lf", str(tmp_path / "key.pub")], check=True, capture_output=True)
    assert _key(keys[0]).fingerprint == shown.stdout.decode().split()[1]


def test_a_missing_file_knows_nobody_and_a_folder_is_refused(tmp_path: Path) -> None:
    assert KnownHosts.read(tmp_path / "none").keys("hub", 22) == []
    with pytest.raises(RemoteRefused):
        KnownHosts.read(tmp_path)
