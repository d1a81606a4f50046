"""Where the demo plays: it runs the real program, shows each command with its output, and stops at a surprise."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import prontosync
from prontosync.cli import output
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.grid import grid
from prontosync.errors import ProntoError

SECONDS = 120


class DemoFailed(ProntoError):
    """The demo did not come out as it must: a bug."""

    id = "demo-failed"


class Stage:
    """Commands run in ``folder``. ``checks`` are what was found to be as it must; ``author`` is who is at work."""

    def __init__(self, context: Context, folder: Path) -> None:
        self.context, self.folder = context, folder
        self.checks: list[str] = []
        self.commands = 0
        self.author = "demo"

    def heading(self, text: str) -> None:
        self.say(f"\n== {text}")

    def say(self, text: str) -> None:
        if not self.context.json:
            output.emit_text(text)

    def run(self, *words: str, expect: Sequence[int] = (0,)) -> None:
        """Run ``prontosync WORDS`` and show it. Raises DemoFailed for an exit code that is not expected."""
        self.say("\n$ " + escape(f"prontosync {shlex.join(words)}"))
        done = self._execute(words, subprocess.STDOUT)
        if done.stdout:
            self.say(done.stdout)
        if done.returncode not in expect:
            raise DemoFailed(f'"prontosync {shlex.join(words)}" exited {done.returncode}')
        if done.returncode:
            self.say(f"(exit {done.returncode})")

    def answer(self, *words: str) -> Any:
        """What ``prontosync WORDS --json`` answers, not shown."""
        done = self._execute((*words, "--json"), subprocess.PIPE)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise DemoFailed(f'"prontosync {shlex.join(words)} --json" exited {done.returncode}') from None

    def show(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.say(f"\n{escape(title)}\n{grid(header, rows)}")

    def check(self, what: str, found: object, expected: object) -> None:
        """Raises DemoFailed where the two are not equal."""
        if found != expected:
            raise DemoFailed(f"{what}: found {found!r}, expected {expected!r}")
        self.checks.append(what)
        self.say(f"checked: {escape(what)}")

    def _execute(self, words: Sequence[str], errors: int) -> subprocess.CompletedProcess[str]:
        self.commands += 1
        return subprocess.run(
            [sys.executable, "-P", "-m", "prontosync", *words],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=SECONDS,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PRONTOSYNC_")}
        places = [str(Path(prontosync.__file__).parents[1]), kept.get("PYTHONPATH", "")]
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(place for place in places if place),
            "PRONTOSYNC_AUTHOR": self.author,
        }
