"""doltlite: SQLite's interface over versioned storage. Its remotes speak HTTP, served by its own library.

Its first snapshot takes a SQLite database over. After that the shop's edits are made in doltlite's own file, as if the
till ran on it, and are not measured; a snapshot is then its commit alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.command import Command, module
from tests.benchmarks.edits import Edit
from tests.benchmarks.peers.peer import AGGREGATE, Peer, Stage, found
from tests.benchmarks.wire import Wire
from tests.fixtures.sshd import free_port

ROOT = Path(__file__).parents[3]
CHILD = "tests.benchmarks.peers.doltlite_child"
PATIENT = {"DOLTLITE_HTTP_TIMEOUT_MS": "3600000"}
"""Its own deadline of 30 seconds for a request is too short for slow lines."""


class Doltlite(Peer):
    name = "doltlite"
    title = "doltlite, over its HTTP"
    merges = True

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.server: subprocess.Popen[bytes] | None = None
        self.wire = Wire(free_port())

    @classmethod
    def missing(cls) -> str | None:
        try:
            version("doltlite")
        except PackageNotFoundError:
            return "not installed (PyPI: doltlite)"
        done = subprocess.run(_child("probe"), capture_output=True, text=True, check=False, cwd=ROOT)
        return f"does not load: {done.stderr.strip().splitlines()[-1]}" if done.returncode else None

    @classmethod
    def version(cls) -> str:
        return f"doltlite {version('doltlite')}"

    @property
    def file(self) -> Path:
        return self.stage.state / "shop.doltlite"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}/shop.db"

    def run(self, *words: str | Path, output: Path | None = None) -> Command:
        return module(CHILD, *words, output=output, variables=PATIENT)

    def prepare(self) -> None:
        self.wire.__enter__()
        self.stage.meter.wires.append(self.wire)
        self.restored()

    def restored(self) -> None:
        self._stop()
        words = ["setpriv", "--pdeathsig", "KILL"] if found("setpriv") else []
        serve = _child("serve", self.stage.hub, str(self.wire.target))
        self.server = subprocess.Popen([*words, *serve], cwd=ROOT, stdin=subprocess.DEVNULL)
        time.sleep(0.5)

    def close(self) -> None:
        self._stop()
        self.wire.__exit__()

    def snapshot(self, number: int) -> Command | None:
        if number == 0:
            return self.run("import", self.stage.till, self.file)
        return self.run("sql", self.file, f"SELECT dolt_commit('-A', '-m', 'snapshot {number}')")

    def push(self, number: int) -> Command | None:
        add = (f"SELECT dolt_remote('add', 'origin', '{self.url}')",) if number == 0 else ()
        return self.run("sql", self.file, *add, "SELECT dolt_push('origin', 'main')")

    def diff(self) -> Command | None:
        questions = [f"SELECT * FROM dolt_diff_{table}('HEAD~1', 'HEAD')" for table in self.stage.tables]
        return self.run("sql", self.file, *questions, output=self.stage.folder / "diff.txt")

    def start_pull(self) -> None:
        self.stage.meter.run(self.run("sql", self.stage.folder / "mirror", f"SELECT dolt_clone('{self.url}')"))

    def pull(self) -> Command | None:
        return self.run("sql", self.stage.folder / "mirror", "SELECT dolt_pull('origin', 'main')")

    def past(self) -> Command | None:
        return self.run("sql", self.file, AGGREGATE.format(table="dolt_at_sale_line('HEAD~1')"))

    def prepare_merge(self) -> None:
        run = self.stage.meter.run
        run(self.run("import", self.stage.till, self.file))
        run(self.run("sql", self.file, "SELECT dolt_branch('theirs')"))
        for number, branch in ((1, ""), (2, "@theirs")):
            run(self.run("edit", f"{self.file}{branch}", "one_side", str(number)))
            run(self.run("sql", f"{self.file}{branch}", f"SELECT dolt_commit('-A', '-m', 'side {number}')"))

    def merge(self) -> Command | None:
        """It keeps no open conflicts: all are decided for our side before it commits."""
        return self.run("merge", self.file, "theirs", output=self.stage.folder / "merge.txt")

    def conflicts(self) -> int:
        return int((self.stage.folder / "merge.txt").read_text())

    def edit(self, edit: Edit) -> None:
        self.stage.meter.run(self.run("edit", self.file, edit.name, str(edit.number)))

    def _stop(self) -> None:
        if self.server:
            with suppress(ProcessLookupError):
                self.server.kill()
            self.server.wait(10)
            self.server = None


def _child(*words: str | Path) -> tuple[str, ...]:
    return sys.executable, "-m", CHILD, *(str(word) for word in words)
