"""Following the refs of a remote: which records are new, and whether they continue what was seen before.

The same for every remote; only looking at files and publishing one differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prontosync.disk.refs import BrokenChain, RefState, check_record, record_path
from prontosync.errors import Refused
from prontosync.model.ids import ObjectName, object_id
from prontosync.model.names import RefName
from prontosync.remote import hub_format
from prontosync.remote.contract import Remembered, RemoteDamaged, RolledBack

NewRecords = list[tuple[RefState, bytes]]
READ_AT_ONCE = 32
"""Where so few generations are left to try, they are read instead of asked for."""
MAX_NEW_RECORDS = 1_000_000
MAX_GENERATION = 999_999_999_999
MAX_RECORD_BYTES = 32_000
_FIRST_STEPS = (8, 4, 2, 1)
_LATER_STEPS = tuple(1 << power for power in range(20, 3, -1))


class RecordFiles(Protocol):
    """The files of a remote, by their paths in the hub."""

    url: str

    def look(self, stats: Sequence[str], reads: Sequence[str]) -> tuple[list[int | None], list[bytes | None]]:
        """Sizes and contents, None for what is not there; in that order, all in one stage. Contents may be cut off
        behind ``MAX_RECORD_BYTES``. Raises RemoteDamaged for what is not a regular file."""
        ...

    def put(self, path: str, data: bytes) -> bool:
        """Publish one file, durably; False where the name is taken."""
        ...


@dataclass
class _Search:
    """What is known of one ref: records up to ``low`` are there, ``high`` was not (None: not known)."""

    name: RefName
    remembered: Remembered | None
    low: int = 0
    high: int | None = None
    absent: set[int] = field(default_factory=set)
    records: dict[int, bytes] = field(default_factory=dict)

    @property
    def base(self) -> int:
        return self.remembered.state.generation if self.remembered else 0

    @property
    def settled(self) -> bool:
        return self.high is not None and self.high - self.low <= READ_AT_ONCE

    def probes(self) -> list[int]:
        """Generations to ask for next, highest first: what is linked meanwhile can then not look like a gap."""
        if self.high is None:
            steps = _FIRST_STEPS if self.low == self.base else _LATER_STEPS
            return [self.low + step for step in steps if self.low + step <= MAX_GENERATION]
        width = max((self.high - self.low) // READ_AT_ONCE, 1)
        return list(range(self.high - 1, self.low, -width))

    def learn(self, generation: int, there: bool) -> None:
        if there:
            self.low = max(self.low, generation)
        else:
            self.absent.add(generation)
            self.high = min(self.high or generation, generation)

    def check_bounds(self) -> None:
        if self.high is not None and self.low >= self.high:
            raise _gap(self.name, self.high, self.low)
        if self.low - self.base > MAX_NEW_RECORDS:
            raise RemoteDamaged(f'ref "{self.name}" claims {self.low - self.base} new records')


class RefLog:
    """Reads a remote's refs. ``hub`` is its repository id, learnt along the way where it is None."""

    def __init__(self, files: RecordFiles, hub: str | None) -> None:
        self.files, self.hub = files, hub

    def read(self, remembered: dict[RefName, Remembered | None]) -> dict[RefName, NewRecords]:
        """As ``Remote.read_refs`` promises."""
        searches = [_Search(name, known, known.state.generation if known else 0) for name, known in remembered.items()]
        self._first_look(searches)
        while open_ends := [search for search in searches if not search.settled]:
            self._ask(open_ends)
        self._read_new(searches)
        return {search.name: self._checked(search) for search in searches}

    def _first_look(self, searches: list[_Search]) -> None:
        wanted = [s for s in searches if s.remembered]
        reads = [record_path(s.name, s.base) for s in wanted]
        learn_hub = self.hub is None and len(wanted) < len(searches)
        contents = self._ask(searches, [*reads, hub_format.PATH] if learn_hub else reads)
        if learn_hub:
            self.hub = hub_format.hub_id(contents.pop(), self.files.url)
        for search, data in zip(wanted, contents, strict=True):
            self._check_remembered(search, data)

    def _ask(self, searches: list[_Search], reads: Sequence[str] = ()) -> list[bytes | None]:
        asked = [(search, generation) for search in searches for generation in search.probes()]
        sizes, contents = self.files.look([record_path(s.name, g) for s, g in asked], reads)
        for (search, generation), size in zip(asked, sizes, strict=True):
            search.learn(generation, size is not None)
        for search in searches:
            search.check_bounds()
        return contents

    def _check_remembered(self, search: _Search, data: bytes | None) -> None:
        known = search.remembered
        assert known is not None
        if data == known.data:
            return
        if data is not None:
            raise _rolled_back(search, "holds another record")
        if search.low > search.base or not self._is_power_cut(search, known):
            raise _rolled_back(search, "has lost that record")
        self._link_again(search, known)

    def _is_power_cut(self, search: _Search, known: Remembered) -> bool:
        """Whether the newest record alone is gone: what came before it and the commit it names are there."""
        record = known.state.record
        before = [record_path(search.name, search.base - 1)] if record.previous else []
        commits = [ObjectName(record.new, "json").path] if record.new else []
        sizes, contents = self.files.look(commits, before)
        intact = all(data is not None and object_id(data) == record.previous for data in contents)
        return intact and None not in sizes

    def _link_again(self, search: _Search, known: Remembered) -> None:
        path = record_path(search.name, search.base)
        try:
            linked = self.files.put(path, known.data)
        except Refused:
            raise _rolled_back(search, "has lost that record") from None
        if not linked and self.files.look([], [path])[1] != [known.data]:
            raise _rolled_back(search, "holds another record")

    def _read_new(self, searches: list[_Search]) -> None:
        asked = [(s, g) for s in searches for g in range((s.high or 0) - 1, s.base, -1)]
        if not asked:
            return
        _, contents = self.files.look([], [record_path(s.name, g) for s, g in asked])
        for (search, generation), data in zip(asked, contents, strict=True):
            if data is not None:
                search.records[generation] = data

    def _checked(self, search: _Search) -> NewRecords:
        before = search.remembered.state if search.remembered else None
        hub = before.record.hub if before else self.hub
        new: NewRecords = []
        for expected, generation in enumerate(sorted(search.records), search.base + 1):
            if generation != expected:
                raise _gap(search.name, expected, generation)
            data = search.records[generation]
            assert hub is not None
            before = check_record(data, hub, search.name, generation, before)
            new.append((before, data))
        return new


def _gap(name: RefName, missing: int, there: int) -> BrokenChain:
    return BrokenChain(f'ref "{name}": generation {missing} is missing, generation {there} is there')


def _rolled_back(search: _Search, what: str) -> RolledBack:
    return RolledBack(
        f'ref "{search.name}" of the remote {what}: generation {search.base} was seen here before',
        "if the hub was restored from a backup on purpose: prontosync remote accept-rollback NAME",
    )
