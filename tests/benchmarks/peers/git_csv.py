"""git with a CSV file a table, dumped by the sqlite3 shell in key order, over ssh."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.benchmarks.command import Command, command, shell
from tests.benchmarks.edits import Edit
from tests.benchmarks.peers.peer import AGGREGATE, Peer
from tests.benchmarks.server import HOST
from tests.benchmarks.till import copy_shop

CONFIG = """[user]
name = till
email = till@example.com
[gc]
autoDetach = false
[init]
defaultBranch = main
"""


class Git(Peer):
    name = "git"
    title = "git with CSV dumps"
    merges = True
    programs: ClassVar = {"git": "git", "sqlite3": "sqlite3", "ssh": "openssh-client"}

    @property
    def mirror(self) -> Path:
        return self.stage.folder / "mirror"

    @property
    def url(self) -> str:
        return f"{HOST}:{self.stage.hub}/shop.git"

    @property
    def ssh(self) -> dict[str, str]:
        return {"GIT_SSH_COMMAND": self.stage.access.ssh}

    def prepare(self) -> None:
        (self.stage.meter.folder / ".gitconfig").write_text(CONFIG)
        run = self.stage.meter.run
        run(command("git", "init", "-q", "--bare", self.stage.hub / "shop.git"))
        run(command("git", "init", "-q", self.stage.state))
        run(command("git", "-C", self.stage.state, "remote", "add", "origin", self.url))

    def snapshot(self, number: int) -> Command | None:
        return self.need_snapshot(number)

    def need_snapshot(self, number: int) -> Command:
        """All tables are dumped in one read transaction."""
        dump = self.stage.folder / "dump.sql"
        lines = [".headers on", ".mode csv", "BEGIN;"]
        for table, key in self.stage.tables.items():
            lines += [f".once {self.stage.state}/{table}.csv", f'SELECT * FROM "{table}" ORDER BY {key};']
        dump.write_text("\n".join([*lines, "COMMIT;", ""]))
        script = "sqlite3 -batch {} < {}\ncd {}\ngit add -A\ngit commit -q -m {}"
        return shell(script, self.stage.till, dump, self.stage.state, f"snapshot {number}")

    def push(self, number: int) -> Command | None:
        return command("git", "-C", self.stage.state, "push", "-q", "origin", "main", variables=self.ssh)

    def diff(self) -> Command | None:
        output = self.stage.folder / "git.diff"
        return command("git", "-C", self.stage.state, "diff", "HEAD~1", "HEAD", output=output)

    def start_pull(self) -> None:
        self.stage.meter.run(command("git", "clone", "-q", "-b", "main", self.url, self.mirror, variables=self.ssh))

    def pull(self) -> Command | None:
        return command("git", "-C", self.mirror, "pull", "-q", "--ff-only", variables=self.ssh)

    def prepare_merge(self) -> None:
        run = self.stage.meter.run
        run(self.need_snapshot(0))
        run(command("git", "-C", self.stage.state, "checkout", "-q", "-b", "theirs"))
        before = self.stage.folder / "before.db"
        copy_shop(self.stage.till, before)
        self.edit(Edit("one_side", 2))
        run(self.need_snapshot(2))
        run(command("git", "-C", self.stage.state, "checkout", "-q", "main"))
        self.stage.till.unlink()
        copy_shop(before, self.stage.till)
        self.edit(Edit("one_side", 1))
        run(self.need_snapshot(1))

    def merge(self) -> Command | None:
        return command("git", "-C", self.stage.state, "merge", "-q", "-m", "merge", "theirs", fine=(0, 1))

    def conflicts(self) -> int:
        """Places where it wants a person to decide."""
        with (self.stage.state / "sale_line.csv").open() as lines:
            return sum(line.startswith("<<<<<<<") for line in lines)

    def past(self) -> Command | None:
        """The shell takes the past file in as a table."""
        load = ".import --csv '|git show HEAD~1:sale_line.csv' sale_line"
        return shell("cd {}\nsqlite3 :memory: {} {}", self.stage.state, load, AGGREGATE.format(table="sale_line"))
