"""Measuring a whole process: wall time, processor time, peak memory, and the bytes it sent and received."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.command import Command
from tests.benchmarks.wire import Wire

CHILD = Path(__file__).with_name("meter_child.py")
PATIENCE = 3600.0


class Failed(Exception):
    """The command ended otherwise than it should; the message is what it said last."""


@dataclass(frozen=True)
class Figure:
    """Seconds, bytes of memory, bytes on the wire. ``memory`` is the most that any one process of it held."""

    wall: float
    cpu: float
    memory: int
    sent: int
    received: int

    def then(self, other: Figure) -> Figure:
        """Both, one after the other."""
        return Figure(
            self.wall + other.wall,
            self.cpu + other.cpu,
            max(self.memory, other.memory),
            self.sent + other.sent,
            self.received + other.received,
        )


@dataclass(frozen=True)
class Meter:
    """Runs commands in ``folder``, with its home there and nothing of the caller's environment but PATH.

    ``wires`` are all the ways on which bytes can leave.
    """

    folder: Path
    wires: list[Wire] = field(default_factory=list)

    def run(self, command: Command) -> Figure:
        """Run it to its end. Raises Failed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        os.sync()  # what others left to be written would be written at this command's expense
        before = [wire.settled() for wire in self.wires]
        usage = self._watched(command)
        after = [wire.settled() for wire in self.wires]
        return Figure(
            usage["wall"],
            usage["cpu"],
            usage["memory"],
            sum(end.sent - start.sent for start, end in zip(before, after, strict=True)),
            sum(end.received - start.received for start, end in zip(before, after, strict=True)),
        )

    def _watched(self, command: Command) -> dict[str, Any]:
        """A small process in between starts it: a child's peak memory counts from its parent's at the start."""
        result, errors = self.folder / ".usage.json", self.folder / ".stderr"
        with (command.output or Path(os.devnull)).open("wb") as output, errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD), str(result), *command.words],
                cwd=self.folder,
                env=self._environment(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=stderr,
                start_new_session=True,
            )
            _finished(process)
        usage: dict[str, Any] = json.loads(result.read_text()) if process.returncode == 0 else {"code": -1}
        if usage["code"] not in command.fine:
            said = errors.read_text(errors="replace").strip().splitlines()[-3:]
            raise Failed(f"{_brief(command)} ended with {usage['code']}: {' / '.join(said)}")
        return usage

    def _environment(self, command: Command) -> dict[str, str]:
        scripts = Path(sys.executable).parent
        own = {
            "PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
        }
        return {**own, **command.environment}


def _finished(process: subprocess.Popen[bytes]) -> None:
    """Wait for it; whatever ends the waiting ends the whole process group."""
    try:
        process.wait(PATIENCE)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        raise


def _brief(command: Command) -> str:
    words = " ".join(command.words)
    return words if len(words) < 120 else f"{words[:117]}…"
