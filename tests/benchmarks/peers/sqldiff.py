"""A script of one's own: sqldiff between today's copy and yesterday's, zstd, and sftp."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.command import Command, command, shell
from tests.benchmarks.peers.peer import AGGREGATE, Peer, sftp, sftp_batch

PROGRAMS = {"sqldiff": "sqlite3-tools", "sqlite3": "sqlite3", "zstd": "zstd", "sftp": "openssh-client"}


class Sqldiff(Peer):
    name = "sqldiff"
    title = "sqldiff + zstd + sftp"
    programs = PROGRAMS

    def copy(self, number: int) -> Path:
        return self.stage.state / f"{number}.db"

    def packed(self, number: int) -> Path:
        """What is sent: the first copy, then the differences."""
        return self.stage.state / (f"{number}.sql.zst" if number else "0.db.zst")

    def snapshot(self, number: int) -> Command | None:
        backup = "sqlite3 {} '.backup {}'\n"
        values = (self.stage.till, self.copy(number))
        if number == 0:
            return shell(backup + "zstd -q {} -o {}", *values, self.copy(0), self.packed(0))
        self.copy(number - 2).unlink(missing_ok=True)
        script = backup + "sqldiff --primarykey --transaction {} {} | zstd -q -o {}"
        return shell(script, *values, self.copy(number - 1), self.copy(number), self.packed(number))

    def push(self, number: int) -> Command | None:
        """Under its final name only once it is whole."""
        name = f"{self.stage.hub}/{self.packed(number).name}"
        put = f"put {self.packed(number)} {name}.part"
        return command(*sftp(self.stage, sftp_batch(self.stage, "put", put, f"rename {name}.part {name}")))

    def diff(self) -> Command | None:
        return command("sqldiff", "--primarykey", self.copy(0), self.copy(1), output=self.stage.folder / "diff.sql")

    def start_pull(self) -> None:
        mirror = self.stage.folder / "mirror.db"
        self.stage.meter.run(command("cp", self.copy(0), mirror))

    def pull(self) -> Command | None:
        here = self.stage.folder / "came.sql.zst"
        batch = sftp_batch(self.stage, "get", f"get {self.stage.hub}/{self.packed(1).name} {here}")
        get = " ".join(sftp(self.stage, batch))
        return shell(get + "\nzstd -q -d -c {} | sqlite3 {}", here, self.stage.folder / "mirror.db")

    def past(self) -> Command | None:
        """Of yesterday, whose copy is still there."""
        return command("sqlite3", self.copy(0), AGGREGATE.format(table="sale_line"))
