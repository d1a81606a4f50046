"""Programs that keep or send files: each takes a consistent copy of the database, made by the sqlite3 shell."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.benchmarks.command import Command, command, shell
from tests.benchmarks.peers.peer import AGGREGATE, Peer
from tests.benchmarks.server import HOST


class FileTool(Peer):
    """Its snapshot is the copy; what it does with the copy is its push."""

    @property
    def copy(self) -> Path:
        return self.stage.folder / "copy.db"

    @property
    def back(self) -> Path:
        """The second place."""
        return self.stage.folder / "back"

    def snapshot(self, number: int) -> Command | None:
        return shell("sqlite3 {} '.backup {}'", self.stage.till, self.copy)

    def start_pull(self) -> None:
        self.back.mkdir()

    def _question(self) -> str:
        return AGGREGATE.format(table="sale_line")


class Restic(FileTool):
    name = "restic"
    title = "restic over SFTP"
    programs: ClassVar = {"restic": "restic", "sqlite3": "sqlite3", "ssh": "openssh-client"}

    def run(self, *words: str | Path) -> tuple[str | Path, ...]:
        connect = f"sftp.command={self.stage.access.ssh} {HOST} -s sftp"
        return "restic", "-q", "-o", connect, "-r", f"sftp:{HOST}:{self.stage.hub}/shop", *words

    @property
    def variables(self) -> dict[str, str]:
        return {"RESTIC_PASSWORD": "till", "RESTIC_CACHE_DIR": str(self.stage.state)}

    def prepare(self) -> None:
        self.stage.meter.run(command(*self.run("init"), variables=self.variables))

    def push(self, number: int) -> Command | None:
        return command(*self.run("backup", "--tag", f"n{number}", self.copy), variables=self.variables)

    def pull(self) -> Command | None:
        return command(*self.run("restore", "latest", "--target", self.back), variables=self.variables)

    def past(self) -> Command | None:
        target = self.stage.folder / "past"
        restore = " ".join("{}" for _ in self.run("restore", "latest", "--tag", "n0", "--target", target))
        words = self.run("restore", "latest", "--tag", "n0", "--target", target)
        file = f"{target}{self.copy}"
        return shell(f"{restore}\nsqlite3 {{}} {{}}", *words, file, self._question(), variables=self.variables)


class Borg(FileTool):
    name = "borg"
    title = "borg over ssh"
    programs: ClassVar = {"borg": "borgbackup", "sqlite3": "sqlite3", "ssh": "openssh-client"}

    @property
    def variables(self) -> dict[str, str]:
        return {
            "BORG_REPO": f"ssh://{HOST}{self.stage.hub}/shop",
            "BORG_RSH": self.stage.access.ssh,
            "BORG_BASE_DIR": str(self.stage.state),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }

    def prepare(self) -> None:
        self.stage.meter.run(command("borg", "init", "-e", "none", variables=self.variables))

    def push(self, number: int) -> Command | None:
        return command("borg", "create", "-C", "zstd", f"::n{number}", self.copy, variables=self.variables)

    def pull(self) -> Command | None:
        return shell("cd {}\nborg extract ::n1", self.back, variables=self.variables)

    def past(self) -> Command | None:
        target = self.stage.folder / "past"
        file = f"{target}{self.copy}"
        script = "mkdir -p {}\ncd {}\nborg extract ::n0\nsqlite3 {} {}"
        return shell(script, target, target, file, self._question(), variables=self.variables)


class Rclone(FileTool):
    name = "rclone"
    title = "rclone over SFTP"
    sends_all = True
    programs: ClassVar = {"rclone": "rclone", "sqlite3": "sqlite3"}

    def run(self, *words: str | Path) -> tuple[str | Path, ...]:
        access = self.stage.access
        to = ("--sftp-host", "127.0.0.1", "--sftp-port", str(access.port), "--sftp-user", access.user)
        trust = ("--sftp-key-file", access.key, "--sftp-known-hosts-file", access.known_hosts)
        return "rclone", "-q", *to, *trust, *words

    def push(self, number: int) -> Command | None:
        return command(*self.run("copyto", self.copy, f":sftp:{self.stage.hub}/shop.db"))

    def pull(self) -> Command | None:
        return command(*self.run("copyto", f":sftp:{self.stage.hub}/shop.db", self.back / "shop.db"))


class Rsync(FileTool):
    name = "rsync"
    title = "rsync over ssh"
    programs: ClassVar = {"rsync": "rsync", "sqlite3": "sqlite3", "ssh": "openssh-client"}

    def push(self, number: int) -> Command | None:
        return command("rsync", "-az", "-e", self.stage.access.ssh, self.copy, f"{HOST}:{self.stage.hub}/shop.db")

    def start_pull(self) -> None:
        super().start_pull()
        self.stage.meter.run(command("cp", self.copy, self.back / "shop.db"))

    def pull(self) -> Command | None:
        there = f"{HOST}:{self.stage.hub}/shop.db"
        return command("rsync", "-az", "-e", self.stage.access.ssh, there, self.back / "shop.db")
