from __future__ import annotations

import json
import subprocess
import sys

import pytest

from prontosync import __version__
from prontosync.cli.commands import COMMANDS
from prontosync.cli.main import main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"  {name} " in shown
        assert entry.summary.split()[0] in shown
    assert main(["help"]) == 0
    assert capsys.readouterr().out == shown


def test_help_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "completion"]) == 0
    shown = capsys.readouterr().out
    assert main(["completion", "--help"]) == 0
    assert capsys.readouterr().out == shown
    assert "Usage: prontosync completion [OPTIONS] SHELL" in shown
    assert "Examples:" in shown
    assert "Exit codes:" in shown


def test_help_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "version", "--json"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert page["name"] == "prontosync version"
    assert page["examples"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"prontosync {__version__}\n"
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"prontosync {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_PRONTOSYNC_COMPLETE" in capsys.readouterr().out
    assert main(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shell"] == shell


def test_bash_completes_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prontosync"],
        env={"_PRONTOSYNC_COMPLETE": "bash_complete", "COMP_WORDS": "prontosync vers", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,version"]
    assert done.stderr == ""
