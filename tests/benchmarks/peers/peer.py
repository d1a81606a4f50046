"""The seam between the steps that are measured and the programs that take them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from tests.benchmarks.command import Command
from tests.benchmarks.edits import Edit
from tests.benchmarks.meter import Meter
from tests.benchmarks.server import HOST, Access
from tests.benchmarks.till import copy_shop, keys_of

AGGREGATE = "SELECT quantity, count(*), sum(price) FROM {table} GROUP BY quantity ORDER BY quantity"
"""The question that is asked of a past state."""
PLACES = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Stage:
    """Where one peer plays, with nobody else: a folder, the live database in it, what it keeps, and its hub."""

    folder: Path
    access: Access
    meter: Meter

    @property
    def till(self) -> Path:
        return self.folder / "till.db"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def hub(self) -> Path:
        """What the server holds; it is on the same machine, but clients go over the wire."""
        return self.folder / "hub"

    @property
    def live(self) -> Path:
        """For a merge into a live database: that, and its repository."""
        return self.folder / "live"

    @cached_property
    def tables(self) -> dict[str, str]:
        return keys_of(self.till)

    def open(self, shop: Path) -> None:
        """A fresh stage with a copy of that database."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.state, self.hub):
            folder.mkdir(parents=True)
        copy_shop(shop, self.till)


class Peer:
    """One way to keep and send a shop's database. A step gives the command that takes it, or None: it cannot.

    Snapshots and pushes are numbered from 0 and taken in turn. ``prepare`` and ``start_pull`` are not measured.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    programs: ClassVar[dict[str, str]] = {}
    """What it needs on PATH, and the Debian package that has it."""
    sends_all: ClassVar[bool] = False
    """It sends the whole file each time."""
    pushes: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot take part."""
        gone = [f'no program "{name}" (Debian: {package})' for name, package in cls.programs.items() if not found(name)]
        return ", ".join(gone) or None

    @classmethod
    def version(cls) -> str:
        """Its own version and those of what it is made of."""
        return ", ".join(said_by(name) for name in cls.programs)

    def prepare(self) -> None:
        """Set up what is there before the first snapshot."""

    def after_first(self) -> Command | None:
        """What is done once after the first snapshot and push, measured as a step of its own."""
        return None

    def settle(self) -> None:
        """What follows from that, unmeasured."""

    def snapshot(self, number: int) -> Command | None:
        """Keep the live database's state."""
        return None

    def push(self, number: int) -> Command | None:
        """Send that snapshot to the hub."""
        return None

    def status(self) -> Command | None:
        """Ask what changed since the last snapshot."""
        return None

    def diff(self) -> Command | None:
        """Print the rows in which snapshots 0 and 1 differ."""
        return None

    def start_pull(self) -> None:
        """Make a second place, which has snapshot 0."""

    def pull(self) -> Command | None:
        """Bring snapshot 1 to the second place."""
        return None

    def pull_live(self) -> Command | None:
        """The same, into a live database there, where that is another matter."""
        return None

    def past(self) -> Command | None:
        """Answer AGGREGATE over snapshot 0's sale lines."""
        return None

    def prepare_merge(self) -> None:
        """Make the two sides of Edit("one_side"), 1 and 2, from one beginning, and stand on 1."""

    def merge(self) -> Command | None:
        """Merge side 2, in ``state``. That there are conflicts is no failure."""
        return None

    def merge_live(self) -> Command | None:
        """The same in ``live``."""
        return None

    def conflicts(self) -> int:
        """How many that merge left."""
        return 0

    def edit(self, edit: Edit) -> None:
        """Something happens in the shop."""
        edit.make_in(self.stage.till)

    def restored(self) -> None:
        """The stage's state and hub were put back as they were; whatever serves them must look again."""

    def close(self) -> None:
        """End what ``prepare`` started."""


def found(program: str) -> str | None:
    return shutil.which(program, path=PLACES)


def said_by(program: str) -> str:
    """A program and its version, as found in what it says of itself."""
    asked = {"restic": "version", "rclone": "version", "ssh": "-V"}.get(program, "--version")
    if program in {"sftp", "sqldiff"}:  # they do not say; they come with ssh and sqlite3
        return program
    done = subprocess.run([program, asked], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    number = re.search(r"\d+\.\d[\w.]*", done.stdout + done.stderr)
    return f"{program} {number[0] if number else '?'}"


def sftp_batch(stage: Stage, name: str, *lines: str) -> Path:
    """A file of commands for ``sftp -b``."""
    path = stage.folder / f"batch-{name}"
    path.write_text("\n".join(lines) + "\n")
    return path


def sftp(stage: Stage, batch: Path) -> tuple[str, ...]:
    return "sftp", "-q", "-F", str(stage.access.config), "-b", str(batch), HOST
