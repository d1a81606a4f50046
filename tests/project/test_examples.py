"""Every example in the manual works."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from prontosync.cli.command import Command
from tests.fixtures.program import BARE
from tests.fixtures.sandbox import build_sandbox
from tests.project.registry import every_command

ANSWERS = {0, 1, 3}
"""An example may end with an answer ("they differ", "in part") that its command declares, not with a failure."""

COMMANDS = every_command()
EXAMPLES = [(name, line) for name, command in COMMANDS for line in command.examples]


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_has_an_example_of_itself(name: str, command: Command) -> None:
    assert command.examples
    assert all(name in line for line in command.examples)


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_the_example_works(name: str, line: str, tmp_path: Path, program_folder: Path) -> None:
    here = build_sandbox(tmp_path)
    environment = {**BARE, "PATH": f"{program_folder}:{BARE['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=here,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    allowed = ANSWERS & {0, *dict(COMMANDS)[name].exits}
    assert done.returncode in allowed, f"{line}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="session")
def program_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH with a ``prontosync`` in it that is the one under test."""
    import sys

    folder = tmp_path_factory.mktemp("bin")
    script = folder / "prontosync"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m prontosync "$@"\n')
    script.chmod(0o755)
    return folder
