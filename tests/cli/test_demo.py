"""``demo``: it plays, checks itself, and takes no folder that is in use."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from prontosync.cli import demo_server
from prontosync.cli.demo_stage import DemoFailed, Stage
from prontosync.cli.main import main
from tests.fixtures.program import run_program


def test_behind_a_real_server(tmp_path: Path) -> None:
    done = run_program("demo", "play", "--sftp", "--json", cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["folder"] == str(tmp_path / "play")
    assert any("stock is what was there less all sales" in one for one in answer["checks"])
    assert "sftp://" in (tmp_path / "play/store-012/prontosync.toml").read_text()
    with closing(sqlite3.connect(tmp_path / "play/store-007/pos.db")) as db:
        assert db.execute("SELECT on_hand FROM stock WHERE product_id = 101").fetchall() == [(-1,)]
    assert run_program("-C", "play/store-012", "--quiet", "sync", cwd=tmp_path).returncode == 12


@pytest.mark.parametrize("kind", ["full", "file"])
def test_a_folder_in_use_is_left_alone(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "play"
    if kind == "full":
        place.mkdir()
        (place / "mine").write_text("mine")
    else:
        place.write_text("mine")
    done = run_program("demo", "play", cwd=tmp_path)
    assert done.returncode == 2
    assert '"play" is not' in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == (["play", "mine"] if kind == "full" else ["play"])


def test_without_a_server_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_server, "_PLACES", str(tmp_path))
    assert main(["-C", str(tmp_path), "demo", "play", "--sftp"]) == 17
    assert "apt-get install openssh-server" in capsys.readouterr().err


def test_what_is_not_as_it_must_be_is_an_error(tmp_path: Path) -> None:
    from prontosync.cli.context import from_environment

    context = from_environment(directory=str(tmp_path), quiet=True, verbose=False, no_color=True, no_progress=True)
    stage = Stage(context, tmp_path)
    with pytest.raises(DemoFailed, match="found 1, expected 2"):
        stage.check("a number", 1, 2)
    with pytest.raises(DemoFailed, match="exited 10"):
        stage.run("status")
    with pytest.raises(DemoFailed, match="exited 10"):
        stage.answer("status")
    assert stage.checks == []
