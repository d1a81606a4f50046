"""Who descends from whom. Walks stay near the tips: every commit has a depth, kept in a local cache.

A parent that is not the first, and not here, is a *boundary*: a fetch of one branch does not bring the commits of the
others that were merged into it (``docs/format.md``, Commits).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prontosync.disk import files
from prontosync.errors import Damaged
from prontosync.history.commits import Commits
from prontosync.model.ids import ObjectId

_OURS, _THEIRS, _STALE = 1, 2, 4
_BOTH = _OURS | _THEIRS
_RECORD = 36


class CyclicHistory(Damaged):
    id = "cyclic-history"


class StaleDepths(Exception):
    """A parent that is not less deep than its child."""


class Ancestry:
    """Questions about the graph of commits. ``cache`` is a file of depths; None keeps them in memory only."""

    def __init__(self, commits: Commits, cache: Path | None = None) -> None:
        self.commits = commits
        self._cache = cache
        self._depths: dict[ObjectId, int] = {}
        self._boundaries: set[ObjectId] = set()
        self._stored = 0
        self._load()

    def parents(self, commit: ObjectId) -> tuple[ObjectId, ...]:
        """The parents that are here; boundaries are left out."""
        parents = self.commits.read(commit).parents
        return tuple(p.commit for i, p in enumerate(parents) if i == 0 or self.commits.has(p.commit))

    def boundaries(self, commit: ObjectId) -> tuple[ObjectId, ...]:
        """The parents that are not here."""
        here = set(self.parents(commit))
        return tuple(p.commit for p in self.commits.read(commit).parents if p.commit not in here)

    def depth(self, commit: ObjectId) -> int:
        """The length of the longest line to a root, in commits. Raises CyclicHistory."""
        if commit not in self._depths:
            self._measure(commit)
        return self._depths[commit]

    def first_parents(self, commit: ObjectId) -> Iterator[ObjectId]:
        """The commit and its first parents, newest first."""
        walked: ObjectId | None = commit
        while walked is not None:
            yield walked
            parents = self.commits.read(walked).parents
            walked = parents[0].commit if parents else None

    def is_ancestor(self, older: ObjectId, newer: ObjectId) -> bool:
        """Whether ``newer`` descends from ``older``, or is it."""
        return older == newer or older in self.merge_bases([newer], older)

    def merge_bases(self, ours: Sequence[ObjectId], theirs: ObjectId) -> list[ObjectId]:
        """The newest common ancestors: commits that descend into none of the other common ones."""
        flags = self._paint(ours, [theirs])
        return sorted(c for c, f in flags.items() if f & _BOTH == _BOTH and not f & _STALE)

    def only_in(self, theirs: Iterable[ObjectId], ours: Iterable[ObjectId]) -> list[ObjectId]:
        """Commits reachable from ``theirs`` and not from ``ours``, oldest first."""
        flags = self._paint(list(ours), list(theirs))
        found = [c for c, f in flags.items() if f & _BOTH == _THEIRS]
        return sorted(found, key=lambda c: (self.depth(c), c))

    def line_since(self, tip: ObjectId, older: Sequence[ObjectId]) -> list[ObjectId]:
        """The first-parent line from ``tip`` down to where nothing can descend from ``older``, newest first."""
        least = min((self.depth(commit) for commit in older), default=0)
        return list(itertools.takewhile(lambda commit: self.depth(commit) >= least, self.first_parents(tip)))

    def joins(self, line: Sequence[ObjectId], older: Sequence[ObjectId]) -> list[ObjectId]:
        """Of a first-parent line, the commits that are one of ``older``, or that merged one of them or a descendant."""
        return [commit for commit in line if commit in older or self._merged_one(commit, older)]

    def save(self) -> None:
        """Keep what was measured for the next run."""
        if self._cache is not None and len(self._depths) > self._stored:
            depths = dict.fromkeys(self._boundaries, 0) | self._depths
            files.replace(self._cache, b"".join(_record(c, d) for c, d in depths.items()))
            self._stored = len(self._depths)

    def arrived(self, commits: Iterable[ObjectId]) -> None:
        """To be called with commits that a fetch brought: where one was a boundary before, depths may have grown."""
        if any(commit in self._boundaries for commit in commits):
            self.forget()
            if self._cache is not None:
                files.remove(self._cache)

    def forget(self) -> None:
        """Measure afresh: the cache was kept by a run that did not see what a fetch brought, or is damaged."""
        self._depths.clear()
        self._boundaries.clear()
        self._stored = 0

    def _merged_one(self, commit: ObjectId, older: Sequence[ObjectId]) -> bool:
        others = [p.commit for p in self.commits.read(commit).parents[1:] if self.commits.has(p.commit)]
        return any(one in others or one in self.merge_bases(others, one) for one in older) if others else False

    def _paint(self, ours: Sequence[ObjectId], theirs: Sequence[ObjectId]) -> dict[ObjectId, int]:
        """Flags of what is reached from both sides, deepest commits first, until only common ancestors' ancestors are
        left.

        Every descendant of a commit is deeper, hence visited before it; so its flags are final when it is visited.
        """
        try:
            return self._painted(ours, theirs)
        except StaleDepths:
            self.forget()
            return self._painted(ours, theirs)

    def _painted(self, ours: Sequence[ObjectId], theirs: Sequence[ObjectId]) -> dict[ObjectId, int]:
        flags: dict[ObjectId, int] = {}
        queue: list[tuple[int, ObjectId]] = []
        waiting: set[ObjectId] = set()
        fresh: set[ObjectId] = set()

        def mark(commit: ObjectId, flag: int) -> None:
            flags[commit] = flags.get(commit, 0) | flag
            if commit not in waiting:
                waiting.add(commit)
                heapq.heappush(queue, (-self.depth(commit), commit))
            if flags[commit] & _STALE:
                fresh.discard(commit)
            else:
                fresh.add(commit)

        for side, flag in ((ours, _OURS), (theirs, _THEIRS)):
            for commit in side:
                mark(commit, flag)
        while fresh:
            depth, commit = heapq.heappop(queue)
            waiting.discard(commit)
            fresh.discard(commit)
            common = flags[commit] & _BOTH == _BOTH
            for parent in self.parents(commit):
                if self.depth(parent) >= -depth:
                    raise StaleDepths
                mark(parent, flags[commit] | (_STALE if common else 0))
        return flags

    def _measure(self, commit: ObjectId) -> None:
        stack, open_commits = [commit], set[ObjectId]()
        while stack:
            current = stack[-1]
            missing = [p for p in self.parents(current) if p not in self._depths]
            if not missing:
                depths = [self._depths[p] for p in self.parents(current)]
                self._boundaries.update(self.boundaries(current))
                self._depths[current] = 1 + max(depths, default=0)
                open_commits.discard(current)
                stack.pop()
                continue
            if current in open_commits and any(p in open_commits for p in missing):
                raise CyclicHistory(f"commit {current} is its own ancestor")
            open_commits.add(current)
            stack.extend(missing)

    def _load(self) -> None:
        if self._cache is None:
            return
        try:
            data = files.read_bytes(self._cache)
        except files.FileMissing:
            return
        for start in range(0, len(data) - _RECORD + 1, _RECORD):
            identity = ObjectId(data[start : start + 32].hex())
            depth = int.from_bytes(data[start + 32 : start + _RECORD], "little")
            if depth:
                self._depths[identity] = depth
            else:
                self._boundaries.add(identity)
        self._stored = len(self._depths)


def _record(commit: ObjectId, depth: int) -> bytes:
    return bytes.fromhex(commit) + depth.to_bytes(4, "little")
