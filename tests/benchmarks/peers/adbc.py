"""No peer but a yardstick: a process that reads all rows of the live database with ADBC, and does nothing with them."""

from __future__ import annotations

from importlib.metadata import version

from tests.benchmarks.command import Command, module
from tests.benchmarks.peers.peer import Peer


class Adbc(Peer):
    name = "adbc"
    title = "reading all rows with ADBC, no more"
    pushes = False

    @classmethod
    def version(cls) -> str:
        return f"adbc-driver-sqlite {version('adbc-driver-sqlite')}"

    def snapshot(self, number: int) -> Command | None:
        return module("tests.benchmarks.read_all", self.stage.till)
