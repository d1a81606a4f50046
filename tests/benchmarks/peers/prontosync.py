"""This program, over SFTP: as a till uses it, with and without capture."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.benchmarks.command import Command, command
from tests.benchmarks.edits import Edit
from tests.benchmarks.peers.peer import AGGREGATE, Peer

PROGRAM = Path(sys.executable).with_name("prontosync")


class Prontosync(Peer):
    name = "prontosync"
    title = "ProntoSync"
    merges = True

    @classmethod
    def version(cls) -> str:
        return subprocess.run([PROGRAM, "version"], capture_output=True, text=True, check=True).stdout.strip()

    @property
    def url(self) -> str:
        return self.stage.access.url(self.stage.hub / "repository")

    @property
    def trust(self) -> tuple[str | Path, ...]:
        return "--identity", self.stage.access.key, "--known-hosts", self.stage.access.known_hosts

    def run(self, *words: str | Path, fine: tuple[int, ...] = (0,)) -> Command:
        """A command of the place's own repository."""
        return at(self.stage.state, *words, fine=fine)

    def prepare(self) -> None:
        run = self.stage.meter.run
        run(command(PROGRAM, "init", "--bare", self.url, *self.trust))
        run(command(PROGRAM, "init", self.stage.state, "--source", self.stage.till, "--store", "012"))
        run(self.run("remote", "add", "hub", self.url, *self.trust))

    def snapshot(self, number: int) -> Command | None:
        return self.run("snapshot", "-m", f"snapshot {number}")

    def push(self, number: int) -> Command | None:
        return self.run("push")

    def sync(self) -> Command:
        return self.run("--quiet", "sync")

    def status(self) -> Command | None:
        return self.run("status", fine=(0, 1))

    def diff(self) -> Command | None:
        return self.run("diff", "HEAD~1", "HEAD", "-o", self.stage.folder / "diff.txt")

    def start_pull(self) -> None:
        run = self.stage.meter.run
        run(command(PROGRAM, "clone", self.url, self.stage.folder / "office", *self.trust))
        live = ("--store", "013", "--source", self.stage.folder / "second.db", "--branch", "stores/012")
        run(command(PROGRAM, "clone", self.url, self.stage.folder / "second", *live, *self.trust))

    def pull(self) -> Command | None:
        return at(self.stage.folder / "office", "pull")

    def pull_live(self) -> Command | None:
        return at(self.stage.folder / "second", "pull")

    def past(self) -> Command | None:
        return self.aggregate("HEAD~1")

    def aggregate(self, revision: str) -> Command:
        return self.run("sql", AGGREGATE.format(table="sale_line"), "--at", revision)

    def prepare_merge(self) -> None:
        """Head office in ``state``, with both sides fetched; the first store in ``live``; the second ends up gone."""
        run = self.stage.meter.run
        first, second, office = self.stage.live, self.stage.folder / "second", self.stage.state
        shutil.rmtree(office)
        first.mkdir()
        self.stage.till.rename(first / "till.db")
        run(command(PROGRAM, "init", first / "repository", "--source", first / "till.db", "--store", "012"))
        run(at(first / "repository", "remote", "add", "hub", self.url, *self.trust))
        run(at(first / "repository", "config", "set", "store.upstream", "hub/stores/013"))
        run(at(first / "repository", "snapshot"))
        run(at(first / "repository", "push"))
        run(command(PROGRAM, "clone", self.url, office, "--branch", "stores/012", *self.trust))
        run(at(office, "branch", "stores/013"))
        run(at(office, "push", "hub", "stores/013"))
        there = ("--store", "013", "--source", second / "till.db", "--branch", "stores/013")
        second.mkdir()
        run(command(PROGRAM, "clone", self.url, second / "repository", *there, *self.trust))
        self._prepare_first(first / "repository")
        for number, side in enumerate((first, second), 1):
            Edit("one_side", number).make_in(side / "till.db")
            run(at(side / "repository", "snapshot"))
            run(at(side / "repository", "push"))
        run(at(office, "pull"))
        run(at(first / "repository", "fetch"))
        shutil.rmtree(second)

    def _prepare_first(self, repository: Path) -> None:
        """Where capture is turned on."""

    def merge(self) -> Command | None:
        return self.run("merge", "hub/stores/013", fine=(0, 1))

    def merge_live(self) -> Command | None:
        return at(self.stage.live / "repository", "merge", "hub/stores/013", fine=(0, 1))

    def conflicts(self) -> int:
        words = (str(PROGRAM), "-C", str(self.stage.state), "conflicts", "--format", "csv")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return len({tuple(row[:3]) for row in csv.reader(done.stdout.splitlines()[1:])})


class Tracked(Prontosync):
    """With capture: the live database notes which rows are touched."""

    name = "tracked"
    title = "ProntoSync, with capture"

    @classmethod
    def missing(cls) -> str | None:
        return None if _can_track() else 'this version has no "prontosync track"'

    def after_first(self) -> Command | None:
        return self.run("track", "enable")

    def settle(self) -> None:
        """What capture itself changed in the database's definitions is not the next day's."""
        self.stage.meter.run(self.run("snapshot"))
        self.stage.meter.run(self.run("push"))

    def _prepare_first(self, repository: Path) -> None:
        self.stage.meter.run(at(repository, "track", "enable"))

    def merge(self) -> Command | None:
        """Where there is no live database, there is nothing to capture."""
        return None


def at(folder: Path, *words: str | Path, fine: tuple[int, ...] = (0,)) -> Command:
    return command(PROGRAM, "-C", folder, *words, fine=fine)


@cache
def _can_track() -> bool:
    return subprocess.run([PROGRAM, "track", "--help"], capture_output=True, check=False).returncode == 0
