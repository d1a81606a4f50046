"""Fault 6: several machines move one ref at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prontosync.model.ids import ObjectName
from prontosync.remote.folder import FolderRemote
from tests.fixtures.hubs import MAIN, MOVER, Hub, a_commit, moved

ROOT = Path(__file__).parents[2]


def _client(hub: Hub, folder: Path, number: int, times: int, *, suspend: bool = False) -> subprocess.Popen[str]:
    assert hub.sshd is not None
    (own := folder / f"client-{number}").mkdir()
    parameters = {
        "url": hub.sshd.url(hub.top),
        "identity": str(hub.sshd.keys["plain"]),
        "known_hosts": str(hub.sshd.known_hosts),
        "folder": str(own),
        "store": f"{number:03d}",
        "times": times,
        "suspend": suspend,
    }
    command = [sys.executable, "-m", "tests.fixtures.advancing", json.dumps(parameters)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("clients", "times"), [(2, 12), (8, 4)])
def test_no_move_is_lost_and_generations_are_contiguous(
    sftp_hub: Hub, tmp_path: Path, clients: int, times: int
) -> None:
    processes = [_client(sftp_hub, tmp_path, number, times) for number in range(clients)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in said] == [""] * clients
    assert sum(words.split().count("won") for words, _ in said) == clients * times
    new = FolderRemote(sftp_hub.top).read_refs({MAIN: None})[MAIN]
    assert [state.generation for state, _ in new] == list(range(1, clients * times + 1))
    targets = [state.target for state, _ in new if state.target]
    assert len(set(targets)) == clients * times
    assert FolderRemote(sftp_hub.top).missing([ObjectName(target, "json") for target in targets]) == []


def test_a_client_that_was_suspended_loses(sftp_hub: Hub, tmp_path: Path) -> None:
    state = moved(sftp_hub, tmp_path, 1)[0]
    process = _client(sftp_hub, tmp_path, 1, 1, suspend=True)
    try:
        _await_stop(process.pid)
        with sftp_hub.sftp() as remote:
            won = remote.advance(MAIN, state.state, a_commit(sftp_hub, tmp_path), MOVER)
        assert won is not None
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=30) == ("lost\n", "")
    finally:
        process.kill()
        process.wait()
    assert FolderRemote(sftp_hub.top).read_refs({MAIN: state})[MAIN] == [(won.state, won.data)]


def _await_stop(pid: int) -> None:
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < until, "the client did not come to its link"
        time.sleep(0.01)
