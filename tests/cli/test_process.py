"""The program as a process: signals, closed files, locales, and an environment with nothing in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.program import BARE, Program

SLEEPER = """
import sys, time
from prontosync.cli import commands, help
from prontosync.cli.command import command
from prontosync.cli.main import main
commands.COMMANDS["act"] = commands.Entry("help", "act", "act", "help")
@command("act")
def act(context):
    "Act."
    try:
        open(sys.argv[-1], "w").close()
        time.sleep(30)
    finally:
        open(sys.argv[-1] + ".clean", "w").close()
help.act = act
sys.exit(main(["act"]))
"""


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_unwinds_and_has_its_exit_code(number: int, code: int, word: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    # A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-c", SLEEPER, str(started)],
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for(started, process)
    process.send_signal(number)
    _, talk = process.communicate(timeout=20)
    assert process.returncode == code
    assert talk == f"prontosync: {word}\n"
    assert (tmp_path / "started.clean").exists()


def test_a_hangup_that_was_being_ignored_stays_ignored(tmp_path: Path) -> None:
    started = tmp_path / "started"
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-c", SLEEPER, str(started)],
        stderr=subprocess.DEVNULL,
    )
    _wait_for(started, process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


def test_closed_files_do_no_harm() -> None:
    line = f'"{sys.executable}" -m prontosync version <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", line], env=BARE, check=False).returncode == 0
    line = f'"{sys.executable}" -m prontosync nonsense <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", line], env=BARE, check=False).returncode == 2


def test_closed_standard_files_are_not_reused(tmp_path: Path) -> None:
    probe = (
        "import os, sys; from prontosync.cli import main as m; m._occupy_standard_files();"
        " d = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); sys.exit(0 if d > 2 else 1)"
    )
    line = f"\"{sys.executable}\" -c '{probe}' '{tmp_path}/file' <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], env=BARE, check=False).returncode == 0


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        for words in (["--help"], ["version"], ["help", "version", "--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "prontosync", *words],
                stdout=write,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
    finally:
        os.close(write)


def test_a_full_disk_under_standard_output_is_said() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "prontosync", "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 16
    assert done.stderr.startswith("prontosync: no space to write the output\n")


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1", ""])
def test_utf_8_whatever_the_locale(locale: str, program: Program) -> None:
    env = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = program("schöne-schuhe", env=env)
    assert done.returncode == 2
    # What the locale could not decode is shown as an escape; what it could, as it is.
    assert done.stderr.startswith('prontosync: no command "sch')
    assert "Traceback" not in done.stderr
    assert program("help", "version", env=env).returncode == 0


def test_no_home_and_no_folder(program: Program, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f'cd "{gone}" && rmdir "{gone}" && "{sys.executable}" -m prontosync version'
    env = {**BARE, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(["sh", "-c", line], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_is_no_text_is_shown(program: Program) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prontosync", b"-C", b"/no\xff\x1b[2J", b"version"],
        env=BARE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 10
    assert done.stderr.startswith('prontosync: no folder "/no\\udcff\\x1b[2J"\n')


def _wait_for(path: Path, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if path.exists():
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError(f"{path} never appeared")
